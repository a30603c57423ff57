"""The field that names the bot a document belongs to, and what may stand in it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

from bson import ObjectId

from deletion.adapters.mongo.connection import Document
from deletion.errors import SharedDocument

FieldType = Literal["objectid", "string"]
MISSING: Final = object()
NO_ARRAY: Final = {"$not": {"$type": "array"}}


@dataclass(frozen=True, slots=True)
class OwnerField:
    """In each document of a collection, `field` holds a bot's id, of `field_type`."""

    field: str
    field_type: FieldType

    def alone(self, bot_id: str) -> Document:
        """The query for what belongs to the bot alone: an equality would match arrays too, of
        values and of the documents they stand in.
        """
        path = self.field.split(".")
        parents = {".".join(path[:length]): dict(NO_ARRAY) for length in range(1, len(path))}
        return {self.field: {"$eq": self.of(bot_id), **NO_ARRAY}, **parents}

    def of(self, bot_id: str) -> ObjectId | str:
        """A bot's id as `field` holds it."""
        return ObjectId(bot_id) if self.field_type == "objectid" else bot_id

    def kind(self, document: Document) -> str:
        """What the field of `document` holds, in the words of a plan."""
        value = self.value(document)
        if value is MISSING:
            return "missing"
        if isinstance(value, list):
            return "a list, which may hold others' ids"
        kinds = {ObjectId: "objectid", str: "string"}
        return kinds.get(type(value), type(value).__name__)

    def value(self, document: Document) -> object:
        """What the field holds: `MISSING`, or the first list on the way to it."""
        value: object = document
        for part in self.field.split("."):
            if isinstance(value, list):
                break
            value = value.get(part, MISSING) if isinstance(value, dict) else MISSING
        return value

    def check(self, page: Sequence[Document], bot_id: str, collection: str) -> None:
        """Raises `SharedDocument` where the deletes would leave a shared document out."""
        owner = self.of(bot_id)
        for document in page:
            value: object = document
            for part in self.field.split("."):
                value = value.get(part) if isinstance(value, dict) else None
            if value != owner:
                raise SharedDocument(
                    f"{collection}: {self.field} of a document holds more than this "
                    "bot's id, so nothing of this batch was deleted",
                    'find such documents by the bot\'s id and {"$type": "array"}',
                )
