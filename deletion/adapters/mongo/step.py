"""The step that deletes a bot's documents from one MongoDB collection."""

import dataclasses
from collections import Counter
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import structlog
from bson import encode, json_util
from bson.codec_options import DatetimeConversion
from bson.errors import BSONError
from pymongo import ASCENDING, DESCENDING, DeleteMany, IndexModel
from pymongo.errors import OperationFailure
from pymongo.read_concern import ReadConcern

from deletion.adapters.mongo.connection import (
    CALL_SECONDS,
    Collection,
    Cursor,
    Document,
    bounded,
    build_indexes,
)
from deletion.adapters.mongo.listed_indexes import listed_indexes
from deletion.adapters.mongo.owner import FieldType, OwnerField
from deletion.adapters.mongo.rights import forbidden
from deletion.ids import is_object_id
from deletion.plan import Batch

LINEARIZABLE, MAJORITY = "linearizable", "majority"
NOT_SUPPORTED = frozenset({9, 72, 115, 123, 238})
"""Error codes of deployments that do not support a read concern: FailedToParse,
InvalidOptions, CommandNotSupported, NotAReplicaSet, NotImplemented."""
LISTED = 25
"""Ids in one delete of a batch: a server may compare each document with the whole list."""

READ_AHEAD: Final = 1000
"""Ids that are read at a time: a batch may be smaller, and may grow while they are read."""

NARROWED: Final = frozenset({"partialFilterExpression", "hidden", "collation"})
"""Options with which an index does not serve every query by its fields."""
COUNT_SECONDS: Final = 60.0
SAMPLE: Final = 100
"""Documents that `faults` reads, in the order that the server returns them."""

log = structlog.get_logger(__name__)

_CURSOR = json_util.JSONOptions(datetime_conversion=DatetimeConversion.DATETIME_AUTO)


