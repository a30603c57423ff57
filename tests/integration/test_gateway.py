"""The gateway as a process of its own, against Pub/Sub on this machine."""

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

import grpc
import httpx
import pytest
from google.pubsub_v1.services.subscriber import SubscriberAsyncClient
from google.pubsub_v1.services.subscriber.transports import SubscriberGrpcAsyncIOTransport
from google.pubsub_v1.types import PubsubMessage

from botdel.local.broker_choice import choose_broker
from botdel.local.processes import ChildProcess, free_port
from botdel.local.server import LocalBroker
from deletion.adapters.pubsub.connection import PubSub
from deletion.adapters.pubsub.names import Names
from deletion.adapters.pubsub.seeking import seek
from deletion.adapters.unproxied import unproxied
from deletion.events import RequestPlaced, attributes, decode
from deletion.process.problems import PROBLEM
from tests.support.forked import ForkedProcess
from tests.support.polling import SLACK, frozen

TOKEN = "a-token-that-is-long-enough"
BOT = "65f0a1b2c3d4e5f607182930"
PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
WITHIN = 60.0
"""Seconds; far more than anything waited for takes."""
PATIENT = {"BOTDEL_GATEWAY_CONFIRM_SECONDS": "60"}
"""Where a busy broker is to be waited for."""
CONFIRM_SECONDS = 2.0
ANSWER_SECONDS = CONFIRM_SECONDS + SLACK
"""Every answer comes within the time to confirm, and a margin for a busy machine."""


@dataclass
class Gateway:
    """A gateway that runs, and a client with its token."""

    process: ChildProcess
    http: httpx.AsyncClient

    async def delete(self, bot_id: str = BOT, **headers: str) -> httpx.Response:
        return await self.http.delete(f"/v1/bots/{bot_id}", headers=headers)

    async def confirms(self) -> None:
        """Return once a DELETE is confirmed: a busy broker may be too slow for the first."""
        async with asyncio.timeout(WITHIN):
            while (answer := await self.delete()).status_code != 202:
                assert answer.status_code == 503

    async def answers(self, path: str, status: int) -> None:
        """Return once `path` answers with `status`."""
        async with asyncio.timeout(WITHIN):
            while (await self.http.get(path)).status_code != status:  # noqa: ASYNC110
                await asyncio.sleep(0.05)


def settings(broker: str, project: str, **more: str) -> dict[str, str]:
    return {
        "PUBSUB_EMULATOR_HOST": broker,
        "GOOGLE_CLOUD_PROJECT": project,
        "BOTDEL_GATEWAY_TOKENS": TOKEN,
        "BOTDEL_GATEWAY_PORT": "0",
        "BOTDEL_GATEWAY_CONFIRM_SECONDS": str(CONFIRM_SECONDS),
        "BOTDEL_LOG_FORMAT": "json",
    } | more


def gateway_process(environment: dict[str, str]) -> ChildProcess:
    return ForkedProcess("gateway", ["botdel.cli", "gateway"], env=environment)


@asynccontextmanager
async def running(environment: dict[str, str]) -> AsyncIterator[Gateway]:
    """A gateway that listens; stopped at the end."""
    async with gateway_process(environment) as process:
        line = await process.wait_for_line(lambda line: '"listening"' in line, WITHIN)
        url = line.split('"url": "')[1].split('"')[0]
        headers = {"Authorization": f"Bearer {TOKEN}"}
        async with unproxied(base_url=url, headers=headers, timeout=WITHIN) as http:
            yield Gateway(process, http)


@pytest.fixture
async def gateway(broker: LocalBroker, project: str) -> AsyncIterator[Gateway]:
    async with running(settings(broker.host, project, **PATIENT)) as gateway:
        yield gateway


@asynccontextmanager
async def subscribed(broker: LocalBroker, project: str) -> AsyncIterator["Received"]:
    """A subscription of the topic, from now on."""
    async with grpc.aio.insecure_channel(broker.host) as channel:
        client = SubscriberAsyncClient(transport=SubscriberGrpcAsyncIOTransport(channel=channel))
        names = Names(project, "bot-deletion")
        name = names.subscription("test")
        await client.create_subscription(name=name, topic=names.topic, timeout=WITHIN)
        await seek(client, name, datetime.now(UTC))
        yield Received(client, name)


