"""Walks what is due, the earliest first, with one page in memory at a time."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from datetime import datetime
from typing import Final, Generic, TypeVar

import structlog

from deletion.clock import TICK, Clock
from deletion.due_window import Earliest
from deletion.ports import Unreadable
from deletion.silence import EPOCH
from recovery.ledger.metrics import LedgerMetrics, PartName

T = TypeVar("T")

PAGE: Final = 100
"""Records in memory and under way at a time."""
PASSED_OVER_SECONDS: Final = 60.0
"""Seconds after which records that could not be handled are tried again."""

log = structlog.get_logger(__name__)


class Walk(Generic[T]):
    """One part's walks over its records, from the earliest on.

    `read` takes the two bounds of a range of times and a limit, and returns the earliest records in
    it; `time_of` returns the time by which they are sorted, and `id_of` their id. It walks what is
    due now, and with `beyond_now` what is due later too. A record that was handled is usually gone
    from the next read. One that cannot be read is logged, counted and passed over, and a part may
    pass others over: for `PASSED_OVER_SECONDS` all walks begin behind them, so that many of them do
    not hold up newer ones again and again.
    """

    def __init__(
        self,
        part: PartName,
        read: Callable[[datetime, datetime, int], Awaitable[Sequence[T | Unreadable]]],
        time_of: Callable[[T], datetime | None],
        id_of: Callable[[T], str],
        clock: Clock,
        metrics: LedgerMetrics,
        *,
        beyond_now: bool = False,
    ) -> None:
        self._part = part
        self._earliest = Earliest(read, self._at)
        self._beyond_now = beyond_now
        self._time_of = time_of
        self._id_of = id_of
        self._clock = clock
        self._metrics = metrics
        self._since = EPOCH
        self._all_again_at = float("-inf")

    async def pages(self, size: int = PAGE) -> AsyncIterator[list[T]]:
        """Pages of at most `size` records, each record once. Raises what `read` raises."""
        if self._clock.monotonic() >= self._all_again_at:
            self._since = EPOCH
        since, seen, timeless = self._since, set[str](), set[str]()
        while page := await self._next(since, size, seen | timeless):
            moments = {self._id(each): self._at(each) for each in page}
            yield self._readable(page)
            timeless |= {name for name, at in moments.items() if at is None}
            latest = max((at for at in moments.values() if at), default=since)
            seen = seen if latest == since else set()
            seen |= {name for name, at in moments.items() if at == latest}
            since = latest

    def pass_over(self, left: Sequence[T | Unreadable]) -> None:
        """Begin the next walks behind these, until it is time to try all again."""
        times = [at for each in left if (at := self._at(each))]
        if self._since == EPOCH:
            self._all_again_at = self._clock.monotonic() + PASSED_OVER_SECONDS
        self._since = max([self._since, *(at + TICK for at in times)])

    async def _next(self, since: datetime, size: int, passed: set[str]) -> list[T | Unreadable]:
        """At most `size` records from `since` on, without those that were `passed`."""

        def is_new(record: T | Unreadable) -> bool:
            return self._id(record) not in passed

        found = await self._earliest.read(
            since,
            self._clock.now(),
            size + len(passed),
            is_new=is_new,
            beyond_now=self._beyond_now,
        )
        return [each for each in found if is_new(each)][:size]

    def _readable(self, page: Sequence[T | Unreadable]) -> list[T]:
        readable, unreadable = [], []
        for each in page:
            if isinstance(each, Unreadable):
                unreadable.append(each)
                log.error("record cannot be read", part=self._part, id=each.id, reason=each.reason)
            else:
                readable.append(each)
        if unreadable:
            self._metrics.failure(self._part, len(unreadable))
            self.pass_over(unreadable)
        return readable

    def _id(self, record: T | Unreadable) -> str:
        return record.id if isinstance(record, Unreadable) else self._id_of(record)

    def _at(self, record: T | Unreadable) -> datetime | None:
        return record.due if isinstance(record, Unreadable) else self._time_of(record)
