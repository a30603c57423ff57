"""How many jobs are live, counted by the database along an index."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

from deletion.adapters.mongo.connection import CALL_SECONDS, Client, Document, bounded
from deletion.adapters.mongo.jobs import COLLECTION
from deletion.job import NOT_LIVE, Status
from deletion.ports import Unfinished

FIRST, LAST = datetime(1970, 1, 1, tzinfo=UTC), datetime(9999, 12, 31, tzinfo=UTC)
"""A `createdAt` outside this range counts as damaged."""
UNFINISHED: Final = tuple(status for status in Status if status not in NOT_LIVE)


class MongoCensus:
    """`deletion.ports.Census`: one aggregation, covered by (status, service, createdAt)."""

    def __init__(self, client: Client, database: str) -> None:
        self._jobs = client[database][COLLECTION]

    async def unfinished(self) -> Sequence[Unfinished]:
        """See the port. The cost grows with the live jobs, not with all jobs."""
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


def _unfinished(group: Document) -> Unfinished:
    """One group of the answer. Jobs without a readable service form one group."""
    of = group["_id"]
    service = str(of.get("service") or "")
    return Unfinished(service, Status(of["status"]), group["jobs"], group["oldest"])
