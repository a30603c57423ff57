"""The lists of the console's pages, in memory. They pass the same suite as the real ones."""

from collections.abc import Sequence
from datetime import datetime

from console.lists import (
    JobFilter,
    JobState,
    LetterFilter,
    LetterGroup,
    LetterHead,
    Listed,
    Position,
    SortedBy,
)
from deletion.clock import Clock
from deletion.dead_letter import DeadLetter, DeadLetterStatus
from deletion.job import Job, LeasePolicy, Status
from deletion.ports import Unreadable
from deletion.sweep import Sweep
from tests.support.memory_stores import MemoryDeadLetterStore, MemoryJobStore, MemorySweepStore


class MemoryJobLists:
    """`console.lists.JobLists` on the jobs of `store`."""

    def __init__(self, store: MemoryJobStore, clock: Clock, policy: LeasePolicy) -> None:
        self.store = store
        self._clock = clock
        self._policy = policy

    async def page(
        self, wanted: JobFilter, *, beyond: Position | None, oldest_first: bool, limit: int
    ) -> Sequence[Listed]:
        """See the port."""
        found = [
            Listed((at, job.id), job)
            for job in self.store.jobs.values()
            if _matches(job, wanted) and wanted.state in (None, self._state_of(job))
            if (at := _time_of(job, wanted.sorted_by))
        ]
        found.sort(key=lambda listed: listed.position, reverse=not oldest_first)
        if beyond:
            found = [
                each
                for each in found
                if (each.position > beyond if oldest_first else each.position < beyond)
            ]
        return found[:limit]

    def _state_of(self, job: Job) -> JobState | None:
        now = self._clock.now()
        if job.is_parked(now):
            return JobState.PARKED
        return JobState.STALE if job.is_stale(now, self._policy) else None

    async def completed(self, since: datetime, until: datetime, limit: int) -> int:
        """See the port."""
        times = [
            job.last_modified_at
            for job in self.store.jobs.values()
            if job.status is Status.COMPLETE
        ]
        return min(limit, sum(since <= time < until for time in times))


class MemoryLetterLists:
    """`console.lists.LetterLists` on the letters of `store`."""

    def __init__(self, store: MemoryDeadLetterStore) -> None:
        self.store = store

    async def groups(self, limit: int) -> Sequence[LetterGroup]:
        """See the port."""
        new = [x for x in self.store.letters.values() if x.status is DeadLetterStatus.NEW][:limit]
        by: dict[tuple[str, str], list[DeadLetter]] = {}
        for letter in new:
            by.setdefault((letter.service, letter.reason.value), []).append(letter)
        groups = [
            LetterGroup(service, reason, len(each), max(x.last_seen_at for x in each))
            for (service, reason), each in by.items()
        ]
        return sorted(groups, key=lambda group: (-group.letters, group.service, group.reason))

    async def heads(
        self, wanted: LetterFilter, *, before: str | None, limit: int
    ) -> Sequence[LetterHead | Unreadable]:
        """See the port."""
        found = await self.store.find(
            service=wanted.service,
            reason=wanted.reason,
            status=wanted.status,
            before=before,
            limit=limit,
        )
        return [_head(each) if isinstance(each, DeadLetter) else each for each in found]


class MemorySweepLists:
    """`console.lists.SweepLists` on the sweeps of `store`."""

    def __init__(self, store: MemorySweepStore) -> None:
        self.store = store

    async def newest(self, *, before: str | None, limit: int) -> Sequence[Sweep | Unreadable]:
        """See the port."""
        ids = sorted(each for each in self.store.sweeps if not before or each < before)
        return [self.store.sweeps[each] for each in ids[::-1][:limit]]


def _matches(job: Job, wanted: JobFilter) -> bool:
    return (
        wanted.service in (None, job.service)
        and wanted.bot_id in (None, job.bot_id)
        and wanted.status in (None, job.status)
    )


def _time_of(job: Job, by: SortedBy) -> datetime | None:
    times = {
        SortedBy.CREATED: job.created_at,
        SortedBy.MODIFIED: job.last_modified_at,
        SortedBy.DUE: job.due,
    }
    return times[by]


def _head(letter: DeadLetter) -> LetterHead:
    return LetterHead(
        letter.id,
        letter.service,
        letter.reason,
        letter.detail,
        letter.status,
        letter.count,
        letter.returns,
        letter.last_seen_at,
    )
