"""The job store on MongoDB. Its indexes enforce idempotency; its guarded update is the lease.

Every query of the pipeline walks an index; tests/architecture measures each of them. They are
left to the planner: a `hint` makes the embedded server of botdel/local/ read the whole collection.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from functools import reduce
from typing import Any

from bson import ObjectId
from pymongo import ASCENDING, DESCENDING, IndexModel
from pymongo.errors import BulkWriteError

from deletion.adapters.mongo.connection import Client, Document, build_indexes, ping, translated
from deletion.adapters.mongo.job_document import from_document, mutable_fields, to_document
from deletion.errors import LeaseLost, StoreUnavailable
from deletion.job import Change, Job, Status
from deletion.ports import Recorded

COLLECTION = "deletion_jobs"
BY_EVENT, BY_LIVE_BOT = "service_event_unique", "service_bot_live_unique"
BY_STATUS, BY_BOT, BY_ID = "status_id", "bot_id", "_id_"
INDEXES = [
    IndexModel([("service", ASCENDING), ("eventId", ASCENDING)], name=BY_EVENT, unique=True),
    IndexModel(
        [("service", ASCENDING), ("botId", ASCENDING)],
        name=BY_LIVE_BOT,
        unique=True,
        partialFilterExpression={"live": True},
    ),
    IndexModel([("status", ASCENDING), ("_id", ASCENDING)], name=BY_STATUS),
    IndexModel([("botId", ASCENDING), ("_id", ASCENDING)], name=BY_BOT),
]

_DUPLICATE_KEY = 11000
_RECORD_TRIES = 5
_FIELDS = {
    "status": "status",
    "attempt": "attempt",
    "claimed_by": "claimedBy",
    "last_modified_at": "lastModifiedAt",
    "placed_at": "placedAt",
}


class MongoJobStore:
    """`deletion.ports.JobStore` on one collection of `database`."""

    def __init__(self, client: Client, database: str) -> None:
        self._database = client[database]
        self._jobs = self._database[COLLECTION]

    async def ensure_indexes(self) -> None:
        """Create what is missing. Raises `ConfigurationError` if one exists and differs."""
        await build_indexes(self._jobs, INDEXES)

    async def ping(self) -> None:
        """One round trip, or an error within seconds."""
        await ping(self._database)

    def new_id(self) -> str:
        """An ObjectId, as hex."""
        return str(ObjectId())

    async def record(self, jobs: Sequence[Job]) -> list[Recorded]:
        """One bulk insert; for what was there already a find per unique index, and the joining."""
        if not jobs:
            return []
        standing: dict[str, Job] = {}
        pending = list(jobs)
        for _ in range(_RECORD_TRIES):
            refused = await self._insert(pending)
            standing.update({job.id: job for job in pending if job.id not in refused})
            pending = [job for job in pending if job.id in refused]
            standing.update(await self._in_place_of(pending))
            pending = [job for job in pending if job.id not in standing]
            if not pending:
                break
        else:  # each time, the job in the way had moved before it could be joined
            raise StoreUnavailable(f"{len(pending)} jobs kept colliding with ones that moved")
        return [Recorded(standing[job.id], standing[job.id].fence == job.fence) for job in jobs]

    async def apply(self, change: Change) -> Job:
        """One update by `_id` whose filter carries the guard; a repeat is known by its result."""
        guard = {_FIELDS[name]: getattr(change.before, name) for name in change.guard}
        with translated():
            result = await self._jobs.update_one(
                {"_id": ObjectId(change.after.id), **guard}, {"$set": mutable_fields(change.after)}
            )
        if not result.matched_count:
            stored = await self.get(change.after.id)
            if stored is None or replace(stored, placed_at=change.after.placed_at) != change.after:
                raise LeaseLost(f"job {change.after.id} has moved on")
        return change.after

    async def get(self, job_id: str) -> Job | None:
        """By `_id`."""
        found = await self._read({"_id": ObjectId(job_id)}, limit=1)
        return found[0] if found else None

    async def walk(
        self, status: Status, *, modified_before: datetime | None, after: str | None, limit: int
    ) -> list[Job]:
        """Along the index of (status, _id)."""
        query: Document = {"status": status}
        if modified_before:
            query["lastModifiedAt"] = {"$lt": modified_before}
        if after:
            query["_id"] = {"$gt": ObjectId(after)}
        return await self._read(query, limit=limit)

    async def count(self, status: Status) -> int:
        """Along the index of (status, _id)."""
        with translated():
            return await self._jobs.count_documents({"status": status})

    async def find(
        self,
        *,
        service: str | None = None,
        bot_id: str | None = None,
        status: Status | None = None,
        limit: int,
    ) -> list[Job]:
        """Along the index of the bot or the status; without either, back along `_id`."""
        filters = {"botId": bot_id and ObjectId(bot_id), "service": service, "status": status}
        query = {name: value for name, value in filters.items() if value is not None}
        hint = None if bot_id or status else BY_ID
        return await self._read(query, limit=limit, newest_first=True, hint=hint)

    async def _read(
        self,
        query: Mapping[str, Any],
        *,
        limit: int | None = None,
        newest_first: bool = False,
        hint: str | None = None,
    ) -> list[Job]:
        cursor = self._jobs.find(query, hint=hint)
        if limit:
            cursor = cursor.sort("_id", DESCENDING if newest_first else ASCENDING).limit(limit)
        with translated():
            return [from_document(document) for document in await cursor.to_list(limit)]

    async def _insert(self, jobs: Sequence[Job]) -> set[str]:
        """Insert what can be; returns the ids the unique indexes refused."""
        documents = [to_document(job) for job in jobs]
        try:
            with translated():
                await self._jobs.insert_many(documents, ordered=False)
        except BulkWriteError as error:
            if error.details.get("writeConcernErrors"):  # written, but it may be rolled back
                raise StoreUnavailable("MongoDB: the insert is not confirmed") from error
            problems = error.details["writeErrors"]
            if any(problem["code"] != _DUPLICATE_KEY for problem in problems):
                raise
            return {str(documents[problem["index"]]["_id"]) for problem in problems}
        return set()

    async def _in_place_of(self, refused: Sequence[Job]) -> dict[str, Job]:
        """For each refused job the one of the same event, else the live one of the same bot."""
        same_event = {job.event_id: job for job in await self._of_events(refused)}
        others = [job for job in refused if job.event_id not in same_event]
        same_bot = {job.bot_id: job for job in await self._joined(others)}
        found = {job.id: same_event.get(job.event_id, same_bot.get(job.bot_id)) for job in refused}
        return {job_id: standing for job_id, standing in found.items() if standing}

    async def _joined(self, jobs: Sequence[Job]) -> list[Job]:
        """The live jobs of the same bots, each with these requests joined to it in one update.

        One that has ended since is left out, as there is room for a new job; and one that another
        request has joined since, which is read again.
        """
        joined = []
        for standing in await self._of_live_bots(jobs):
            placed = [job.placed_at for job in jobs if job.bot_id == standing.bot_id]
            after = reduce(Job.joined, placed, standing)
            as_read = {"live": True, "placedAt": standing.placed_at}
            with translated():
                result = await self._jobs.update_one(
                    {"_id": ObjectId(standing.id), **as_read},
                    {"$set": {"placedAt": after.placed_at}},
                )
            if result.matched_count:
                joined.append(after)
        return joined

    async def _of_events(self, jobs: Sequence[Job]) -> list[Job]:
        if not jobs:
            return []
        events = {"$in": [job.event_id for job in jobs]}
        return await self._read({"service": jobs[0].service, "eventId": events})

    async def _of_live_bots(self, jobs: Sequence[Job]) -> list[Job]:
        """Along the bots' index, whose few other services are told apart here."""
        if not jobs:
            return []
        bots = {"$in": [ObjectId(job.bot_id) for job in jobs]}
        found = await self._read({"botId": bots, "live": True})
        return [job for job in found if job.service == jobs[0].service]
