"""The job store on MongoDB. Its indexes enforce idempotency; its guarded update is the lease.

Every query uses an index, which tests/architecture measures. The planner chooses it: a `hint` makes
the embedded server read the whole collection.
"""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Final

from bson import ObjectId
from bson.errors import BSONError
from pymongo import ASCENDING, DESCENDING, IndexModel, UpdateOne
from pymongo.errors import BulkWriteError, DocumentTooLarge, OperationFailure

from deletion.adapters.mongo.connection import (
    CALL_SECONDS,
    Client,
    Document,
    bounded,
    ping,
)
from deletion.adapters.mongo.job_document import from_document, to_document, update_of
from deletion.errors import LeaseLost, StoreUnavailable, TransitionError, UnreadableJob
from deletion.grouping import Grouping
from deletion.job import MAX_EVENTS, Change, Job, Status, later
from deletion.ports import Placing, Read, Recorded, Unreadable

COLLECTION: Final = "deletion_jobs"
WRITE_CHECKS: Final = "write_checks"
BY_EVENTS: Final = "bot_service_events_unique"
BY_LIVE_BOT: Final = "bot_service_live_unique"
BY_DUE, BY_SILENCE, BY_SERVICE = "queue_due", "status_modified", "status_service_created"
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
    IndexModel([("status", ASCENDING), ("lastModifiedAt", ASCENDING)], name=BY_SILENCE),
    IndexModel(
        [("status", ASCENDING), ("service", ASCENDING), ("createdAt", ASCENDING)], name=BY_SERVICE
    ),
]
GROUP_LIMIT: Final = 100
"""Changes in one bulk write."""
GROUPS: Final = 2
"""Bulk writes under way at a time."""

_DUPLICATE_KEY: Final = 11000
_NOT_STORABLE: Final = (BSONError, DocumentTooLarge, OverflowError, UnicodeError)
"""What the driver raises before anything is sent."""
_RECORD_TRIES: Final = 5
_FIELDS: Final = {
    "status": "status",
    "attempt": "attempt",
    "claimed_by": "claimedBy",
    "last_modified_at": "lastModifiedAt",
    "placed_at": "placedAt",
}


