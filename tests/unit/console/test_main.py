"""The console ends within its grace period, whatever is under way."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any, Final, cast

import pytest

from console import main
from console.settings import ConsoleSettings
from deletion.operating.actions import Actions
from deletion.process.grace import TRACES
from tests.support.clock import VirtualClock
from tests.support.deployed import SECRETS, settings_of

pytestmark = pytest.mark.virtual_time

LONG: Final = 10_000.0
GRACE: Final = 20


def settings() -> ConsoleSettings:
    given = {"GOOGLE_CLOUD_PROJECT": "p", "BOTDEL_SHUTDOWN_GRACE_SECONDS": str(GRACE)}
    found = settings_of("console", {**SECRETS, **given})
    assert isinstance(found, ConsoleSettings)
    return found


async def unstoppable() -> None:
    """Something under way that a cancellation does not end soon."""
    clock = VirtualClock()
    ends = clock.monotonic() + LONG
    while clock.monotonic() < ends:
        try:
            await clock.sleep(LONG)
        except asyncio.CancelledError:  # it goes on: that is the point
            continue


@asynccontextmanager
async def hanging(*_: object, grace: float, **__: object) -> AsyncIterator[str]:
    """As `serving`, with a request that takes all the time that it is given."""
    yield ""
    await VirtualClock().sleep(grace)


async def test_actions_and_requests_share_the_grace_period_with_the_traces(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(main, "serving", hanging)
    monkeypatch.setattr(main, "_app", lambda *_: None)
    clock, unused = VirtualClock(), cast("Any", None)
    actions = Actions(unused, unused, unused, clock)
    actions._running.add(asyncio.create_task(unstoppable()))
    parts = cast("Any", SimpleNamespace(actions=actions))
    stopping = asyncio.Event()
    stopping.set()
    began = clock.monotonic()
    await main._serve(settings(), parts, None, stopping)
    taken = clock.monotonic() - began
    assert taken <= GRACE * (1 - TRACES)
    assert taken >= GRACE * (1 - TRACES) - 0.01, "none of it is given away"
