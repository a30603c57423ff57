"""How many jobs are live, and how many of them are due; each count walks an index."""

from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Final

from deletion.adapters.mongo.connection import CALL_SECONDS, Client, Document, bounded
from deletion.adapters.mongo.jobs import COLLECTION
from deletion.job import NOT_LIVE, Status, suspect_queue
from deletion.ports import Unfinished
from deletion.side_by_side import side_by_side
from deletion.silence import EPOCH

FIRST, LAST = datetime(1970, 1, 1, tzinfo=UTC), datetime(9999, 12, 31, tzinfo=UTC)
"""A `createdAt` outside this range counts as damaged."""
UNFINISHED: Final = tuple(status for status in Status if status not in NOT_LIVE)
AT_ONCE: Final = 4
"""Services whose due jobs are counted side by side."""


class MongoCensus:
    """`deletion.ports.Census` on the jobs of `database`; it needs their indexes."""

    def __init__(self, client: Client, database: str) -> None:
        self._jobs = client[database][COLLECTION]

    async def unfinished(self) -> Sequence[Unfinished]:
        """See the port. One aggregation, covered by the index of (status, service, createdAt).

        Its cost grows with the live jobs, not with all jobs.
        """
        of = {"service": "$service", "status": "$status"}
        is_time = {"$and": [{"$gte": ["$createdAt", FIRST]}, {"$lte": ["$createdAt", LAST]}]}
        oldest = {"$min": {"$cond": [is_time, "$createdAt", None]}}
        pipeline: list[Document] = [
            {"$match": {"status": {"$in": [status.value for status in UNFINISHED]}}},
            {"$group": {"_id": of, "jobs": {"$sum": 1}, "oldest": oldest}},
        ]
        with bounded(CALL_SECONDS):
            found = await self._jobs.aggregate(pipeline).to_list(None)
        return [_unfinished(group) for group in found]

    async def due(self, services: Collection[str], now: datetime, limit: int) -> Mapping[str, int]:
        """See the port. One call for each service, along the sparse index of (queue, due).

        MongoDB stops at the limit; the embedded server reads every due job.
        """
        named = sorted(set(services))
        counts = [partial(self._due, service, now, limit) for service in named]
        return dict(zip(named, await side_by_side(counts, AT_ONCE), strict=True))

    async def _due(self, service: str, now: datetime, limit: int) -> int:
        queues = [service, suspect_queue(service)]
        query: Document = {"queue": {"$in": queues}, "due": {"$gte": EPOCH, "$lte": now}}
        with bounded(CALL_SECONDS):
            return await self._jobs.count_documents(query, limit=limit)


def _unfinished(group: Document) -> Unfinished:
    """One group of the answer. Jobs without a readable service form one group."""
    of = group["_id"]
    service = str(of.get("service") or "")
    return Unfinished(service, Status(of["status"]), group["jobs"], group["oldest"])
