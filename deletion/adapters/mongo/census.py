"""How many jobs are unfinished, counted by the database along an index."""

from collections.abc import Sequence
from typing import Final

from deletion.adapters.mongo.connection import CALL_SECONDS, Client, Document, bounded
from deletion.adapters.mongo.jobs import COLLECTION
from deletion.job import Status
from deletion.ports import Unfinished

UNFINISHED: Final = tuple(status for status in Status if status is not Status.COMPLETE)


class MongoCensus:
    """`deletion.ports.Census`: one aggregation, covered by (status, service, createdAt)."""

    def __init__(self, client: Client, database: str) -> None:
        self._jobs = client[database][COLLECTION]

    async def unfinished(self) -> Sequence[Unfinished]:
        """See the port. Its cost grows with the unfinished jobs, not with all."""
        of = {"service": "$service", "status": "$status"}
        pipeline: list[Document] = [
            {"$match": {"status": {"$in": [status.value for status in UNFINISHED]}}},
            {"$group": {"_id": of, "jobs": {"$sum": 1}, "oldest": {"$min": "$createdAt"}}},
        ]
        with bounded(CALL_SECONDS):
            found = await self._jobs.aggregate(pipeline).to_list(None)
        return [
            Unfinished(
                group["_id"]["service"],
                Status(group["_id"]["status"]),
                group["jobs"],
                group["oldest"],
            )
            for group in found
        ]
