"""No request is sent on a connection at the moment when its server closes it."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import httpcore._async.http11
import pytest
from fastapi import FastAPI, Request
from httpx._config import DEFAULT_LIMITS

from deletion.adapters.http_api.client import HttpClient
from deletion.adapters.unproxied import IDLE_SECONDS, unproxied
from deletion.clock import SystemClock
from deletion.process.http_connections import BOUNDS
from deletion.process.serving import serving
from tests.support.polling import SOON

GUNICORN = 2.0
"""Seconds: https://docs.gunicorn.org/en/stable/settings.html#keepalive."""
Get = Callable[[str], Awaitable[object]]


@asynccontextmanager
async def unproxied_get() -> AsyncIterator[Get]:
    async with unproxied(timeout=SOON) as http:
        yield http.get


@asynccontextmanager
async def get_of_a_step() -> AsyncIterator[Get]:
    http = HttpClient(SystemClock())
    try:
        yield lambda url: http.send("GET", url, {}, seconds=SOON)
    finally:
        await http.close()


@pytest.mark.parametrize("client", [unproxied_get, get_of_a_step])
async def test_an_idle_connection_is_used_again_only_within_its_time(
    client: Callable[[], AbstractAsyncContextManager[Get]], monkeypatch: pytest.MonkeyPatch
) -> None:
    app, ports, now = FastAPI(), [], 0.0
    clock = SimpleNamespace(monotonic=lambda: now)
    monkeypatch.setattr(httpcore._async.http11, "time", clock)

    @app.get("/")
    async def root(request: Request) -> None:
        assert request.client
        ports.append(request.client.port)

    patient = replace(BOUNDS, idle_seconds=2 * SOON)
    async with (
        serving(app, "127.0.0.1", 0, name="gateway", grace=1, bounds=patient) as url,
        client() as get,
    ):
        for waited in (0, IDLE_SECONDS * 0.9, IDLE_SECONDS * 1.1):
            now += waited
            await get(url)
    first, second, third = ports
    assert first == second != third


def test_that_time_is_at_most_half_of_that_of_any_server() -> None:
    assert min(BOUNDS.idle_seconds, GUNICORN) / 2 >= IDLE_SECONDS


async def test_it_has_no_more_connections_than_a_client_of_httpx(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    given: dict[str, Any] = {}
    monkeypatch.setattr("httpx.AsyncClient", lambda **options: given.update(options))
    unproxied()
    limits = given["limits"]
    assert limits.max_connections == DEFAULT_LIMITS.max_connections
    assert limits.max_keepalive_connections == DEFAULT_LIMITS.max_keepalive_connections