@dataclass(slots=True)
class MongoStep:
    """Walks the bot's documents in `_id` order and deletes them page by page.

    `batch_size` is the number of documents that the next batch deletes. It bounds memory, the time
    between two checkpoints, and how long other work on the collection has to wait. `call_seconds`
    bounds each call, retries of the driver included; one that is cut off raises
    `StoreUnavailable`, and what it has deleted by then stays deleted.
    """

    name: str
    collection: Collection
    field: str
    field_type: FieldType = "objectid"
    batch_size: int = 1000
    call_seconds: float = CALL_SECONDS
    read_back: str | None = dataclasses.field(default=None, init=False)
    """See `deletion.plan.Verified`."""
    _strongest: str | None = dataclasses.field(default=None, init=False, repr=False)

    @property
    def index(self) -> list[tuple[str, int]]:
        """The index that serves every query of this step; the one on `_id` is always there."""
        return [(field, ASCENDING) for field in dict.fromkeys((self.field, "_id"))]

    @property
    def _owner(self) -> OwnerField:
        return OwnerField(self.field, self.field_type)

    async def delete(self, bot_id: str, cursor: str | None) -> AsyncGenerator[Batch, None]:
        """Stream the bot's ids and delete them, `batch_size` at a time; it may change in between.

        Raises `SharedDocument` before a batch with a document that is not the bot's alone. Only
        what was read is deleted. Documents inserted meanwhile are left to the read-back and the
        next pass, and so are ids of another BSON type than `cursor`, because MongoDB compares
        within a type only.
        """
        last = self._last(cursor)
        found = self.collection.find(self._behind(bot_id, last), {self.field: True})
        ids = found.sort("_id", ASCENDING).batch_size(READ_AHEAD)
        while page := await self._page(ids, size := self.batch_size):
            self._owner.check(page, bot_id, str(self.collection.full_name))
            with bounded(self.call_seconds):
                result = await self.collection.bulk_write(
                    self._deletes(page, bot_id), ordered=False
                )
            last, is_last = page[-1]["_id"], len(page) < size
            yield Batch(result.deleted_count, json_util.dumps(last, json_options=_CURSOR), is_last)
            if is_last:
                return

    async def is_empty(self, bot_id: str) -> bool:
        """One read of the index, `linearizable` on a replica set and `majority` elsewhere.

        Neither sees a delete that may be rolled back, and `linearizable` does not read from a
        primary that has been replaced: docs/decisions/0025.
        """
        query = self._behind(bot_id, None)
        with bounded(self.call_seconds):
            concern = self._strongest = self._strongest or await self._concern()
            try:
                found = await self._look(query, concern)
            except OperationFailure as error:
                if concern == MAJORITY or error.code not in NOT_SUPPORTED:
                    raise
                concern = self._strongest = MAJORITY
                found = await self._look(query, concern)
        self.read_back = concern
        return found is None

    async def count(self, bot_id: str) -> int:
        """Count along the index, within `COUNT_SECONDS`."""
        with bounded(COUNT_SECONDS):
            return await self.collection.count_documents(self._behind(bot_id, None))

    async def faults(self) -> list[str] | None:
        """Read `SAMPLE` documents. Reports a field that is missing, of another type, or a list."""
        with bounded(self.call_seconds):
            found = self.collection.find({}, {self.field: True}).limit(SAMPLE)
            kinds = Counter([self._owner.kind(document) async for document in found])
        where, total = f"{self.collection.full_name}: {self.field}", kinds.total()
        del kinds[self.field_type]
        faults = [f"{where} is {kind} in {times} of {total}" for kind, times in kinds.items()]
        return faults if total else None

    async def bots(self) -> list[str]:
        """The owners in a random sample of `SAMPLE` documents, without values that are no id."""
        sample: list[Document] = [
            {"$sample": {"size": SAMPLE}},
            {"$project": {self.field: True}},
        ]
        with bounded(self.call_seconds):
            found = [document async for document in self.collection.aggregate(sample)]
        owners = {str(self._owner.value(document)).lower() for document in found}
        return sorted(owner for owner in owners if is_object_id(owner))

    async def forbidden(self) -> list[str] | None:
        """The actions that the step needs but this user may not perform."""
        with bounded(self.call_seconds):
            return await forbidden(self.collection)

    async def missing(self) -> str | None:
        """The index that is missing; None when one begins with the fields that the batches walk."""
        with bounded(self.call_seconds):
            found = await listed_indexes(self.collection)
        wanted = [field for field, _ in self.index]
        if any(_serves(index, wanted) for index in found.built.values()):
            return None
        building = any(_serves(index, wanted) for index in found.building.values())
        return (
            f"an index on {self.collection.full_name} that begins with ({', '.join(wanted)})"
            f"{' (it is still being built)' if building else ''}: "
            "without it every batch scans or sorts the collection"
        )

    async def provide(self) -> None:
        """Create the index; returns when it is built."""
        if self.field != "_id":
            await build_indexes(self.collection, [IndexModel(self.index)])

    def _last(self, cursor: str | None) -> Any:
        """The `_id` to continue after, or None to begin again.

        It is None without a cursor, or when a step of another kind wrote it. After an `_id` of
        another type nothing is found, and the read-back then finds what is left.
        """
        if cursor is None:
            return None
        try:
            last = json_util.loads(cursor, json_options=_CURSOR)
            encode({"_id": last})
        except (ValueError, TypeError, KeyError, OverflowError, BSONError):
            log.warning("unreadable cursor: the step begins again", step=self.name)
            return None
        return last

    async def _page(self, ids: Cursor, size: int) -> list[Document]:
        with bounded(self.call_seconds):
            return await ids.to_list(size)

    async def _concern(self) -> str:
        """The strongest read concern that this kind of deployment has."""
        hello = await self.collection.database.client.admin.command("hello")
        is_replica_set = "setName" in hello and hello.get("msg") != "isdbgrid"
        return LINEARIZABLE if is_replica_set else MAJORITY

    async def _look(self, query: Document, concern: str) -> Document | None:
        """Look within the bound, which the driver also sends to the server as `maxTimeMS`."""
        collection = self.collection.with_options(read_concern=ReadConcern(concern))
        return await collection.find_one(query, {"_id": True})

    def _behind(self, bot_id: str, last: Any) -> Document:
        owned = {self.field: self._owner.of(bot_id)}
        if last is None or self.field == "_id":  # at most one document has it
            return owned
        return {**owned, "_id": {"$gt": last}}

    def _deletes(self, page: Sequence[Document], bot_id: str) -> list[DeleteMany]:
        """Delete exactly these documents, except those that have become shared since the read.

        Together with the owner, each `_id` is one point of the index.
        """
        owned, ids = self._owner.alone(bot_id), [document["_id"] for document in page]
        lists = (ids[start : start + LISTED] for start in range(0, len(ids), LISTED))
        return [DeleteMany({**owned, "_id": {"$in": listed}}) for listed in lists]


def _serves(index: Document, fields: Sequence[str]) -> bool:
    """Whether `index` can serve every query by `fields`, in their order."""
    key = list(index["key"])[: len(fields)]
    ordered = all(direction in (ASCENDING, DESCENDING) for _, direction in key)
    whole = NARROWED.isdisjoint(index)
    return whole and ordered and [field for field, _ in key] == list(fields)
