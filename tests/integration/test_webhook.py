"""Alerts over real connections: to a server that takes them, that hangs, or that is not there."""

import asyncio
import json
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from fastapi import FastAPI, Request, Response
from pydantic import SecretStr
from structlog.testing import capture_logs

from botdel.local.processes import ChildProcess, free_port
from deletion.adapters.alerts.webhook import Webhook, WebhookAlerts, webhook_alerts
from deletion.alerts import Alert, AlertKind
from deletion.clock import SystemClock
from deletion.process.serving import serving
from deletion.retry import Retry
from tests.support.polling import SLACK, SOON, eventually

SECRET = "hunter22"
GROUP_SECONDS = 0.2
TELLING = 1.0 + SLACK
"""Seconds a thousand alerts may take to be told, on a machine that is busy."""
ENDED = "the process ended"
POISON = Alert(AlertKind.DEAD_LETTER, "conversations", "undecodable", "65f0a1b2c3d4e5f607180001")

Connected = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class Channel:
    """A webhook that keeps what it gets and answers with the next of `statuses`, then 200."""

    def __init__(self, *statuses: int) -> None:
        self.statuses = list(statuses)
        self.got: list[dict[str, Any]] = []
        self.app = FastAPI()
        self.app.post(f"/{SECRET}")(self._take)

    async def _take(self, request: Request) -> Response:
        self.got.append(await request.json())
        return Response("ok", self.statuses.pop(0) if self.statuses else 200)

    @asynccontextmanager
    async def served(self) -> AsyncIterator[str]:
        async with serving(self.app, "127.0.0.1", 0, name="webhook", grace=1) as url:
            yield f"{url}/{SECRET}"


@asynccontextmanager
async def accepting(connected: Connected) -> AsyncIterator[str]:
    """A server of raw connections."""
    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    try:
        port = server.sockets[0].getsockname()[1]
        yield f"http://127.0.0.1:{port}/{SECRET}"
    finally:
        server.close()


def alerting(url: str, *, answer_seconds: float = 5) -> WebhookAlerts:
    clock = SystemClock()
    webhook = Webhook(SecretStr(url), Retry(clock, base=0.1), answer_seconds=answer_seconds)
    return WebhookAlerts(webhook, clock, group_seconds=GROUP_SECONDS)


def tell_a_thousand(alerts: WebhookAlerts) -> None:
    started = time.monotonic()
    for _ in range(1000):
        alerts.tell(POISON)
    assert time.monotonic() - started < TELLING


@pytest.mark.proves("one-alert")
async def test_a_thousand_alerts_arrive_as_one_past_any_proxy(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{free_port()}")
    channel = Channel()
    async with channel.served() as url:
        alerts = webhook_alerts(SecretStr(url), SystemClock(), GROUP_SECONDS)
        tell_a_thousand(alerts)
        await eventually(lambda: bool(channel.got))
        await alerts.close(SOON)
    [body] = channel.got
    assert (body["count"], body["examples"]) == (1000, [POISON.example])
    assert "1,000 new dead letters of conversations" in body["text"]


async def test_it_is_retried_over_answers_that_may_pass() -> None:
    channel = Channel(503, 429)
    async with channel.served() as url:
        alerts = alerting(url)
        alerts.tell(POISON)
        await eventually(lambda: len(channel.got) == 3)
        await alerts.close(SOON)
    assert channel.got[0] == channel.got[2]


@pytest.mark.proves("alerts-wait-for-nobody")
async def test_a_server_that_hangs_holds_nobody_up_and_is_tried_again() -> None:
    connections = 0

    async def hang(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        await reader.read()  # until the client goes away

    async with accepting(hang) as url:
        alerts = alerting(url, answer_seconds=0.2)
        alerts.tell(POISON)
        await eventually(lambda: connections == 2)
        tell_a_thousand(alerts)
        with capture_logs() as logs:
            started = time.monotonic()
            await alerts.close(0.5)
            assert time.monotonic() - started < 0.5 + SLACK
    lost = [line["count"] for line in logs if line["event"] == "alert not delivered"]
    assert lost == [1, 1000]


async def test_a_server_that_answers_a_byte_at_a_time_is_given_up_like_one_that_hangs() -> None:
    connections = 0

    async def drip(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        writer.write(b"HTTP/1.1 200 OK\r\nX-Long: ")
        while not writer.is_closing():
            writer.write(b"x")
            await asyncio.sleep(0.02)

    async with accepting(drip) as url:
        alerts = alerting(url, answer_seconds=0.2)
        alerts.tell(POISON)
        await eventually(lambda: connections == 2)
        await alerts.close(0)


async def test_an_answer_without_end_is_not_read() -> None:
    async def pour(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n")
        await reader.read()

    async with accepting(pour) as url:
        alerts = alerting(url)
        alerts.tell(POISON)
        with capture_logs() as logs:
            await alerts.close(SOON)
    assert [line["event"] for line in logs] == ["alert"]


PROCESS = """
import asyncio, sys
from pydantic import SecretStr
from deletion.process import logs
from deletion.clock import SystemClock
from deletion.adapters.alerts.webhook import webhook_alerts
from deletion.alerts import Alert, AlertKind
from deletion.process.alert_settings import AlertSettings

async def main():
    settings = AlertSettings(alert_webhook_url=SecretStr(sys.argv[1]))
    alerts = webhook_alerts(
        settings.alert_webhook_url, SystemClock(), settings.alert_group_seconds
    )
    alerts.tell(Alert(AlertKind.JOBS_STALE, "", "over 50%", "65f0a1b2c3d4e5f607180001", 12))
    await alerts.close(float(sys.argv[2]))

logs.configure("json")
asyncio.run(main())
"""


@pytest.mark.proves("credentials")
@pytest.mark.parametrize(
    ("statuses", "why"),
    [([], None), ([404], "answered 404"), ([500] * 99, ENDED), (None, ENDED)],
    ids=["delivered", "refused", "failing", "not there"],
)
async def test_a_process_that_logs_as_ours_do_never_shows_the_url(
    statuses: list[int] | None, why: str | None
) -> None:
    async with Channel(*(statuses or [])).served() as served:
        url = served if statuses is not None else f"http://127.0.0.1:{free_port()}/{SECRET}"
        argv = [sys.executable, "-c", PROCESS, url, "2" if why == ENDED else str(SOON)]
        async with ChildProcess("alerting", argv) as process:
            assert await process.wait(2 * SOON) == 0
    lines = [json.loads(line) for line in process.lines]
    assert [line.get("why") for line in lines] == ([None, why] if why else [None])
    assert all(line["count"] == 12 for line in lines)
    assert SECRET not in "".join(process.lines)
