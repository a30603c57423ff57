"""The job store on MongoDB. Its indexes enforce idempotency; its guarded update is the lease.

Every query uses an index, which tests/architecture measures. The planner chooses it: a `hint` makes
the embedded server read the whole collection.
"""

from collections.abc import Collection, Mapping
from datetime import UTC, datetime
from typing import Any, Final

from bson import ObjectId
from pymongo import ASCENDING, DESCENDING, IndexModel

from deletion.adapters.mongo.connection import (
    CALL_SECONDS,
    Client,
    Document,
    bounded,
    ping,
    server_time,
)
from deletion.adapters.mongo.job_document import from_document, readable
from deletion.adapters.mongo.recording import Recorder
from deletion.adapters.mongo.writes import Writes
from deletion.grouping import Grouping
from deletion.job import Change, Job, Status
from deletion.ports import Read

COLLECTION: Final = "deletion_jobs"
WRITE_CHECKS: Final = "write_checks"
BY_EVENTS: Final = "bot_service_events_unique"
BY_LIVE_BOT: Final = "bot_service_live_unique"
BY_DUE, BY_SILENCE, BY_SERVICE = "queue_due", "status_modified", "status_service_created"
BY_REPORT: Final = "unreported"
INDEXES: Final = [
    IndexModel(
        [("botId", ASCENDING), ("service", ASCENDING), ("eventIds", ASCENDING)],
        name=BY_EVENTS,
        unique=True,
    ),
    IndexModel(
        [("botId", ASCENDING), ("service", ASCENDING)],
        name=BY_LIVE_BOT,
        unique=True,
        partialFilterExpression={"live": True},
    ),
    IndexModel([("queue", ASCENDING), ("due", ASCENDING)], name=BY_DUE, sparse=True),
    IndexModel([("unreported", ASCENDING)], name=BY_REPORT, sparse=True),
    IndexModel([("status", ASCENDING), ("lastModifiedAt", ASCENDING)], name=BY_SILENCE),
    IndexModel(
        [("status", ASCENDING), ("service", ASCENDING), ("createdAt", ASCENDING)], name=BY_SERVICE
    ),
]
GROUP_LIMIT: Final = 100
"""Changes in one bulk write."""
GROUPS: Final = 2
"""Bulk writes under way at a time."""


class MongoJobStore(Recorder):
    """`deletion.ports.JobStore` on one collection of `database`."""

    def __init__(
        self, client: Client, database: str, *, call_seconds: float = CALL_SECONDS
    ) -> None:
        self._database = client[database]
        super().__init__(self._database[COLLECTION], call_seconds)
        writes = Writes(self._jobs, call_seconds)
        self._changes = Grouping(writes.apply, limit=GROUP_LIMIT, senders=GROUPS)

    async def ping(self) -> None:
        """Make one round trip. Raises `StoreUnavailable` within seconds."""
        await ping(self._database)

    async def check_writes(self) -> None:
        """Overwrite one document in a separate collection."""
        with bounded(self._call_seconds):
            await self._database[WRITE_CHECKS].replace_one(
                {"_id": COLLECTION}, {"at": datetime.now(UTC)}, upsert=True
            )

    async def time(self) -> datetime:
        """The server's time, from `hello`."""
        return await server_time(self._database, self._call_seconds)

    def new_id(self) -> str:
        """An ObjectId, as hex."""
        return str(ObjectId())

    async def due(self, queue: str, since: datetime, until: datetime, limit: int) -> list[Read]:
        """Query a range, closed at both ends, of the sparse index of (queue, due)."""
        query = {"queue": queue, "due": {"$gte": since, "$lte": until}}
        return await self._read(query, limit, "due")

    async def apply(self, change: Change) -> Job:
        """Write the change together with others of the same moment, each with its guard."""
        return await self._changes.ask(change)

    async def get(self, job_id: str) -> Job | None:
        """Read by `_id`."""
        with bounded(self._call_seconds):
            found = await self._jobs.find_one({"_id": ObjectId(job_id)})
        return from_document(found) if found else None

    async def silent(
        self,
        status: Status,
        *,
        since: datetime,
        until: datetime,
        skip: Collection[str] = (),
        limit: int,
    ) -> list[Read]:
        """Query a range of the index of (status, lastModifiedAt)."""
        query: Document = {"status": status, "lastModifiedAt": {"$gte": since, "$lte": until}}
        if skip:
            query["_id"] = {"$nin": [ObjectId(job_id) for job_id in skip]}
        return await self._read(query, limit, "lastModifiedAt")

    async def count(self, status: Status) -> int:
        """Count along the index of (status, lastModifiedAt)."""
        with bounded(self._call_seconds):
            return await self._jobs.count_documents({"status": status})

    async def count_waiting(self, status: Status, *, until: datetime, limit: int) -> int:
        """Read along the same index; it does not hold `due`, so each document is fetched."""
        query = {
            "status": status,
            "lastModifiedAt": {"$lte": until},
            "due": {"$not": {"$gt": until}},  # a job without a due, or with a damaged one, counts
        }
        with bounded(self._call_seconds):
            return await self._jobs.count_documents(query, limit=limit)

    async def find(
        self,
        *,
        service: str | None = None,
        bot_id: str | None = None,
        status: Status | None = None,
        limit: int,
    ) -> list[Read]:
        """Newest first, along the index of the bot, (status, service) or the status; else `_id`."""
        query: Document = {}
        if bot_id:
            query["botId"] = ObjectId(bot_id)
        if service:
            query["service"] = service
        if status:
            query["status"] = status
        elif service and not bot_id:
            query["status"] = {"$in": list(Status)}
        order = "_id"
        if not bot_id and (service or status):
            order = "createdAt" if service else "lastModifiedAt"
        return await self._read(query, limit, order, DESCENDING)

    async def _read(
        self, query: Mapping[str, Any], limit: int, order: str, direction: int = ASCENDING
    ) -> list[Read]:
        with bounded(self._call_seconds):
            found = await self._jobs.find(query).sort(order, direction).limit(limit).to_list(limit)
        return [readable(document) for document in found]
