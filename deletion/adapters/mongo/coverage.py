"""The jobs as the ledger sees them, on MongoDB: which requests each covers, and when it completed.

It reads those few fields itself, so that a job that cannot be read as a whole still counts.
"""

from collections.abc import Collection, Mapping, Set
from datetime import datetime
from typing import Any, Final

from bson import ObjectId
from pymongo import ASCENDING

from deletion.adapters.mongo.connection import CALL_SECONDS, Client, Document, bounded
from deletion.adapters.mongo.fields import DAMAGED, field, time_or_none
from deletion.adapters.mongo.jobs import COLLECTION
from deletion.errors import with_type
from deletion.job import Status
from deletion.ledger import Coverage
from deletion.ports import Unreadable

ASKED: Final = 20
"""Requests of one query for their jobs, of which each service has one: with hundreds of services
the answer must still arrive within the bound of a call."""
_FIELDS: Final = ("service", "botId", "eventIds", "status", "finishedAt", "unreported")


class MongoCoverageStore:
    """`deletion.ledger.CoverageStore` on the jobs of `database`; it needs their indexes."""

    def __init__(
        self, client: Client, database: str, *, call_seconds: float = CALL_SECONDS
    ) -> None:
        self._jobs = client[database][COLLECTION]
        self._call_seconds = call_seconds

    async def unreported(
        self, since: datetime, until: datetime, limit: int
    ) -> list[Coverage | Unreadable]:
        """Query a range, closed at both ends, of the sparse index of `unreported`."""
        query = {"unreported": {"$gte": since, "$lte": until}}
        with bounded(self._call_seconds):
            cursor = self._jobs.find(query, dict.fromkeys(_FIELDS, True))
            found = await cursor.sort("unreported", ASCENDING).limit(limit).to_list(limit)
        return [_readable(document) for document in found]

    async def mark_reported(self, job_ids: Collection[str]) -> None:
        """One update by `_id`. A complete job is final, so it needs no guard."""
        if not job_ids:
            return
        query = {"_id": {"$in": [ObjectId(job_id) for job_id in job_ids]}}
        with bounded(self._call_seconds):
            await self._jobs.update_many(query, {"$unset": {"unreported": ""}})

    async def covering(self, requests: Collection[tuple[str, str]]) -> list[Coverage]:
        """A query for each `ASKED` requests, along the unique index that begins with the bot."""
        wanted, found = sorted(set(requests)), dict[str, Coverage]()
        for first in range(0, len(wanted), ASKED):
            group = set(wanted[first : first + ASKED])
            for each in await self._of_bots(group):
                if isinstance(each, Coverage) and _covers(each, group):
                    found[each.job_id] = each
        return list(found.values())

    async def _of_bots(self, requests: Set[tuple[str, str]]) -> list[Coverage | Unreadable]:
        """The jobs of one of these bots that cover one of these events."""
        query: Document = {
            "botId": {"$in": [ObjectId(bot) for bot in sorted({bot for bot, _ in requests})]},
            "eventIds": {"$in": sorted(event for _, event in requests)},
        }
        with bounded(self._call_seconds):
            found = await self._jobs.find(query, dict.fromkeys(_FIELDS, True)).to_list(None)
        return [_readable(document) for document in found]


def _covers(coverage: Coverage, requests: Set[tuple[str, str]]) -> bool:
    return any((coverage.bot_id, event) in requests for event in coverage.event_ids)


def _readable(document: Mapping[str, Any]) -> Coverage | Unreadable:
    try:
        return _coverage(document)
    except DAMAGED as error:
        completed_at = time_or_none(document.get("unreported"))
        return Unreadable(str(document.get("_id")), with_type(error), due=completed_at)


def _coverage(document: Mapping[str, Any]) -> Coverage:
    """Raises one of `DAMAGED`. Only a complete job has ever been marked as unreported."""
    times = (time_or_none(document.get(name)) for name in ("unreported", "finishedAt"))
    completed_at = next((time for time in times if time), None)
    return Coverage(
        job_id=str(document["_id"]),
        service=field(document, "service", str),
        bot_id=str(field(document, "botId", ObjectId)),
        event_ids=tuple(str(event) for event in field(document, "eventIds", list)),
        completed_at=completed_at if document.get("status") == Status.COMPLETE else None,
    )
