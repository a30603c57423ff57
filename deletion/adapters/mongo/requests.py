"""The store of requests on MongoDB. Every query walks an index; writes are guarded and grouped."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Final

from bson import ObjectId
from pymongo import ASCENDING, DESCENDING, IndexModel, UpdateOne
from pymongo.errors import BulkWriteError

from deletion.adapters.mongo.connection import (
    CALL_SECONDS,
    Client,
    Document,
    bounded,
)
from deletion.adapters.mongo.request_census import NEWEST, OpenRequests
from deletion.adapters.mongo.request_document import readable, to_document, update_of
from deletion.adapters.mongo.windows import Window, backward
from deletion.adapters.mongo.writes import check_confirmed, duplicates
from deletion.clock import TICK
from deletion.ledger import Concern, ReadRequest, RequestCensus, RequestChange, RequestFilter
from deletion.request import Chore, DeletionRequest, RequestState
from deletion.silence import EPOCH

COLLECTION: Final = "deletion_requests"
BY_BOT, BY_OWED, BY_RECEIPT = "bot_received", "owed_received", "received"
BY_OPEN, BY_DEADLINE, BY_NEAR = "open_received", "open_deadline", "near"
BY_MISSING: Final = "missing_received"
BY_CHORE: Final = {chore: f"chores_{chore.value}" for chore in Chore}
INDEXES: Final = [
    IndexModel([("botId", ASCENDING), *NEWEST], name=BY_BOT),
    IndexModel([("owed", ASCENDING), *NEWEST], name=BY_OWED),
    IndexModel(NEWEST, name=BY_RECEIPT),
    IndexModel([("open", ASCENDING), *NEWEST], name=BY_OPEN),
    IndexModel([("open", ASCENDING), ("deadline", ASCENDING)], name=BY_DEADLINE),
    IndexModel([("near", ASCENDING)], name=BY_NEAR, sparse=True),
    IndexModel([("missing", ASCENDING), *NEWEST], name=BY_MISSING),
    *(
        IndexModel([(f"chores.{chore.value}", ASCENDING)], name=name, sparse=True)
        for chore, name in BY_CHORE.items()
    ),
]


class MongoRequestStore:
    """`deletion.ledger.RequestStore` on one collection of `database`.

    `writer` marks what this object writes, so that it recognises a repeat of its own; it must be
    unique.
    """

    def __init__(
        self,
        client: Client,
        database: str,
        *,
        call_seconds: float = CALL_SECONDS,
        writer: str | None = None,
    ) -> None:
        self._requests = client[database][COLLECTION]
        self._call_seconds = call_seconds
        self._open = OpenRequests(self._requests, call_seconds)
        self._writer = writer or str(ObjectId())

    async def record(self, requests: Sequence[DeletionRequest]) -> None:
        """Insert all in one bulk write. The `_id` refuses those that are recorded already."""
        if not requests:
            return
        documents = [to_document(request, self._writer) for request in requests]
        try:
            with bounded(self._call_seconds):
                await self._requests.insert_many(documents, ordered=False)
        except BulkWriteError as error:
            duplicates(error)

    async def get(self, event_ids: Collection[str]) -> list[ReadRequest]:
        """Read by `_id`."""
        found = await self._of(event_ids)
        return [readable(document) for document in found]

    async def save(self, changes: Sequence[RequestChange]) -> Sequence[RequestChange]:
        """Make one bulk write. When fewer matched than were sent, read the group back."""
        if not changes or await self._all_match(changes):
            return []
        found = await self._of({change.before.id for change in changes})
        own = [document for document in found if document.get("writer") == self._writer]
        stored = {str(document["_id"]): readable(document) for document in own}
        return [change for change in changes if stored.get(change.before.id) != _written(change)]

    async def due(
        self, chore: Chore, since: datetime, until: datetime, limit: int
    ) -> list[ReadRequest]:
        """Query a range, closed at both ends, of the sparse index of the chore."""
        path = f"chores.{chore.value}"
        query = {path: {"$gte": since, "$lte": until}}
        with bounded(self._call_seconds):
            cursor = self._requests.find(query).sort(path, ASCENDING).limit(limit)
            return [readable(document, chore) for document in await cursor.to_list(limit)]

    async def find(
        self,
        wanted: RequestFilter,
        now: datetime,
        *,
        before: tuple[datetime, str] | None = None,
        limit: int,
    ) -> list[ReadRequest]:
        """Newest first along the index of the filter. A page that begins among requests of the
        same millisecond takes two queries, because an `$or` would walk no index.
        """
        query = _query(wanted, now)
        windows = backward(before and before[0], now) if _is_broad(wanted) else ()
        if before is None:
            return await self._newest(query, windows, limit)
        at, event_id = before
        same = await self._page(query | {"receivedAt": at, "_id": {"$lt": event_id}}, limit)
        if len(same) >= limit:
            return same
        older = query | {"receivedAt": {"$lt": at}}
        return same + await self._newest(older, windows, limit - len(same))

    async def census(self, now: datetime, limit: int) -> RequestCensus:
        """See `request_census`."""
        return await self._open.census(now, limit)

    async def _all_match(self, changes: Sequence[RequestChange]) -> bool:
        """Write the changes. Returns whether all matched: a driver reports only totals."""
        updates = [
            UpdateOne(
                {"_id": change.before.id, "revision": change.before.revision},
                update_of(change.before, change.after, self._writer),
            )
            for change in changes
        ]
        try:
            with bounded(self._call_seconds):
                result = await self._requests.bulk_write(updates, ordered=False)
        except BulkWriteError as error:
            check_confirmed(error)
            raise
        return result.matched_count == len(changes)

    async def _of(self, event_ids: Collection[str]) -> list[Document]:
        if not event_ids:
            return []
        with bounded(self._call_seconds):
            found = self._requests.find({"_id": {"$in": list(event_ids)}})
            return await found.to_list(len(event_ids))

    async def _newest(
        self, query: Document, windows: Iterable[Window], limit: int
    ) -> list[ReadRequest]:
        """Read windows of time until they fill the page. If they do not, there is little to read;
        the query itself then also finds requests whose time of receipt cannot be read.

        Without `$lte`, with which the embedded server excludes the bound if the field is not the
        last one of its index.
        """
        found: list[ReadRequest] = []
        for since, until in windows:
            within = query | {"receivedAt": {"$gte": since, "$lt": until + TICK}}
            found += await self._page(within, limit - len(found))
            if len(found) >= limit:
                return found
        return await self._page(query, limit)

    async def _page(self, query: Document, limit: int) -> list[ReadRequest]:
        order = [("receivedAt", DESCENDING), ("_id", DESCENDING)]
        with bounded(self._call_seconds):
            found = await self._requests.find(query).sort(order).limit(limit).to_list(limit)
        return [readable(document) for document in found]


def _query(wanted: RequestFilter, now: datetime) -> Document:
    query: Document = {}
    if wanted.bot_id:
        query["botId"] = ObjectId(wanted.bot_id)
    if wanted.owed_by:
        query["owed"] = wanted.owed_by
    match wanted.state:
        case RequestState.OPEN:
            query |= {"open": True, "deadline": {"$gt": now}}
        case RequestState.OVERDUE:
            query |= {"open": True, "deadline": {"$lte": now}}
        case RequestState.SETTLED:
            query |= {"open": None}
    match wanted.concern:
        case Concern.NEAR:
            not_past = {"$gt": now} | query.get("deadline", {})
            query |= {"near": {"$gte": EPOCH, "$lte": now}, "deadline": not_past}
        case Concern.MISSING:
            query |= {"missing": True}
    return query


def _is_broad(wanted: RequestFilter) -> bool:
    """Whether `wanted` may match many requests, so that they are read in windows of their time of
    receipt. Those of a bot are few. With a deadline besides, a server may walk the index of that,
    and read for each window what it reads for all.
    """
    if wanted.bot_id or wanted.concern is Concern.NEAR:
        return False
    is_owed = wanted.owed_by or wanted.concern
    return wanted.state is None or (wanted.state is RequestState.SETTLED and not is_owed)


def _written(change: RequestChange) -> DeletionRequest:
    """What the store holds once the change is written."""
    return replace(change.after, revision=change.before.revision + 1)
