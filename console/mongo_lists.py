"""The lists of dead letters and of sweeps, on MongoDB."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from bson import ObjectId
from pymongo import DESCENDING

from console.lists import (
    LetterFilter,
    LetterGroup,
    LetterHead,
)
from deletion.adapters.mongo.connection import CALL_SECONDS, Client, Document, bounded
from deletion.adapters.mongo.dead_letters import COLLECTION as LETTERS
from deletion.adapters.mongo.fields import DAMAGED, field
from deletion.adapters.mongo.sweeps import COLLECTION as SWEEPS
from deletion.adapters.mongo.sweeps import from_document
from deletion.dead_letter import DeadLetterStatus, Reason
from deletion.errors import with_type
from deletion.ports import Unreadable
from deletion.sweep import Sweep

NO_DATA: Final = {"data": False, "attributes": False}


class MongoLetterLists:
    """`console.lists.LetterLists` on the dead letters of `database`; it needs their indexes."""

    def __init__(
        self, client: Client, database: str, *, call_seconds: float = CALL_SECONDS
    ) -> None:
        self._letters = client[database][LETTERS]
        self._call_seconds = call_seconds

    async def groups(self, limit: int) -> Sequence[LetterGroup]:
        """One aggregation along the index of the status."""
        by = {"service": "$service", "reason": "$reason"}
        pipeline: list[Document] = [
            {"$match": {"status": DeadLetterStatus.NEW.value}},
            {"$limit": limit},
            {"$group": {"_id": by, "letters": {"$sum": 1}, "last": {"$max": "$lastSeenAt"}}},
        ]
        with bounded(self._call_seconds):
            found = await self._letters.aggregate(pipeline).to_list(None)
        groups = [_group(document) for document in found]
        return sorted(groups, key=lambda group: (-group.letters, group.service, group.reason))

    async def heads(
        self, wanted: LetterFilter, *, before: str | None, limit: int
    ) -> Sequence[LetterHead | Unreadable]:
        """Newest first, along the index of service, status or reason; else along `_id`."""
        filters = {
            "service": wanted.service,
            "reason": wanted.reason and wanted.reason.value,
            "status": wanted.status and wanted.status.value,
            "_id": before and {"$lt": ObjectId(before)},
        }
        query = {name: value for name, value in filters.items() if value is not None}
        with bounded(self._call_seconds):
            found = self._letters.find(query, NO_DATA).sort("_id", DESCENDING).limit(limit)
            return [_head(document) for document in await found.to_list(limit)]


class MongoSweepLists:
    """`console.lists.SweepLists` on what recovery records in `database`."""

    def __init__(
        self, client: Client, database: str, *, call_seconds: float = CALL_SECONDS
    ) -> None:
        self._sweeps = client[database][SWEEPS]
        self._call_seconds = call_seconds

    async def newest(self, *, before: str | None, limit: int) -> Sequence[Sweep | Unreadable]:
        """Along `_id`: a later sweep has a later id."""
        query: Document = {"_id": {"$lt": ObjectId(before)}} if before else {}
        with bounded(self._call_seconds):
            found = self._sweeps.find(query).sort("_id", DESCENDING).limit(limit)
            return [_sweep(document) for document in await found.to_list(limit)]


def _group(document: Mapping[str, Any]) -> LetterGroup:
    by, last = document["_id"], document["last"]
    return LetterGroup(
        str(by.get("service") or ""),
        str(by.get("reason") or ""),
        document["letters"],
        last if isinstance(last, datetime) else None,
    )


def _head(document: Mapping[str, Any]) -> LetterHead | Unreadable:
    try:
        return LetterHead(
            id=str(document["_id"]),
            service=field(document, "service", str),
            reason=Reason(document["reason"]),
            detail=field(document, "detail", str),
            status=DeadLetterStatus(document["status"]),
            count=field(document, "count", int),
            returns=field(document, "returns", int),
            last_seen_at=field(document, "lastSeenAt", datetime),
        )
    except DAMAGED as error:
        return Unreadable(str(document.get("_id")), with_type(error))


def _sweep(document: Mapping[str, Any]) -> Sweep | Unreadable:
    try:
        return from_document(document)
    except DAMAGED as error:
        return Unreadable(str(document.get("_id")), with_type(error))
