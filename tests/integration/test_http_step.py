"""An external API over real connections: what it can do to a step, and to a consumer's process."""

import asyncio
import json
import os
import signal
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from bson import ObjectId

from botdel.local.processes import ChildProcess, free_port
from deletion.adapters.http_api.client import MOST_BYTES, HttpClient
from deletion.adapters.mongo.breakers import COLLECTION
from deletion.adapters.unproxied import unproxied
from deletion.clock import SystemClock
from deletion.errors import HttpUnavailable
from deletion.gate import LEASE_MARGIN
from tests.support.api import Api, Call, Reply
from tests.support.pipeline import (
    SERVICE,
    WITHIN,
    Pipeline,
    listening,
    publish,
    request_placed,
    until,
)
from tests.support.polling import SLACK
from tests.support.recovering import recovering, swept_until

SECRET = "hunter22-of-the-api"
BOT = "65f0a1b2c3d4e5f607182930"
SECONDS = 1.0
"""Of one call in these tests."""


@pytest.fixture
async def client() -> AsyncIterator[HttpClient]:
    client = HttpClient(SystemClock())
    yield client
    await client.close()


async def call(client: HttpClient, api: Api, seconds: float = SECONDS) -> int:
    answer = await client.send("DELETE", api.url.replace("{bot_id}", BOT), {}, seconds)
    return answer.status


# --- one call


async def test_calls_share_a_connection_and_carry_no_cookie(client: HttpClient) -> None:
    async with Api(behave=lambda _: Reply(204, {"Set-Cookie": "session=1"})) as api:
        for _ in range(3):
            assert await call(client, api) == 204
    assert [call.headers.get("cookie") for call in api.calls] == [None] * 3
    assert {call.headers["user-agent"] for call in api.calls} == {"botdel"}


@pytest.mark.parametrize(
    "reply",
    [Reply(204, delay=60), Reply(200, {"Content-Length": "9"}, times=0), Reply(drop=True)],
    ids=["hangs", "hangs in its body", "closes the connection"],
)
async def test_an_answer_that_does_not_come_is_unavailable_in_time(
    client: HttpClient, reply: Reply
) -> None:
    def behave(_: Call) -> Reply:
        return reply

    async with Api(behave=behave) as api:
        began = time.monotonic()
        with pytest.raises(HttpUnavailable) as caught:
            await call(client, api)
        assert time.monotonic() - began < SECONDS + SLACK
        assert BOT not in str(caught.value)


async def test_a_host_that_is_not_there_is_unavailable(client: HttpClient) -> None:
    url = f"http://127.0.0.1:{free_port()}/bots/{BOT}?key={SECRET}"
    with pytest.raises(HttpUnavailable) as caught:
        await client.send("DELETE", url, {}, SECONDS)
    assert str(caught.value).startswith("DELETE 127.0.0.1:")
    assert SECRET not in str(caught.value)


@pytest.mark.proves("same-host")
async def test_a_body_without_end_is_read_to_its_bound_and_the_answer_counts(
    client: HttpClient,
) -> None:
    """The server could send a hundred gigabytes; it is cut off after what sockets hold."""
    chunk = b"x" * MOST_BYTES

    def behave(_: Call) -> Reply:
        return Reply(200, {"Content-Length": str(10**11)}, chunk, times=10**6)

    async with Api(behave=behave) as api:
        assert await call(client, api, 5) == 200
        api.behave = lambda _: Reply(204)
        assert await call(client, api, 5) == 204, "on another connection"


# --- a consumer's process


def write_plan(pipeline: Pipeline, api: Api, *, verify: bool = True, **more: object) -> Path:
    """Messages in MongoDB, then an account at the API."""
    spec: dict[str, object] = {
        "url": f"{api.url}?key=${{API_KEY}}",
        "headers": {"Authorization": "Bearer ${API_KEY}"},
        **more,
    }
    if verify:
        spec["verify"] = {"url": api.url}
    messages = {"database": pipeline.database, "collection": "messages", "field": "botId"}
    steps = [{"name": "messages", "mongo": messages}, {"name": "account", "http": spec}]
    path = pipeline.folder / "plan-http.yaml"
    path.write_text(json.dumps({"service": SERVICE, "steps": steps}))
    return path


