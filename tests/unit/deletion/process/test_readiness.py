"""Readiness: bounded, shared and remembered for a second."""

import asyncio

import pytest

from deletion.errors import BusUnavailable, StoreUnavailable
from deletion.process.readiness import ANSWER_SECONDS, Readiness
from tests.support.clock import VirtualClock

pytestmark = pytest.mark.virtual_time


class Subject:
    def __init__(self, error: Exception | None = None) -> None:
        self.error = error
        self.asked = 0

    async def __call__(self) -> None:
        self.asked += 1
        await asyncio.sleep(0)
        if self.error:
            raise self.error


async def test_it_is_ready_when_all_answer_and_says_everything_that_is_missing() -> None:
    store, bus = Subject(), Subject()
    clock = VirtualClock()
    ready = Readiness({"MongoDB": store, "Pub/Sub": bus}, clock.monotonic)
    assert await ready() is None
    store.error, bus.error = StoreUnavailable("no primary"), BusUnavailable("no Pub/Sub")
    clock.pause(1)
    assert await ready() == "no primary; no Pub/Sub"


async def test_an_answer_holds_for_a_second_and_is_shared_by_all_who_ask() -> None:
    subject, clock = Subject(), VirtualClock()
    ready = Readiness({"MongoDB": subject}, clock.monotonic)
    await asyncio.gather(*(ready() for _ in range(10)))
    clock.pause(0.999)
    await ready()
    assert subject.asked == 1
    clock.pause(0.001)
    await ready()
    assert subject.asked == 2


async def test_a_probe_that_gives_up_does_not_stop_the_others() -> None:
    answering = asyncio.Event()
    ready = Readiness({"MongoDB": answering.wait}, VirtualClock().monotonic)
    impatient, patient = asyncio.create_task(ready()), asyncio.create_task(ready())
    await asyncio.sleep(0)
    impatient.cancel()
    answering.set()
    assert await patient is None


async def test_a_subject_that_hangs_is_named_in_time() -> None:
    clock, answering = VirtualClock(), asyncio.Event()
    asked = 0

    async def hang() -> None:
        nonlocal asked
        asked += 1
        await answering.wait()

    ready = Readiness({"MongoDB": hang, "Pub/Sub": Subject()}, clock.monotonic)
    for _ in range(3):
        assert await ready() == f"MongoDB does not answer within {ANSWER_SECONDS:g} s"
        clock.pause(1)
    assert asked == 1, "what hangs must not pile up"
    answering.set()
    assert await ready() is None
