"""The jobs as a status shows them, on MongoDB."""

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any

from bson import ObjectId

from console.ports import Covering
from deletion.adapters.mongo.connection import CALL_SECONDS, Client, bounded
from deletion.adapters.mongo.job_document import readable
from deletion.adapters.mongo.jobs import COLLECTION
from deletion.silence import EPOCH


class MongoDeletionJobs:
    """`console.ports.DeletionJobs` on the jobs of `database`; it needs their indexes."""

    def __init__(
        self, client: Client, database: str, *, call_seconds: float = CALL_SECONDS
    ) -> None:
        self._jobs = client[database][COLLECTION]
        self._call_seconds = call_seconds

    async def covering(
        self, bot_id: str, services: Collection[str], event_ids: Collection[str]
    ) -> list[Covering]:
        """One query along the unique index of (bot, service, events), which bounds its answer."""
        if not services or not event_ids:
            return []
        query = {
            "botId": ObjectId(bot_id),
            "service": {"$in": sorted(set(services))},
            "eventIds": {"$in": sorted(set(event_ids))},
        }
        with bounded(self._call_seconds):
            found = await self._jobs.find(query).to_list(None)
        return [_covering(document, services, event_ids) for document in found]

    async def count_due(self, queue: str, before: datetime, limit: int) -> int:
        """Count along the sparse index of (queue, due)."""
        query = {"queue": queue, "due": {"$gte": EPOCH, "$lt": before}}
        with bounded(self._call_seconds):
            return await self._jobs.count_documents(query, limit=limit)


def _covering(
    document: Mapping[str, Any], services: Collection[str], event_ids: Collection[str]
) -> Covering:
    [service, *_] = _matched(document["service"], services)
    events = _matched(document["eventIds"], event_ids)
    return Covering(service, frozenset(events), readable(document))


def _matched(stored: object, asked: Collection[str]) -> list[str]:
    """Those of `asked` for which a query has matched the field, even if it is damaged: a list
    matches what it holds, and so does a single value.
    """
    held = stored if isinstance(stored, list) else [stored]
    return [each for each in asked if each in held]
