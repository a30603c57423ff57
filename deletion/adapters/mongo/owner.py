"""The field that names the bot a document belongs to."""

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
    """The `field` that holds a bot's id, as a `field_type`, in each document of a collection."""

    field: str
    field_type: FieldType

    def alone(self, bot_id: str) -> Document:
        """The query for documents that belong to this bot alone.

        A plain equality would also match arrays: of values, and of subdocuments on the path to the
        field.
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
        """The field's value; `MISSING` if it is absent; the first list on its path if any."""
        value: object = document
        for part in self.field.split("."):
            if isinstance(value, list):
                break
            value = value.get(part, MISSING) if isinstance(value, dict) else MISSING
        return value

    def check(self, page: Sequence[Document], bot_id: str, collection: str) -> None:
        """Raise `SharedDocument` for a document that is not this bot's alone: deletes would skip
        it.
        """
        owner = self.of(bot_id)
        for document in page:
            value: object = document
            for part in self.field.split("."):
                value = value.get(part) if isinstance(value, dict) else None
            if value != owner:
                raise SharedDocument(
                    f"{self.field} of a document in {collection} holds more than this "
                    "bot's id, so nothing of this batch was deleted",
                    'find such documents by the bot\'s id and {"$type": "array"}',
                )