@dataclass
class Received:
    client: SubscriberAsyncClient
    name: str

    async def next(self) -> PubsubMessage:
        """The next message."""
        async with asyncio.timeout(WITHIN):
            while True:
                pulled = await self.client.pull(
                    subscription=self.name, max_messages=1, timeout=WITHIN
                )
                for received in pulled.received_messages:
                    return received.message


@pytest.mark.proves("confirmed", "requested-by")
async def test_the_event_arrives_as_it_was_answered(
    broker: LocalBroker, project: str, gateway: Gateway
) -> None:
    async with subscribed(broker, project) as received:
        answer = await gateway.delete(BOT.upper(), traceparent=PARENT)
        message = await received.next()
    assert answer.status_code == 202
    subject = decode(message.data)
    assert answer.json()["event_id"] == subject.event_id
    assert subject.bot_id == BOT
    assert subject.event == RequestPlaced(
        datetime.fromisoformat(answer.json()["placed_at"]), "client"
    )
    traceparent = message.attributes["traceparent"]
    assert traceparent[:36] == PARENT[:36]
    assert dict(message.attributes) == attributes(subject, traceparent)


async def test_many_at_once_all_arrive(broker: LocalBroker, project: str, gateway: Gateway) -> None:
    bots = {f"{number:024x}" for number in range(200)}
    async with subscribed(broker, project) as received:
        answers = await asyncio.gather(*map(gateway.delete, bots))
        assert {answer.status_code for answer in answers} == {202}
        assert {decode((await received.next()).data).bot_id for _ in bots} == bots


async def test_a_large_chunked_body_is_refused_and_the_next_request_is_not(
    gateway: Gateway,
) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(1024):
            yield b"x" * 1024

    answer = await gateway.http.request("DELETE", f"/v1/bots/{BOT}", content=chunks())
    assert answer.status_code == 413
    assert answer.headers["content-type"] == PROBLEM
    assert (await gateway.delete()).status_code == 202


async def test_it_starts_without_pubsub_and_recovers_when_it_comes(project: str) -> None:
    port = free_port()
    async with running(settings(f"127.0.0.1:{port}", project)) as gateway:
        await gateway.answers("/healthz", 200)
        await gateway.answers("/readyz", 503)
        async with asyncio.timeout(ANSWER_SECONDS):
            assert (await gateway.delete()).status_code == 503
        async with choose_broker(port).broker:
            await gateway.answers("/readyz", 200)
            await gateway.confirms()


@pytest.mark.proves("bounded-answer")
async def test_it_outlives_an_emulator_that_is_killed_and_forgets(project: str) -> None:
    async with choose_broker().broker as broker, running(settings(broker.host, project)) as gateway:
        await gateway.confirms()
        await broker.kill()
        async with asyncio.timeout(ANSWER_SECONDS):
            refused = await asyncio.gather(*(gateway.delete() for _ in range(20)))
        assert {answer.status_code for answer in refused} == {503}
        assert {answer.headers["retry-after"] for answer in refused} == {"5"}
        await broker.start()
        await gateway.confirms()
        async with subscribed(broker, project) as received:
            content = (await gateway.delete()).json()
            # A request that was answered 503 may arrive all the same, and late.
            while decode((await received.next()).data).event_id != content["event_id"]:
                continue


@pytest.mark.proves("ready-to-publish")
async def test_a_probe_creates_nothing(project: str) -> None:
    async with (
        choose_broker().broker as broker,
        running(settings(broker.host, project, **PATIENT)) as gateway,
    ):
        await broker.kill()
        await gateway.answers("/readyz", 503)
        await broker.start()
        await gateway.answers("/readyz", 200)
        pubsub = PubSub(broker.host)
        try:
            listed = await pubsub.publisher().list_topics(
                project=f"projects/{project}", timeout=WITHIN
            )
            assert [topic async for topic in listed] == []
        finally:
            await pubsub.close()
        assert (await gateway.delete()).status_code == 202, "the publish puts it back"


@pytest.mark.proves("bounded-answer")
async def test_it_answers_while_pubsub_hangs(project: str) -> None:
    async with choose_broker().broker as broker, running(settings(broker.host, project)) as gateway:
        await gateway.confirms()
        async with frozen(broker.pid):
            async with asyncio.timeout(ANSWER_SECONDS):
                assert (await gateway.delete()).status_code == 503
            await gateway.answers("/readyz", 503)
        await gateway.answers("/readyz", 200)
        await gateway.confirms()


