"""The step that deletes a bot's documents from one MongoDB collection."""

from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from bson import ObjectId, json_util
from pymongo import ASCENDING, IndexModel

from deletion.adapters.mongo.connection import Collection, Document, build_indexes, translated
from deletion.errors import SharedDocument
from deletion.plan import Batch

FieldType = Literal["objectid", "string"]


@dataclass(frozen=True, slots=True)
class MongoStep:
    """Walks the bot's documents in `_id` order and deletes one range after the other.

    `batch_size` bounds in documents what one call deletes, and so memory, the time between
    two checkpoints, and how long other work on the collection has to wait.
    """

    name: str
    collection: Collection
    field: str
    field_type: FieldType = "objectid"
    batch_size: int = 1000

    @property
    def index(self) -> list[tuple[str, int]]:
        """The index that serves every query of this step."""
        return [(self.field, ASCENDING), ("_id", ASCENDING)]

    async def delete(self, bot_id: str, cursor: str | None) -> AsyncGenerator[Batch, None]:
        """Stream the bot's ids; every `batch_size` of them bound one range delete.

        Raises `SharedDocument` instead of a batch that is not the bot's alone.
        A range takes along what was inserted inside it meanwhile. Comparisons do not cross
        BSON types: ids of another type are left to the read-back and the next pass.
        """
        last = None if cursor is None else json_util.loads(cursor)
        with translated():
            found = self.collection.find(self._span(bot_id, after=last), {self.field: True})
            ids = found.sort("_id", ASCENDING).batch_size(self.batch_size)
            while page := await ids.to_list(self.batch_size):
                self._check_owner(page, bot_id)
                first, last = last, page[-1]["_id"]
                span = self._span(bot_id, after=first, through=last)
                result = await self.collection.delete_many(span)
                is_last = len(page) < self.batch_size
                yield Batch(result.deleted_count, json_util.dumps(last), is_last)
                if is_last:
                    return

    async def is_empty(self, bot_id: str) -> bool:
        """One look at the index."""
        with translated():
            return await self.collection.find_one(self._span(bot_id), {"_id": True}) is None

    async def missing(self) -> str | None:
        """Whether an index begins with what the batches walk; without one each of them scans."""
        with translated():
            indexes = (await self.collection.index_information()).values()
        wanted = [field for field, _ in self.index]
        if any([field for field, _ in index["key"]][:2] == wanted for index in indexes):
            return None
        return (
            f"an index on {self.collection.full_name} that begins with ({', '.join(wanted)}): "
            "without it every batch scans or sorts the collection; "
            "`botdel topology apply --plan FILE` creates it"
        )

    async def provide(self) -> None:
        """Create the index; returns when it is built."""
        await build_indexes(self.collection, [IndexModel(self.index)])

    def _span(self, bot_id: str, *, after: Any = None, through: Any = None) -> Document:
        bounds = {"$gt": after, "$lte": through}
        bounds = {operator: value for operator, value in bounds.items() if value is not None}
        return {self.field: self._owner(bot_id)} | ({"_id": bounds} if bounds else {})

    def _owner(self, bot_id: str) -> ObjectId | str:
        return ObjectId(bot_id) if self.field_type == "objectid" else bot_id

    def _check_owner(self, page: Sequence[Document], bot_id: str) -> None:
        """An equality matches arrays too: a document that lists the bot may be others' as well."""
        owner = self._owner(bot_id)
        for document in page:
            value: object = document
            for part in self.field.split("."):
                value = value.get(part) if isinstance(value, dict) else None
            if value != owner:
                raise SharedDocument(
                    f"{self.collection.full_name}, _id {document['_id']}: {self.field} holds more "
                    "than this bot's id, so nothing of this batch was deleted"
                )
