"""What the console reads, in memory, for tests. It passes the same suite as the real ones."""

from collections.abc import Collection, Sequence
from datetime import datetime

from console.ports import Covering
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
            Covering(job.service, covered, job)
            for job in self.store.jobs.values()
            if job.bot_id == bot_id and job.service in services
            if (covered := frozenset(event_ids).intersection(job.event_ids))
        ]

    async def count_due(self, queue: str, before: datetime, limit: int) -> int:
        """See the port."""
        due = (job.due for job in self.store.jobs.values() if job.queue == queue)
        return min(limit, sum(each is not None and each < before for each in due))
