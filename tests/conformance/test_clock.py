"""Virtual time behaves like real time, but takes none; and waiting that never ends is found."""

import asyncio
from collections.abc import Coroutine
from datetime import timedelta
from typing import Any

import pytest

from deletion.clock import Clock, SystemClock
from tests.support.clock import (
    HORIZON,
    START,
    NothingLeft,
    VirtualClock,
    VirtualLoop,
    settle,
)


def run(work: Coroutine[Any, Any, None]) -> None:
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        runner.run(work)


@pytest.fixture(params=[pytest.param(VirtualClock, marks=pytest.mark.virtual_time), SystemClock])
def clock(request: pytest.FixtureRequest) -> Clock:
    made: Clock = request.param()
    return made


async def test_a_sleep_is_no_shorter_than_it_should_be_by_either_count(clock: Clock) -> None:
    now, began = clock.now(), clock.monotonic()
    await clock.sleep(0.02)
    assert clock.monotonic() - began >= 0.019
    assert clock.now() - now >= timedelta(seconds=0.019), "truncated"


async def test_sleepers_wake_in_the_order_of_their_times(clock: Clock) -> None:
    woken: list[float] = []

    async def sleep(seconds: float) -> None:
        await clock.sleep(seconds)
        woken.append(seconds)

    await asyncio.gather(sleep(0.05), sleep(0), sleep(0.01))
    assert woken == [0, 0.01, 0.05]


async def test_the_time_of_asyncio_is_that_of_the_clock(clock: Clock) -> None:
    began = clock.monotonic()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.02):
            await asyncio.Event().wait()
    assert clock.monotonic() - began >= 0.019


@pytest.mark.virtual_time
async def test_it_begins_anew_in_each_test_and_takes_no_time() -> None:
    clock = VirtualClock()
    assert (clock.now(), clock.monotonic()) == (START, 0)
    await clock.sleep(24 * 3600)
    assert clock.now() == START + timedelta(days=1)


@pytest.mark.virtual_time
async def test_a_clock_that_is_set_is_wrong_alone_and_lets_no_time_pass() -> None:
    right, wrong = VirtualClock(), VirtualClock()
    wrong.set(timedelta(hours=-1))
    await wrong.sleep(60)
    assert wrong.now() == right.now() - timedelta(hours=1) == START - timedelta(minutes=59)
    assert wrong.monotonic() == right.monotonic() == 60


@pytest.mark.virtual_time
async def test_a_pause_wakes_nobody_until_the_process_goes_on() -> None:
    clock = VirtualClock()
    sleeping = asyncio.create_task(clock.sleep(5))
    await settle()
    clock.pause(60)
    assert not sleeping.done()
    await sleeping
    assert clock.monotonic() == 60


@pytest.mark.virtual_time
async def test_all_wait_once_it_has_settled_and_no_time_has_passed() -> None:
    turns = 0

    async def work() -> None:
        nonlocal turns
        for turns in range(1, 6):  # noqa: B007
            await asyncio.sleep(0)
        await asyncio.sleep(1)

    working = asyncio.create_task(work())
    await settle()
    assert (turns, working.done(), VirtualClock().monotonic()) == (5, False, 0)


def test_a_hang_is_found_at_once() -> None:
    async def wait() -> None:
        await asyncio.Event().wait()

    with pytest.raises(NothingLeft, match=r"\.wait:\d+$"):
        run(wait())


def test_waiting_that_never_ends_is_found_at_once() -> None:
    async def poll() -> None:
        while True:  # noqa: ASYNC110
            await asyncio.sleep(HORIZON.total_seconds() / 100)

    with pytest.raises(AssertionError, match="horizon"):
        run(poll())


def test_turning_that_never_waits_is_found_at_once() -> None:
    async def turn() -> None:
        while True:  # noqa: ASYNC110
            await asyncio.sleep(0)

    with pytest.raises(AssertionError, match="round and round"):
        run(turn())


async def test_a_virtual_clock_in_real_time_says_what_is_missing() -> None:
    with pytest.raises(AssertionError, match="virtual_time"):
        VirtualClock().now()
