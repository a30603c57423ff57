"""What the overview shows: everything that an operator looks at first, read together."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Final, Generic, TypeVar

import structlog

from console.lists import JobLists, LetterGroup, LetterLists, SweepLists
from deletion.breaker import Breaker, BreakerStore
from deletion.clock import Clock
from deletion.errors import StoreUnavailable
from deletion.ledger import RequestCensus, RequestStore
from deletion.ports import Census, Unfinished, Unreadable
from deletion.side_by_side import side_by_side
from deletion.sweep import Sweep

T = TypeVar("T")

MOST_COUNTED: Final = 10_000
"""Requests of each kind, and dead letters, that are counted."""
MOST_COMPLETED: Final = 1_000_000
"""Jobs of an hour that are counted."""
COUNT_SECONDS: Final = 10.0
"""How long counts of jobs are kept: they read as much as there is to count."""
PART_SECONDS: Final = 2.0
"""How long an overview waits for a count of jobs."""
HOUR: Final = timedelta(hours=1)
HOURS: Final = 24
FINAL_AFTER: Final = timedelta(minutes=10)
"""After this long the count of an hour no longer changes: clocks differ by far less."""
AT_ONCE: Final = 4
"""Hours counted side by side."""

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Hour:
    """How many jobs completed in the hour that began at `start`."""

    start: datetime
    completed: int


@dataclass(frozen=True, slots=True)
class Overview:
    """Everything, read at about the same time. Counts are at most `MOST_COUNTED`.

    `unfinished` and `hours` are None while they cannot be counted in time.
    """

    taken_at: datetime
    requests: RequestCensus
    unfinished: Sequence[Unfinished] | None
    letters: Sequence[LetterGroup]
    breakers: Sequence[Breaker]
    hours: Sequence[Hour] | None
    last_sweep: Sweep | Unreadable | None


class Throughput:
    """Counts the jobs that completed in each hour of the last day. Hours that are over are counted
    once.
    """

    def __init__(self, jobs: JobLists) -> None:
        self._jobs = jobs
        self._over: dict[datetime, int] = {}

    async def last_day(self, now: datetime) -> Sequence[Hour]:
        """The last `HOURS` hours, the current one last. Raises `StoreUnavailable`."""
        current = now.replace(minute=0, second=0, microsecond=0)
        starts = [current - n * HOUR for n in reversed(range(HOURS))]
        self._over = {start: n for start, n in self._over.items() if start >= starts[0]}
        counted = [partial(self._completed, start, now) for start in starts]
        return [*map(Hour, starts, await side_by_side(counted, AT_ONCE))]

    async def _completed(self, start: datetime, now: datetime) -> int:
        if start in self._over:
            return self._over[start]
        completed = await self._jobs.completed(start, start + HOUR, MOST_COMPLETED)
        if now >= start + HOUR + FINAL_AFTER:
            self._over[start] = completed
        return completed


class Counted(Generic[T]):
    """What `count` returned last, counted again after `COUNT_SECONDS`.

    A count that takes longer than `PART_SECONDS` goes on in the background. Until it ends, `get`
    returns the previous one, or None, so that a large installation does not hold up the overview.
    It also returns None after a count that the database did not end in time, which is logged.
    """

    def __init__(self, count: Callable[[], Awaitable[T]], clock: Clock) -> None:
        self._count = count
        self._clock = clock
        self._counting: asyncio.Future[T] | None = None
        self._value: T | None = None
        self._holds_until = float("-inf")

    async def get(self) -> T | None:
        """Raises what `count` raises, except `StoreUnavailable`."""
        counting = self._counting
        if counting is None and self._clock.monotonic() >= self._holds_until:
            counting = self._counting = asyncio.ensure_future(self._count())
        if counting is None:
            return self._value
        await asyncio.wait({counting}, timeout=PART_SECONDS)
        if counting.done() and counting is self._counting:
            self._counting = None
            self._holds_until = self._clock.monotonic() + COUNT_SECONDS
            try:
                self._value = counting.result()
            except StoreUnavailable as error:
                self._value = None
                log.warning("not counted", reason=str(error))
        return self._value


class Overviews:
    """Reads overviews. Raises `StoreUnavailable` when the database does not answer."""

    def __init__(
        self,
        *,
        requests: RequestStore,
        census: Census,
        jobs: JobLists,
        letters: LetterLists,
        breakers: BreakerStore,
        sweeps: SweepLists,
        clock: Clock,
    ) -> None:
        self._sweeps = sweeps
        self._requests = requests
        throughput = Throughput(jobs)
        self._unfinished = Counted(census.unfinished, clock)
        self._hours = Counted(lambda: throughput.last_day(clock.now()), clock)
        self._letters = letters
        self._breakers = breakers
        self._clock = clock

    async def take(self) -> Overview:
        """Read all parts side by side."""
        now = self._clock.now()
        requests, unfinished, letters, breakers, hours, sweeps = await asyncio.gather(
            self._requests.census(now, MOST_COUNTED),
            self._unfinished.get(),
            self._letters.groups(MOST_COUNTED),
            self._breakers.open_breakers(),
            self._hours.get(),
            self._sweeps.newest(before=None, limit=1),
        )
        last = sweeps[0] if sweeps else None
        return Overview(now, requests, unfinished, letters, breakers, hours, last)
