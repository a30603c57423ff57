"""A walk visits each record once, and what cannot be handled hides nothing behind it."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta

import pytest
from prometheus_client import CollectorRegistry

from deletion.errors import StoreUnavailable
from deletion.ports import Unreadable
from recovery.ledger.metrics import LedgerMetrics, PartName
from recovery.ledger.walk import PASSED_OVER_SECONDS, Walk
from tests.support.clock import START, VirtualClock

pytestmark = [pytest.mark.virtual_time, pytest.mark.usefixtures("logs")]

SECOND, DAY = timedelta(seconds=1), timedelta(days=1)


@dataclass
class Record:
    name: str
    at: datetime


class Records:
    """Records that stay due, unless they are taken away."""

    def __init__(self, *records: Record | Unreadable, beyond_now: bool = False) -> None:
        self.records = list(records)
        self.reads: list[int] = []
        self.matched: list[int] = []
        self.down, self.most = False, 10**9
        self.registry = CollectorRegistry()
        self.clock = VirtualClock()
        self.walk = Walk[Record](
            PartName.SETTLE,
            self.read,
            lambda record: record.at,
            lambda record: record.name,
            self.clock,
            LedgerMetrics(self.registry),
            beyond_now=beyond_now,
        )

    async def read(
        self, since: datetime, until: datetime, limit: int
    ) -> Sequence[Record | Unreadable]:
        self.reads.append(limit)
        matching = [each for each in self.records if since <= self._at(each) <= until]
        self.matched.append(len(matching))
        if self.down or len(matching) > self.most:
            raise StoreUnavailable("the database is down")
        return matching[:limit]

    @staticmethod
    def _at(record: Record | Unreadable) -> datetime:
        return record.at if isinstance(record, Record) else record.due or START - DAY

    async def visited(self, size: int = 2) -> list[str]:
        return [each.name async for page in self.walk.pages(size) for each in page]

    @property
    def failures(self) -> float:
        labels = {"part": "settle"}
        return self.registry.get_sample_value("botdel_ledger_failures_total", labels) or 0.0


@pytest.mark.parametrize("ties", [1, 2, 3, 7])
async def test_each_is_visited_once_however_many_share_a_moment(ties: int) -> None:
    records = Records(*(Record(str(n), START - DAY + n // ties * SECOND) for n in range(20)))
    assert await records.visited() == [str(n) for n in range(20)]


async def test_what_is_handled_meanwhile_does_not_make_it_skip_others() -> None:
    records = Records(*(Record(str(n), START) for n in range(9)))
    seen = []
    async for page in records.walk.pages(2):
        seen += [each.name for each in page]
        records.records = [each for each in records.records if each not in page]
    assert seen == [str(n) for n in range(9)]


async def test_unreadable_records_are_counted_and_hide_nothing() -> None:
    damaged = [Unreadable(f"u{n}", "damaged", due=START - SECOND) for n in range(5)]
    timeless = [Unreadable(f"t{n}", "damaged") for n in range(5)]
    records = Records(*timeless, *damaged, Record("a", START - SECOND), Record("b", START))
    assert await records.visited() == ["a", "b"]
    assert records.failures == 10


async def test_unreadable_records_are_not_walked_again_before_newer_ones() -> None:
    damaged = [Unreadable(f"u{n}", "damaged", due=START - SECOND) for n in range(50)]
    records = Records(*damaged, Record("a", START))
    assert await records.visited(100) == ["a"]
    records.reads.clear()
    assert await records.visited(100) == ["a"]
    assert records.failures == 50, "they are passed over"
    assert max(records.reads) <= 101
    records.clock.pause(PASSED_OVER_SECONDS)
    assert await records.visited(100) == ["a"]
    assert records.failures == 100, "and tried again after a while"


def backlog(size: int) -> list[Record]:
    """Records of the last three hours, the earliest first."""
    return [Record(str(n), START - 3 * timedelta(hours=1) * (1 - n / size)) for n in range(size)]


async def pages_of(records: Records, most: int) -> int:
    """Walk over at most so many pages of 100, and return how many records they had."""
    walk, seen = records.walk.pages(100), 0
    assert isinstance(walk, AsyncGenerator)
    for _ in range(most):
        seen += len(await anext(walk))
    await walk.aclose()
    return seen


@pytest.mark.parametrize("size", [2_000, 20_000])
async def test_what_a_walk_reads_grows_with_what_it_handles_not_with_the_backlog(size: int) -> None:
    """A read may cost what its range of times matches, whatever its limit."""
    records = Records(*backlog(size))
    await pages_of(records, 2)
    records.matched.clear()
    assert await pages_of(records, 5) >= 200
    assert sum(records.matched) <= 2_000


async def test_after_a_read_that_fails_it_begins_with_a_narrow_window() -> None:
    records = Records(*backlog(20_000))
    await pages_of(records, 3)
    records.clock.pause(60)
    records.down = True
    with pytest.raises(StoreUnavailable):
        await records.visited()
    records.down = False
    records.matched.clear()
    await pages_of(records, 1)
    assert records.matched[0] < 1_000


async def test_a_backlog_of_which_the_database_reads_only_so_much_is_walked_in_the_end() -> None:
    records = Records(*backlog(20_000))
    records.most = 2_000
    for failures in range(6):
        try:
            assert await pages_of(records, 5) >= 100
        except StoreUnavailable:
            continue
        assert failures, "the first leap matched more than that"
        return
    pytest.fail("every read matched too much")


async def test_when_even_a_narrow_window_matches_too_much_it_begins_anew() -> None:
    """Such as after records were handed back: they are due when they were created, so they are
    before the end of the window.
    """
    records = Records()
    await records.visited()
    records.records, records.most = list(backlog(20_000)), 2_000
    for _ in range(20):
        with suppress(StoreUnavailable):
            assert await pages_of(records, 1) == 100
            return
    pytest.fail("every read matched too much")


@pytest.mark.parametrize("beyond_now", [True, False])
async def test_what_is_due_later_is_walked_only_if_wanted(*, beyond_now: bool) -> None:
    ahead = Record("ahead", START + timedelta(days=30_000))
    records = Records(Record("a", START), ahead, beyond_now=beyond_now)
    for _ in range(2):
        assert await records.visited() == (["a", "ahead"] if beyond_now else ["a"])
