"""A job store in memory, for tests: it passes the conformance suite of the real one."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from itertools import count, islice

from deletion.errors import LeaseLost
from deletion.job import Change, Job, Status
from deletion.ports import Recorded


class MemoryJobStore:
    """`deletion.ports.JobStore` over a dict. No await inside a method: each is atomic."""

    def __init__(self) -> None:
        self.jobs: dict[str, Job] = {}
        self._ids = count(1)

    async def ping(self) -> None:
        """It is always there."""

    def new_id(self) -> str:
        """Ids that sort in the order they were made."""
        return f"{next(self._ids):024x}"

    async def record(self, jobs: Sequence[Job]) -> list[Recorded]:
        """See the port."""
        return [self._record(job) for job in jobs]

    async def apply(self, change: Change) -> Job:
        """See the port."""
        stored = self.jobs.get(change.after.id)
        if stored is None:
            raise LeaseLost(f"there is no job {change.after.id}")
        written = replace(change.after, placed_at=stored.placed_at)
        if stored != written and not _matches(stored, change):
            raise LeaseLost(f"job {change.after.id} has moved on")
        self.jobs[change.after.id] = written
        return change.after

    async def get(self, job_id: str) -> Job | None:
        """See the port."""
        return self.jobs.get(job_id)

    async def walk(
        self, status: Status, *, modified_before: datetime | None, after: str | None, limit: int
    ) -> list[Job]:
        """See the port."""
        fitting = (
            job
            for _, job in sorted(self.jobs.items())
            if job.status is status
            and (modified_before is None or job.last_modified_at < modified_before)
            and (after is None or job.id > after)
        )
        return list(islice(fitting, limit))

    async def find(
        self,
        *,
        service: str | None = None,
        bot_id: str | None = None,
        status: Status | None = None,
        limit: int,
    ) -> list[Job]:
        """See the port."""
        fitting = (
            job
            for _, job in sorted(self.jobs.items(), reverse=True)
            if service in (None, job.service)
            and bot_id in (None, job.bot_id)
            and status in (None, job.status)
        )
        return list(islice(fitting, limit))

    def _record(self, job: Job) -> Recorded:
        standing = next((j for j in self.jobs.values() if _collides(j, job)), None)
        if standing is None:
            self.jobs[job.id] = job
            return Recorded(job, is_new=True)
        if standing.event_id != job.event_id and standing.placed_at < job.placed_at:
            standing = self.jobs[standing.id] = replace(standing, placed_at=job.placed_at)
        return Recorded(standing, is_new=standing.fence == job.fence)


def _matches(stored: Job, change: Change) -> bool:
    return all(getattr(stored, name) == getattr(change.before, name) for name in change.guard)


def _collides(stored: Job, job: Job) -> bool:
    if stored.service != job.service:
        return False
    same_live_bot = stored.live and job.live and stored.bot_id == job.bot_id
    return stored.event_id == job.event_id or same_live_bot
