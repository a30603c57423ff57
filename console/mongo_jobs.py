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
        """One query along the unique index of (bot, service, events), which bounds its answer.

        A job may have a thousand `eventIds`; those that were not asked for are dropped job by job,
        as the answer is read. The embedded server needs 60 times as long to leave them out.
        """
        if not services or not event_ids:
            return []
        query = {
            "botId": ObjectId(bot_id),
            "service": {"$in": sorted(set(services))},
            "eventIds": {"$in": sorted(set(event_ids))},
        }
        asked = frozenset(event_ids)
        with bounded(self._call_seconds):
            return [
                _covering(document, services, asked) async for document in self._jobs.find(query)
            ]

    async def count_due(self, queue: str, before: datetime, limit: int) -> int:
        """Count along the sparse index of (queue, due)."""
        query = {"queue": queue, "due": {"$gte": EPOCH, "$lt": before}}
        with bounded(self._call_seconds):
            return await self._jobs.count_documents(query, limit=limit)


def _covering(
    document: Mapping[str, Any], services: Collection[str], event_ids: frozenset[str]
) -> Covering:
    """What the document covers. Its job has none of the other events, unless it is damaged."""
    [service, *_] = _matched(document["service"], services)
    stored = document["eventIds"]
    events = _matched(stored, event_ids)
    job = readable({**document, "eventIds": events if isinstance(stored, list) else stored})
    return Covering(service, frozenset(events), job)


def _matched(stored: object, asked: Collection[str]) -> list[str]:
    """The values of a field that are among `asked`, even if it is damaged: a query matches the
    values in a list, and also a single value.
    """
    held = stored if isinstance(stored, list) else [stored]
    return [each for each in held if isinstance(each, str) and each in asked]
