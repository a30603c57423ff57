"""The indexes of a collection, and which of them serve queries already.

A server lists an index as soon as its build begins, but no query uses the index before the build
has ended. From version 6.0 on, MongoDB reports which indexes are still being built:
https://www.mongodb.com/docs/manual/reference/command/listIndexes/
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from pymongo.errors import AutoReconnect, OperationFailure

from deletion.adapters.mongo.connection import Collection, Document

NO_COLLECTION: Final = 26
REFUSED: Final = frozenset({9, 72, 115, 238, 323, 40415})
"""Error codes of servers that do not know `includeIndexBuildInfo`: FailedToParse, InvalidOptions,
CommandNotSupported, NotImplemented, APIStrictError, and an unknown field."""


@dataclass(frozen=True, slots=True)
class Listed:
    """Indexes by name, as the driver describes them: those that serve queries, and those that are
    still being built.
    """

    built: Mapping[str, Document]
    building: Mapping[str, Document]


async def listed_indexes(collection: Collection) -> Listed:
    """Return the indexes of `collection`; none if it does not exist.

    If the server refuses or ignores `includeIndexBuildInfo`, every index that it lists counts as
    built. Raises the driver's errors.
    """
    try:
        entries = await _tried_twice(collection, includeIndexBuildInfo=True)
    except OperationFailure as error:
        if error.code not in REFUSED:
            raise
        entries = await _tried_twice(collection)
    built: dict[str, Document] = {}
    building: dict[str, Document] = {}
    for entry in entries:
        index = _described(entry.get("spec", entry))
        (building if "indexBuildInfo" in entry else built)[index["name"]] = index
    return Listed(built, building)


async def _tried_twice(collection: Collection, **options: bool) -> list[Document]:
    """Try again once, after an election, as the driver does for its own reads alone."""
    try:
        return await _entries(collection, **options)
    except AutoReconnect:
        return await _entries(collection, **options)


async def _entries(collection: Collection, **options: bool) -> list[Document]:
    command = {"listIndexes": collection.name, "cursor": {}, **options}
    try:
        cursor = await collection.database.cursor_command(command)
        return [entry async for entry in cursor]
    except OperationFailure as error:
        if error.code != NO_COLLECTION:
            raise
        return []


def _described(index: Mapping[str, Any]) -> Document:
    return {**index, "key": list(index["key"].items())}