class MongoJobStore:
    """`deletion.ports.JobStore` on one collection of `database`."""

    def __init__(
        self, client: Client, database: str, *, call_seconds: float = CALL_SECONDS
    ) -> None:
        self._database = client[database]
        self._jobs = self._database[COLLECTION]
        self._call_seconds = call_seconds
        self._changes = Grouping(self._write, limit=GROUP_LIMIT, senders=GROUPS)

    async def ping(self) -> None:
        """One round trip, or an error within seconds."""
        await ping(self._database)

    async def check_writes(self) -> None:
        """One document of a collection of its own, written over each time."""
        with self._bounded():
            await self._database[WRITE_CHECKS].replace_one(
                {"_id": COLLECTION}, {"at": datetime.now(UTC)}, upsert=True
            )

    async def time(self) -> datetime:
        """As `hello` says."""
        with self._bounded():
            answer = await self._database.command("hello")
        told: datetime = answer["localTime"]
        return told.replace(tzinfo=UTC)  # a command's answer is decoded without a zone

    def new_id(self) -> str:
        """An ObjectId, as hex."""
        return str(ObjectId())

    async def record(self, jobs: Sequence[Job]) -> list[Recorded]:
        """One bulk insert; for the refused ones a query for each unique index, and one bulk write
        of the joins. Repeated for those whose live job was joined or has ended in between.
        """
        outcomes: dict[str, Recorded] = {}
        offered: set[str] = set()
        for _ in range(_RECORD_TRIES):
            refused = await self._insert([job for job in jobs if job.id not in outcomes])
            outcomes |= {
                job.id: Recorded(Placing.NEW, job.id)
                for job in jobs
                if job.id not in outcomes and job.id not in refused
            }
            outcomes |= await self._covered([j for j in jobs if j.id not in outcomes], offered)
            standing = [job for job in jobs if job.id not in outcomes]
            outcomes |= await self._joined(standing, offered)
            if len(outcomes) == len(jobs):
                return [outcomes[job.id] for job in jobs]
        raise StoreUnavailable(f"{len(jobs) - len(outcomes)} jobs kept colliding with moving ones")

    async def due(self, queue: str, since: datetime, until: datetime, limit: int) -> list[Read]:
        """A range, closed at both ends, of the sparse index of (queue, due)."""
        query = {"queue": queue, "due": {"$gte": since, "$lte": until}}
        return await self._read(query, limit, "due")

    async def apply(self, change: Change) -> Job:
        """Changes of the same moment go out in one bulk write, each with its guard."""
        return await self._changes.ask(change)

    async def get(self, job_id: str) -> Job | None:
        """By `_id`."""
        with self._bounded():
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
        """A range of the index of (status, lastModifiedAt)."""
        query: Document = {"status": status, "lastModifiedAt": {"$gte": since, "$lte": until}}
        if skip:
            query["_id"] = {"$nin": [ObjectId(job_id) for job_id in skip]}
        return await self._read(query, limit, "lastModifiedAt")

    async def count(self, status: Status, *, until: datetime | None = None) -> int:
        """Along the index of (status, lastModifiedAt)."""
        query: Document = {"status": status}
        if until:
            query["lastModifiedAt"] = {"$lte": until}
        with self._bounded():
            return await self._jobs.count_documents(query)

    async def find(
        self,
        *,
        service: str | None = None,
        bot_id: str | None = None,
        status: Status | None = None,
        limit: int,
    ) -> list[Read]:
        """Along the index of the bot, of (status, service), or of the status; else along `_id`."""
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
        with self._bounded():
            found = await self._jobs.find(query).sort(order, direction).limit(limit).to_list(limit)
        return [_read(document) for document in found]

    async def _insert(self, jobs: Sequence[Job]) -> set[str]:
        """Insert `jobs`; returns the ids that the unique indexes refused."""
        documents = [to_document(job) for job in jobs]
        if not documents:
            return set()
        try:
            with self._bounded():
                await self._jobs.insert_many(documents, ordered=False)
        except BulkWriteError as error:
            duplicates = _duplicates(error)
            return {str(documents[index]["_id"]) for index in duplicates}
        return set()

    async def _covered(self, jobs: Sequence[Job], offered: Collection[str]) -> dict[str, Recorded]:
        """Those whose event a job covers: `JOINED` if this call `offered` them, else `KNOWN`."""
        if not jobs:
            return {}
        query = {**_of_bots(jobs), "eventIds": {"$in": [job.event_id for job in jobs]}}
        covering: dict[tuple[str, str], Document] = {}
        for document in await self._brief(query):
            bot = str(document["botId"])
            covering |= {(bot, event): document for event in document["eventIds"]}
        outcomes: dict[str, Recorded] = {}
        for job in jobs:
            if standing := covering.get((job.bot_id, job.event_id)):
                found = str(standing["_id"])
                placing = Placing.JOINED if job.id in offered else Placing.KNOWN
                placing = Placing.NEW if found == job.id else placing
                outcomes[job.id] = Recorded(placing, found, _is_exhausted(standing))
        return outcomes

    async def _joined(self, jobs: Sequence[Job], offered: set[str]) -> dict[str, Recorded]:
        """Join the live job of their bot. Returns those that joined, and those that found it full.

        When not all joins succeeded, none of them is returned: the caller reads them back. Adds
        to `offered` every job that may have joined.
        """
        if not jobs:
            return {}
        by_bot: dict[str, dict[str, list[Job]]] = defaultdict(lambda: defaultdict(list))
        for job in jobs:  # the same event twice joins once
            by_bot[job.bot_id][job.event_id].append(job)
        full: dict[str, Recorded] = {}
        joining: dict[str, Recorded] = {}
        updates: list[UpdateOne] = []
        for document in await self._brief({**_of_bots(jobs), "live": True}):
            found, exhausted = str(document["_id"]), _is_exhausted(document)
            covered = set(document["eventIds"])  # one may have joined since it was looked for
            offers = by_bot[str(document["botId"])]
            requests = [copies[0] for event, copies in offers.items() if event not in covered]
            room = max(0, MAX_EVENTS - len(document["eventIds"]))
            for request in requests[room:]:
                for copy in offers[request.event_id]:
                    full[copy.id] = Recorded(Placing.FULL, found, exhausted)
            if requests[:room]:
                updates.append(_joining(document, requests[:room]))
                for request in requests[:room]:
                    joining[request.id] = Recorded(Placing.JOINED, found, exhausted)
        offered |= joining.keys()
        return full | joining if await self._all_match(updates) else full

    async def _all_match(self, updates: Sequence[UpdateOne]) -> bool:
        """Write them; returns whether every one matched. A driver reports only totals of a bulk."""
        if not updates:
            return True
        try:
            with self._bounded():
                result = await self._jobs.bulk_write(updates, ordered=False)
        except BulkWriteError as error:
            _duplicates(error)  # another job covers one of the events by now
            return False
        return result.matched_count == len(updates)

    async def _brief(self, query: Document) -> list[Document]:
        """The fields that recording needs of existing jobs, whatever a later version has added."""
        fields = ("botId", "eventIds", "placedAt", "status")
        with self._bounded():
            return await self._jobs.find(query, dict.fromkeys(fields, True)).to_list(None)

    async def _write(self, changes: Sequence[Change]) -> list[Job | Exception]:
        """One bulk write; one by one when one of them cannot be stored at all."""
        try:
            return await self._write_all(changes)
        except _NOT_STORABLE as error:
            if len(changes) == 1:
                return [error]
        alone = [await self._write([change]) for change in changes]
        return [outcome for each in alone for outcome in each]

    async def _write_all(self, changes: Sequence[Change]) -> list[Job | Exception]:
        """One bulk write. When fewer matched than were sent, the group is read back."""
        errors: dict[int, Exception] = {}
        try:
            with self._bounded():
                result = await self._jobs.bulk_write(
                    [UpdateOne(_guarded(change), update_of(change.after)) for change in changes],
                    ordered=False,
                )
            if result.matched_count == len(changes):
                return [change.after for change in changes]
        except BulkWriteError as error:
            _confirmed(error)
            for problem in error.details["writeErrors"]:
                change = changes[problem["index"]]
                errors[problem["index"]] = _refusal(change, problem["code"], problem["errmsg"])
        ids = {"$in": [ObjectId(change.after.id) for change in changes]}
        with self._bounded():
            found = await self._jobs.find({"_id": ids}).to_list(len(changes))
        stored = {str(document["_id"]): _read(document) for document in found}
        return [
            errors.get(index) or _outcome(change, stored.get(change.after.id))
            for index, change in enumerate(changes)
        ]

    def _bounded(self) -> AbstractContextManager[None]:
        return bounded(self._call_seconds)


