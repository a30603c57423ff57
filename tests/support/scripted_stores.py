"""Stores in memory with faults. Tests inject faults here, through the ports, and nowhere else."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from datetime import datetime, timedelta

from deletion.clock import Clock
from deletion.dead_letter import DeadLetter
from deletion.errors import StoreUnavailable
from deletion.job import Change, Job, Status
from deletion.ports import Read, Recorded, Unfinished, Unreadable
from tests.support.memory_stores import MemoryDeadLetterStore, MemoryJobStore


class ScriptedStore(MemoryJobStore):
    """A job store with faults: each of `faults[method]` is raised by one of the next calls.

    A fault in `lost` is raised after the work was done, as if the answer was lost. While `down`,
    every call raises `StoreUnavailable`. `pauses[method]` are the seconds that a call takes. The
    store's clock is ahead of the others by `skew`.
    """

    def __init__(self, clock: Clock, journal: list[str] | None = None) -> None:
        super().__init__(clock.now)
        self._clock = clock
        self.journal = journal if journal is not None else []
        self.down = False
        self.skew = timedelta(0)
        self.unreadable: dict[str, Unreadable] = {}
        self.faults: dict[str, deque[BaseException | None]] = {}
        self.lost: dict[str, deque[BaseException | None]] = {}
        self.pauses: dict[str, float] = {}
        self.applied: list[Change] = []
        self.before_apply: Callable[[Change], Awaitable[None]] | None = None
        self.calls: list[str] = []

    async def ping(self) -> None:
        await self._enter("ping")

    async def check_writes(self) -> None:
        await self._enter("check_writes")

    async def record(self, jobs: Sequence[Job]) -> list[Recorded]:
        await self._enter("record")
        recorded = await super().record(jobs)
        self._leave("record", *(job.event_id for job in jobs))
        return recorded

    async def apply(self, change: Change) -> Job:
        await self._enter("apply")
        if self.before_apply:
            await self.before_apply(change)
        job = await super().apply(change)
        self.applied.append(change)
        self._leave("apply", change.after.status)
        return job

    async def get(self, job_id: str) -> Job | None:
        await self._enter("get")
        return await super().get(job_id)

    async def due(self, queue: str, since: datetime, until: datetime, limit: int) -> Sequence[Read]:
        await self._enter("due")
        found = await super().due(queue, since, until, limit)
        return [self.unreadable.get(job.id, job) for job in found]

    async def silent(
        self,
        status: Status,
        *,
        since: datetime,
        until: datetime,
        skip: Collection[str] = (),
        limit: int,
    ) -> Sequence[Read]:
        await self._enter("silent")
        found = await super().silent(status, since=since, until=until, skip=skip, limit=limit)
        return [self.unreadable.get(job.id, job) for job in found]

    async def count(self, status: Status) -> int:
        await self._enter("count")
        return await super().count(status)

    async def count_waiting(self, status: Status, *, until: datetime, limit: int) -> int:
        await self._enter("count_waiting")
        return await super().count_waiting(status, until=until, limit=limit)

    async def time(self) -> datetime:
        await self._enter("time")
        return await super().time() + self.skew

    def damage(self, job: Job) -> Job:
        """From now on pages contain an unreadable record in place of `job`."""
        reason = "'archived' is not a valid Status (ValueError)"
        self.unreadable[job.id] = Unreadable(
            job.id, reason, job.due, job.last_modified_at, job.service, job.bot_id
        )
        return job

    def put(self, job: Job) -> Job:
        """Store `job` as another process would."""
        self.jobs[job.id] = job
        return job

    async def _enter(self, method: str) -> None:
        self.calls.append(method)
        await self._clock.sleep(self.pauses.get(method, 0))
        if self.down:
            raise StoreUnavailable("the database is down")
        _raise_next(self.faults.get(method))

    def _leave(self, method: str, *what: str) -> None:
        self.journal.append(" ".join([method, *what]))
        _raise_next(self.lost.get(method))


def _raise_next(faults: "deque[BaseException | None] | None") -> None:
    if faults and (fault := faults.popleft()):
        raise fault


class ScriptedDeadLetters(MemoryDeadLetterStore):
    """A dead-letter store that raises `StoreUnavailable` while it is `down`; while it `hangs`, its
    calls never return.
    """

    def __init__(self, journal: list[str] | None = None) -> None:
        super().__init__()
        self.journal = journal if journal is not None else []
        self.down = self.hangs = False
        self.calls = 0

    async def record(self, letters: Sequence[DeadLetter]) -> list[DeadLetter]:
        """See the port."""
        self.calls += 1
        if self.hangs:
            await asyncio.Event().wait()
        if self.down:
            raise StoreUnavailable("the database is down")
        told = await super().record(letters)
        self.journal.extend(f"quarantine {letter.message_id}" for letter in letters)
        return told


class CountedJobs:
    """A census with scripted numbers; it raises while `down`, and takes `seconds` for each count.

    `asked` are the services whose due jobs were counted last.
    """

    def __init__(self) -> None:
        self.groups: list[Unfinished] = []
        self.waiting: dict[str, int] = {}
        self.down = self.due_down = False
        self.seconds = 0.0
        self.reads = 0
        self.asked: list[str] = []

    async def due(self, services: Collection[str], now: datetime, limit: int) -> Mapping[str, int]:
        self.asked = sorted(services)
        await asyncio.sleep(self.seconds)
        if self.due_down:
            raise StoreUnavailable("the database is down")
        return {each: min(limit, self.waiting.get(each, 0)) for each in services}

    async def unfinished(self) -> Sequence[Unfinished]:
        self.reads += 1
        await asyncio.sleep(self.seconds)
        if self.down:
            raise StoreUnavailable("the database is down")
        return self.groups
