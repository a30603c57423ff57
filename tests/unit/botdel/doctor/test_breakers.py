"""Breakers that are open, or that nobody can read."""

from collections.abc import Sequence

import pytest

from botdel.doctor.breakers import breaker_findings
from deletion.breaker import Breaker, BreakerPolicy, LocalBreakerStore
from deletion.doctor import Verdict
from tests.support.clock import START, VirtualClock
from tests.support.factories import BOT, OTHER_BOT

pytestmark = pytest.mark.virtual_time


@pytest.mark.proves("breaker-alert")
async def test_an_open_breaker_is_named_with_its_reason_and_when_it_is_tried_again() -> None:
    clock = VirtualClock()
    store = LocalBreakerStore(clock)
    [found] = await breaker_findings(store)
    assert found.status is Verdict.OK
    failed_once = Breaker("billing.example").failed("a", BOT, "503", START, BreakerPolicy())
    opened = failed_once.failed("b", OTHER_BOT, "answered 503", START, BreakerPolicy())
    await store.apply(Breaker("billing.example"), failed_once)
    [found] = await breaker_findings(store)
    assert found.status is Verdict.OK, "one bot opens none"
    await store.apply(failed_once, opened)
    [found] = await breaker_findings(store)
    assert (found.check, found.status) == ("breaker of billing.example", Verdict.FAILED)
    assert "answered 503" in found.detail
    assert "tried again at 2025-03-30T02:00:09.250Z" in found.detail
    assert BOT not in found.detail + found.remedy
    clock.pause(3600)
    [found] = await breaker_findings(store)
    assert found.status is Verdict.WARNING, "nothing has called it since"


@pytest.mark.proves("damaged-breaker")
async def test_a_breaker_that_cannot_be_read_is_named() -> None:
    class Damaged(LocalBreakerStore):
        async def damaged(self) -> Sequence[str]:
            return ["billing.example"]

    [found] = await breaker_findings(Damaged(VirtualClock()))
    assert (found.check, found.status) == ("breaker of billing.example", Verdict.WARNING)
    assert "cannot be read" in found.detail
    assert "the next failed call replaces it" in found.remedy
