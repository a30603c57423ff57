"""What the console reads, in memory, for tests. It passes the same suite as the real ones."""

from collections.abc import Collection, Sequence
from dataclasses import replace
from datetime import datetime

from console.ports import Covering
from deletion.doctor import Examination
from deletion.ports import Unreadable
from tests.support.memory_stores import MemoryJobStore


class MemoryDeletionJobs:
    """`console.ports.DeletionJobs` on the jobs of `store`."""

    def __init__(self, store: MemoryJobStore) -> None:
        self.store = store

    async def covering(
        self, bot_id: str, services: Collection[str], event_ids: Collection[str]
    ) -> Sequence[Covering]:
        """See the port."""
        return [
            Covering(job.service, frozenset(covered), replace(job, event_ids=covered))
            for job in self.store.jobs.values()
            if job.bot_id == bot_id and job.service in services
            if (covered := tuple(each for each in job.event_ids if each in event_ids))
        ]

    async def count_due(self, queue: str, before: datetime, limit: int) -> int:
        """See the port."""
        due = (job.due for job in self.store.jobs.values() if job.queue == queue)
        return min(limit, sum(each is not None and each < before for each in due))


class MemoryExaminationStore:
    """`deletion.doctor.ExaminationStore` in memory."""

    def __init__(self) -> None:
        self.examination: Examination | Unreadable | None = None

    async def keep(self, examination: Examination) -> None:
        """See the port."""
        self.examination = examination

    async def last(self) -> Examination | Unreadable | None:
        """See the port."""
        return self.examination
