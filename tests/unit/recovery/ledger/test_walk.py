"""A walk visits each record once, and what cannot be handled hides nothing behind it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import pytest
from prometheus_client import CollectorRegistry

from deletion.ports import Unreadable
from recovery.ledger.metrics import LedgerMetrics, PartName
from recovery.ledger.walk import PASSED_OVER_SECONDS, Walk
from tests.support.clock import START, VirtualClock

pytestmark = [pytest.mark.virtual_time, pytest.mark.usefixtures("logs")]

SECOND = timedelta(seconds=1)


@dataclass
class Record:
    name: str
    at: datetime


class Records:
    """Records that stay due, unless they are taken away."""

    def __init__(self, *records: Record | Unreadable) -> None:
        self.records = list(records)
        self.reads: list[int] = []
        self.registry = CollectorRegistry()
        self.clock = VirtualClock()
        self.walk = Walk[Record](
            PartName.SETTLE,
            self.read,
            lambda record: record.at,
            lambda record: record.name,
            self.clock,
            LedgerMetrics(self.registry),
        )

    async def read(self, since: datetime, limit: int) -> Sequence[Record | Unreadable]:
        self.reads.append(limit)
        return [each for each in self.records if self._at(each) >= since][:limit]

    @staticmethod
    def _at(record: Record | Unreadable) -> datetime:
        return record.at if isinstance(record, Record) else record.due or START

    async def visited(self, size: int = 2) -> list[str]:
        return [each.name async for page in self.walk.pages(size) for each in page]

    @property
    def failures(self) -> float:
        labels = {"part": "settle"}
        return self.registry.get_sample_value("botdel_ledger_failures_total", labels) or 0.0


@pytest.mark.parametrize("ties", [1, 2, 3, 7])
async def test_each_is_visited_once_however_many_share_a_moment(ties: int) -> None:
    records = Records(*(Record(str(n), START + n // ties * SECOND) for n in range(20)))
    assert await records.visited() == [str(n) for n in range(20)]


async def test_what_is_handled_meanwhile_does_not_make_it_skip_others() -> None:
    records = Records(*(Record(str(n), START) for n in range(9)))
    seen = []
    async for page in records.walk.pages(2):
        seen += [each.name for each in page]
        records.records = [each for each in records.records if each not in page]
    assert seen == [str(n) for n in range(9)]


async def test_unreadable_records_are_counted_and_hide_nothing() -> None:
    damaged = [Unreadable(f"u{n}", "damaged", due=START) for n in range(5)]
    timeless = [Unreadable(f"t{n}", "damaged") for n in range(5)]
    records = Records(*timeless, *damaged, Record("a", START), Record("b", START + SECOND))
    assert await records.visited() == ["a", "b"]
    assert records.failures == 10


async def test_unreadable_records_are_not_walked_again_before_newer_ones() -> None:
    damaged = [Unreadable(f"u{n}", "damaged", due=START) for n in range(50)]
    records = Records(*damaged, Record("a", START + SECOND))
    assert await records.visited(100) == ["a"]
    records.reads.clear()
    assert await records.visited(100) == ["a"]
    assert records.failures == 50, "they are passed over"
    assert max(records.reads) <= 101
    records.clock.pause(PASSED_OVER_SECONDS)
    assert await records.visited(100) == ["a"]
    assert records.failures == 100, "and tried again after a while"