@pytest.fixture
def secret(monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("API_KEY", SECRET)
    return SECRET


async def ask(pipeline: Pipeline, bots: list[str]) -> None:
    await publish(pipeline, *(request_placed(bot) for bot in bots))


async def statuses(pipeline: Pipeline) -> Counter[str]:
    return Counter([job["status"] async for job in pipeline.jobs.find({})])


async def all_complete(pipeline: Pipeline, bots: list[str], within: float = WITHIN) -> None:
    async def complete() -> bool:
        return (await statuses(pipeline))["complete"] == len(bots)

    await until(complete, within)


def step_of(job: dict[str, Any] | None, name: str) -> dict[str, Any]:
    assert job is not None
    step: dict[str, Any] = next(step for step in job["steps"] if step["name"] == name)
    return step


@pytest.mark.proves("secrets-of-a-step")
async def test_a_bots_account_goes_with_its_messages_and_no_secret_is_seen(
    pipeline: Pipeline, secret: str
) -> None:
    [bot, kept] = await pipeline.fill(5, 5)
    async with Api(bot, kept) as api:
        async with pipeline.consumer(plan=write_plan(pipeline, api)) as process:
            await ask(pipeline, [bot])
            await all_complete(pipeline, [bot])
        assert api.bots == {kept}
    job = await pipeline.job_of(bot)
    assert step_of(job, "account")["deleted"] == 1
    assert [call.method for call in api.calls] == ["DELETE", "GET"]
    assert {call.headers["authorization"] for call in api.calls} == {f"Bearer {secret}"}
    assert secret not in repr(job)
    assert secret not in "".join(process.lines)


@pytest.mark.proves("answer-only")
async def test_without_a_way_to_read_back_the_record_says_so(
    pipeline: Pipeline, secret: str
) -> None:
    [bot] = await pipeline.fill(1)
    async with Api(bot) as api, pipeline.consumer(plan=write_plan(pipeline, api, verify=False)):
        await ask(pipeline, [bot])
        await all_complete(pipeline, [bot])
    job = await pipeline.job_of(bot)
    assert "answer only" in repr(step_of(job, "account"))


@pytest.mark.proves("call-key")
@pytest.mark.usefixtures("secret")
async def test_a_process_killed_in_its_call_repeats_it_with_the_same_key(
    pipeline: Pipeline,
) -> None:
    [bot] = await pipeline.fill(1)
    plan_of: list[ChildProcess] = []

    def kill_once(call: Call) -> Reply | None:
        """The API has deleted, and its answer reaches nobody."""
        if call.method == "DELETE" and len(api.sent("DELETE")) == 1:
            api.bots.discard(call.bot)
            os.kill(plan_of[0].pid, signal.SIGKILL)
            return Reply(delay=30)
        return None

    async with Api(bot, behave=kill_once) as api:
        plan = write_plan(pipeline, api)
        async with pipeline.consumer("killed", plan) as killed:
            plan_of.append(killed)
            await ask(pipeline, [bot])
            assert await killed.wait(WITHIN) != 0
        async with recovering(pipeline) as recovery, pipeline.consumer("second", plan):
            await swept_until(pipeline, bot, "complete", recovery.url)
    first, second = api.sent("DELETE")
    assert first.key == second.key != ""


@pytest.mark.proves("accepted-call")
@pytest.mark.usefixtures("secret")
async def test_a_process_killed_between_two_polls_goes_on_polling(pipeline: Pipeline) -> None:
    [bot] = await pipeline.fill(1)
    plan_of: list[ChildProcess] = []
    resumed = asyncio.Event()

    def behave(call: Call) -> Reply | None:
        if call.method == "DELETE":
            return Reply(202, {"Location": f"/operations/{bot}"})
        if call.target.startswith("/operations"):
            if not resumed.is_set():
                os.kill(plan_of[0].pid, signal.SIGKILL)
                return Reply(delay=30)
            api.bots.discard(bot)
            return Reply(200)
        return None

    async with Api(bot, behave=behave) as api:
        plan = write_plan(pipeline, api)
        async with pipeline.consumer("killed", plan) as killed:
            plan_of.append(killed)
            await ask(pipeline, [bot])
            assert await killed.wait(WITHIN) != 0
        resumed.set()
        async with recovering(pipeline) as recovery, pipeline.consumer("second", plan):
            await swept_until(pipeline, bot, "complete", recovery.url)
    assert len(api.sent("DELETE")) == 1


async def gauge(url: str, host: str) -> float:
    async with unproxied(timeout=WITHIN) as http:
        text = (await http.get(f"{url}/metrics")).text
    [line] = [
        each for each in text.splitlines() if each.startswith("botdel_consumer_breaker_open{")
    ]
    assert f'host="{host}"' in line
    return float(line.split()[-1])


@pytest.mark.proves("one-probe", "parked-attempt", "breaker-alert")
@pytest.mark.usefixtures("secret")
async def test_while_the_api_is_down_jobs_are_parked_and_when_it_is_back_all_complete(
    pipeline: Pipeline,
) -> None:
    bots = await pipeline.fill(*[3] * 12)
    down = True

    async with Api(*bots, behave=lambda _: Reply(503) if down else None) as api:
        plan = write_plan(pipeline, api, timeout_seconds=5)  # a call that is late is not seen here
        async with pipeline.consumer("one", plan) as one, pipeline.consumer("two", plan) as two:
            url = await listening(one)
            await listening(two)
            await ask(pipeline, bots)

            async def parked() -> bool:
                gone = not await pipeline.messages.count_documents({})
                return gone and (await statuses(pipeline))["pending"] == len(bots)

            await until(parked)
            jobs = [job async for job in pipeline.jobs.find({})]
            spent = sum(job["attempt"] for job in jobs)
            called = len({call.bot for call in api.calls})
            assert spent <= len(api.calls), "who made no call gets the attempt back"
            assert called < len(bots)
            assert await gauge(url, api.host) == 1
            doctor = pipeline.process(
                "doctor", "botdel.cli", "doctor", "--plan", str(plan), "--no-canary"
            )
            async with doctor:
                assert await doctor.wait(WITHIN) == 1
            assert any(f"breaker of {api.host}: open since" in line for line in doctor.lines)
            before = len(api.calls)
            await asyncio.sleep(5)  # an observation, not a wait: how often it is called meanwhile
            assert len(api.calls) - before <= 3
            down = False
            await all_complete(pipeline, bots)
            assert not api.bots
            assert await gauge(url, api.host) == 0
    alerts = [line for line in [*one.lines, *two.lines] if "breaker_open" in line]
    assert len(alerts) == 1, "of the one replica that opened it"
    record = await pipeline.client[pipeline.database][COLLECTION].find_one({"_id": api.host})
    assert record is not None
    assert record["trips"] == 0


@pytest.mark.usefixtures("secret")
async def test_a_process_killed_in_its_probe_leaves_the_host_to_another_after_its_lease(
    pipeline: Pipeline,
) -> None:
    """The host neither waits for ever nor is called at once, while requests keep coming."""
    bots = [str(ObjectId()) for _ in range(100)]
    coming, running = iter(bots), list[ChildProcess]()
    breakers = pipeline.client[pipeline.database][COLLECTION]
    down, killed_at = True, list[float]()

    def behave(call: Call) -> Reply | None:
        if down:
            return Reply(503)
        if not killed_at:
            os.kill(running[0].pid, signal.SIGKILL)
            killed_at.append(call.at)
            return Reply(delay=30)
        return None

    async def is_open() -> bool:
        return await breakers.count_documents({"trips": {"$gt": 0}}) == 1

    async def asked_until(condition: Callable[[], Awaitable[bool]]) -> None:
        while not await condition():
            await ask(pipeline, [next(coming)])  # a job that is not parked yet
            await asyncio.sleep(0.5)

    async def is_killed() -> bool:
        return not running[0].running

    async def is_closed() -> bool:
        return not await is_open()

    async with asyncio.timeout(WITHIN), Api(*bots, behave=behave) as api:
        plan = write_plan(pipeline, api, timeout_seconds=0.5)
        async with pipeline.consumer("killed", plan) as killed:
            running.append(killed)
            await asked_until(is_open)
            down = False  # the next call is the probe
            await asked_until(is_killed)
        async with pipeline.consumer("second", plan):
            await asked_until(is_closed)
    second = next(call.at for call in api.calls if call.at > killed_at[0])
    assert second - killed_at[0] >= LEASE_MARGIN, "not before the lease has expired"


@pytest.mark.proves("permits")
@pytest.mark.usefixtures("secret")
async def test_a_slow_api_has_no_more_calls_under_way_than_it_may(pipeline: Pipeline) -> None:
    bots = [str(ObjectId()) for _ in range(8)]
    async with (
        Api(*bots, behave=lambda _: Reply(204, delay=0.3)) as api,
        pipeline.consumer(plan=write_plan(pipeline, api, verify=False)),
    ):
        await ask(pipeline, bots)
        await all_complete(pipeline, bots)
    assert api.most_under_way == 2