def _read(document: Mapping[str, Any]) -> Read:
    try:
        return from_document(document)
    except UnreadableJob as error:
        due, modified = _time(document.get("due")), _time(document.get("lastModifiedAt"))
        return Unreadable(error.job_id, error.reason, due, modified)


def _time(value: object) -> datetime | None:
    return value if isinstance(value, datetime) else None


def _outcome(change: Change, stored: Read | None) -> Job | Exception:
    """`change.after` if it is stored, by this call or one whose answer was lost; else the error."""
    if isinstance(stored, Unreadable):
        return UnreadableJob(stored.id, stored.reason)
    if stored is not None:
        after = change.after
        as_joined = replace(stored, placed_at=after.placed_at, event_ids=after.event_ids)
        if as_joined == after:
            return after
    return LeaseLost(f"job {change.after.id} has moved on")


def _refusal(change: Change, code: int, message: str) -> Exception:
    """The error of a change that the database refused."""
    if code == _DUPLICATE_KEY:
        return TransitionError(f"job {change.after.id}: another job of its bot is live")
    return OperationFailure(message, code)


def _guarded(change: Change) -> Document:
    """The filter of a guarded update, with the shard key, so that it goes to one shard."""
    guard = {_FIELDS[name]: getattr(change.before, name) for name in change.guard}
    return {"_id": ObjectId(change.after.id), "botId": ObjectId(change.after.bot_id), **guard}


def _joining(document: Document, requests: Sequence[Job]) -> UpdateOne:
    """Guarded by `live` and by the `placedAt` it was read with, which every join moves.

    A damaged `placedAt` is replaced.
    """
    placed_at = _time(document.get("placedAt")) or requests[0].placed_at
    for request in requests:
        placed_at = later(placed_at, request.placed_at)
    return UpdateOne(
        {
            "_id": document["_id"],
            "botId": document["botId"],
            "live": True,
            "placedAt": document.get("placedAt"),
        },
        {
            "$set": {"placedAt": placed_at},
            "$push": {"eventIds": {"$each": [request.event_id for request in requests]}},
        },
    )


def _of_bots(jobs: Sequence[Job]) -> Document:
    bots = {ObjectId(job.bot_id) for job in jobs}
    return {"botId": {"$in": list(bots)}, "service": jobs[0].service}


def _is_exhausted(document: Document) -> bool:
    return bool(document["status"] == Status.EXHAUSTED)


def _duplicates(error: BulkWriteError) -> list[int]:
    """The positions of the writes that a unique index refused. Raises for any other problem."""
    _confirmed(error)
    problems = error.details["writeErrors"]
    if any(problem["code"] != _DUPLICATE_KEY for problem in problems):
        raise error
    return [problem["index"] for problem in problems]


def _confirmed(error: BulkWriteError) -> None:
    if error.details.get("writeConcernErrors"):  # written, but it may be rolled back
        raise StoreUnavailable("MongoDB: the write is not confirmed") from error
