"""Counting for the overview: hours that are over once, and nothing that is slow in the way."""

import asyncio
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from console.overview import (
    AT_ONCE,
    COUNT_SECONDS,
    FINAL_AFTER,
    HOUR,
    HOURS,
    PART_SECONDS,
    Counted,
    Throughput,
)
from console.pages.render import Renderer
from deletion.errors import StoreUnavailable
from deletion.job import Status
from deletion.ports import Unfinished
from tests.support.clock import START, VirtualClock
from tests.support.factories import POLICY, new_job
from tests.support.memory_lists import MemoryJobLists
from tests.support.memory_stores import MemoryJobStore
from tests.support.visiting import Console, visiting

pytestmark = pytest.mark.virtual_time

CURRENT = START.replace(minute=0, second=0, microsecond=0)


class Lists(MemoryJobLists):
    """Lists that note which hours were counted."""

    def __init__(self) -> None:
        super().__init__(MemoryJobStore(), VirtualClock(), POLICY)
        self.counted: list[datetime] = []

    async def completed(self, since: datetime, until: datetime, limit: int) -> int:
        self.counted.append(since)
        return await super().completed(since, until, limit)

    def complete(self, *times: datetime) -> None:
        for time in times:
            job = new_job(Status.COMPLETE, last_modified_at=time)
            self.store.jobs[job.id] = job


async def last_day(throughput: Throughput, now: datetime) -> Sequence[tuple[datetime, int]]:
    return [(hour.start, hour.completed) for hour in await throughput.last_day(now)]


async def test_the_last_day_has_an_hour_for_each_and_the_current_one_last() -> None:
    lists = Lists()
    lists.complete(START, CURRENT - HOUR, CURRENT - timedelta(seconds=1), START - HOURS * HOUR)
    found = await last_day(Throughput(lists), START)
    assert [start for start, _ in found] == [CURRENT - n * HOUR for n in range(HOURS)][::-1]
    assert [completed for _, completed in found] == [*[0] * (HOURS - 2), 2, 1]


async def test_an_hour_that_is_over_is_counted_once() -> None:
    lists = Lists()
    throughput = Throughput(lists)
    await throughput.last_day(CURRENT + HOUR + FINAL_AFTER / 2)
    assert len(lists.counted) == HOURS
    lists.counted.clear()
    await throughput.last_day(CURRENT + HOUR + FINAL_AFTER / 2)
    assert lists.counted == [CURRENT, CURRENT + HOUR], "one is not over for long enough"
    lists.counted.clear()
    await throughput.last_day(CURRENT + HOUR + FINAL_AFTER)
    await throughput.last_day(CURRENT + HOUR + FINAL_AFTER)
    assert lists.counted == [CURRENT, CURRENT + HOUR, CURRENT + HOUR]


class Slow(Lists):
    """Lists whose hours the database does not count in time."""

    async def completed(self, since: datetime, until: datetime, limit: int) -> int:
        self.counted.append(since)
        await asyncio.sleep(10)
        raise StoreUnavailable("MongoDB cannot be used now (NetworkTimeout)")


async def test_when_an_hour_is_not_counted_in_time_the_others_are_given_up() -> None:
    """Else they would go on for a minute, beside those of the next day that is counted, until no
    connection is left for the pages.
    """
    lists = Slow()
    with pytest.raises(StoreUnavailable):
        await Throughput(lists).last_day(START)
    await asyncio.sleep(100)
    assert len(lists.counted) <= 2 * AT_ONCE


async def test_a_slow_count_goes_on_while_the_one_before_is_shown() -> None:
    clock, pauses, counts = VirtualClock(), [0.0, 60.0], [1, 2]

    async def count() -> int:
        await asyncio.sleep(pauses.pop(0))
        return counts.pop(0)

    counted = Counted(count, clock)
    assert await counted.get() == 1
    clock.pause(COUNT_SECONDS)
    for _ in range(3):
        begun = clock.monotonic()
        assert await counted.get() == 1
        assert clock.monotonic() - begun <= PART_SECONDS
    await clock.sleep(60)
    assert await counted.get() == 2


async def test_a_count_that_fails_is_left_out_and_tried_again_after_a_while() -> None:
    clock = VirtualClock()
    answers: list[int | Exception] = [5, StoreUnavailable("MongoDB cannot be used now"), 7]

    async def count() -> int:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    counted = Counted(count, clock)
    assert await counted.get() == 5
    clock.pause(COUNT_SECONDS)
    assert await counted.get() is None, "an old count would be shown for ever"
    assert await counted.get() is None
    assert len(answers) == 1, "a count that takes too long is not begun again at once"
    clock.pause(COUNT_SECONDS)
    assert await counted.get() == 7


class NoCensus:
    """A census that the database does not end in time."""

    async def unfinished(self) -> Sequence[Unfinished]:
        raise StoreUnavailable("MongoDB cannot be used now (NetworkTimeout)")

    async def due(self, services: Collection[str], now: datetime, limit: int) -> Mapping[str, int]:
        raise StoreUnavailable("MongoDB cannot be used now (NetworkTimeout)")


async def test_jobs_that_cannot_be_counted_in_time_hide_nothing_else() -> None:
    console = Console()
    stores = replace(console.stores(), census=NoCensus())
    render = Renderer(console.clock)
    parts = console.routers_over(stores, render)
    async with visiting(parts, clock=console.virtual, render=render) as visited:
        page = await visited.get("/")
        assert page.status_code == 200
        assert "still being counted" in page.text