@pytest.mark.proves("bounded-answer")
async def test_no_more_wait_than_are_allowed_to(project: str) -> None:
    environment = settings(f"127.0.0.1:{free_port()}", project, BOTDEL_GATEWAY_MAX_PENDING="3")
    async with running(environment) as gateway:
        answers = await asyncio.gather(*(gateway.delete() for _ in range(10)))
    statuses = [answer.status_code for answer in answers]
    assert (statuses.count(503), statuses.count(429)) == (3, 7)
    assert {answer.headers["retry-after"] for answer in answers} == {"1", "5"}


async def test_sigterm_lets_those_under_way_be_answered(project: str) -> None:
    async with (
        choose_broker().broker as broker,
        running(settings(broker.host, project, **PATIENT)) as gateway,
    ):
        await gateway.answers("/readyz", 200)
        async with frozen(broker.pid):
            waiting = [asyncio.create_task(gateway.delete(f"{n:024x}")) for n in range(5)]
            await pending(gateway, 5)
            gateway.process.terminate()
            await gateway.process.wait_for_line(lambda line: '"stopping"' in line, WITHIN)
        answers = await asyncio.gather(*waiting)
        assert {answer.status_code for answer in answers} == {202}
        assert await gateway.process.wait(WITHIN) == 0
        with pytest.raises(httpx.ConnectError):
            await gateway.delete()


async def test_a_second_signal_ends_it_at_once(project: str) -> None:
    environment = settings(f"127.0.0.1:{free_port()}", project, **PATIENT)
    async with running(environment) as gateway:
        waiting = asyncio.create_task(gateway.delete())
        await pending(gateway, 1)
        gateway.process.terminate()
        await gateway.process.wait_for_line(lambda line: '"stopping"' in line, WITHIN)
        gateway.process.terminate()
        assert await gateway.process.wait(WITHIN) == 128 + signal.SIGTERM
        with pytest.raises(httpx.TransportError):
            await waiting


async def pending(gateway: Gateway, number: int) -> None:
    """Return once so many events wait for Pub/Sub's word."""
    gauge = f"botdel_gateway_pending {number}.0"
    async with asyncio.timeout(WITHIN):
        while gauge not in (await gateway.http.get("/metrics")).text:  # noqa: ASYNC110
            await asyncio.sleep(0.02)


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("GOOGLE_CLOUD_PROJECT", ""),
        ("BOTDEL_GATEWAY_TOKENS", ""),
        ("BOTDEL_GATEWAY_TOKENS", "short,a-token-that-is-long-enough"),
        ("BOTDEL_GATEWAY_PORT", "70000"),
        ("BOTDEL_TOPIC", "1-starts-with-a-digit"),
    ],
)
async def test_a_wrong_setting_is_named_and_nothing_else_of_it(
    project: str, variable: str, value: str
) -> None:
    environment = settings("127.0.0.1:1", project) | {variable: value}
    async with gateway_process(environment) as process:
        assert await process.wait(WITHIN) == 2
    output = "\n".join(process.lines)
    assert variable in output
    assert "Traceback" not in output
    assert TOKEN not in output


async def test_a_port_that_is_taken_is_an_error(broker: LocalBroker, project: str) -> None:
    environment = settings(broker.host, project, BOTDEL_GATEWAY_PORT=str(broker.port))
    async with gateway_process(environment) as process:
        assert await process.wait(WITHIN) == 1
    assert "Traceback" not in "\n".join(process.lines)
    assert any("in use; set BOTDEL_GATEWAY_PORT or --port" in line for line in process.lines)


@pytest.mark.proves("bounded-clients")
async def test_a_head_without_end_is_refused_and_other_clients_are_not(gateway: Gateway) -> None:
    port = gateway.http.base_url.port
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    half = [await asyncio.open_connection("127.0.0.1", port) for _ in range(50)]
    try:
        for _, slow in half:
            slow.write(b"DELETE /v1/bots/")
        writer.write(b"DELETE / HTTP/1.1\r\nx: " + b"a" * 20_000)
        async with asyncio.timeout(ANSWER_SECONDS):
            assert (await reader.readline()).split()[1] == b"431"
            assert (await gateway.delete()).status_code == 202
    finally:
        for _, each in [(reader, writer), *half]:
            each.transport.abort()
