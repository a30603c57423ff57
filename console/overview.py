"""What the overview shows: one reading of everything that an operator looks at first."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from console.lists import JobLists, LetterGroup, LetterLists, SweepLists, SweepRow
from deletion.breaker import Breaker, BreakerStore
from deletion.clock import Clock
from deletion.kept import Kept
from deletion.ledger import RequestCensus, RequestStore
from deletion.ports import Census, Unfinished, Unreadable

MOST_COUNTED: Final = 10_000
"""Requests of each kind, and dead letters, that are counted."""
MOST_COMPLETED: Final = 1_000_000
"""Jobs of an hour that are counted."""
CENSUS_SECONDS: Final = 10.0
"""How long the count of jobs is kept: it reads all that are unfinished."""
HOUR: Final = timedelta(hours=1)
HOURS: Final = 24
SETTLED: Final = timedelta(minutes=10)
"""After this long the count of an hour no longer changes: clocks differ by far less."""
AT_ONCE: Final = 4
"""Hours counted side by side."""


@dataclass(frozen=True, slots=True)
class Hour:
    """How many jobs completed in the hour that began at `start`."""

    start: datetime
    completed: int


@dataclass(frozen=True, slots=True)
class Overview:
    """Everything at about one moment. Counts are at most `MOST_COUNTED`."""

    taken_at: datetime
    requests: RequestCensus
    unfinished: Sequence[Unfinished]
    letters: Sequence[LetterGroup]
    breakers: Sequence[Breaker]
    hours: Sequence[Hour]
    last_sweep: SweepRow | Unreadable | None


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
        one_of_few = asyncio.Semaphore(AT_ONCE)

        async def counted(start: datetime) -> Hour:
            async with one_of_few:
                return Hour(start, await self._completed(start, now))

        return await asyncio.gather(*map(counted, starts))

    async def _completed(self, start: datetime, now: datetime) -> int:
        if start in self._over:
            return self._over[start]
        completed = await self._jobs.completed(start, start + HOUR, MOST_COMPLETED)
        if now >= start + HOUR + SETTLED:
            self._over[start] = completed
        return completed


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
        self._unfinished = Kept(census.unfinished, CENSUS_SECONDS, clock.monotonic)
        self._throughput = Throughput(jobs)
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
            self._throughput.last_day(now),
            self._sweeps.newest(before=None, limit=1),
        )
        last = sweeps[0] if sweeps else None
        return Overview(now, requests, unfinished, letters, breakers, hours, last)
