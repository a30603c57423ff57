"""Indexes: compared with what is wanted, and checked or built when a process starts.

Building one can take a day. A long-running process therefore builds them only when it uses an
emulator. Elsewhere `botdel topology apply` builds them, and the process refuses to run without the
unique ones, which make a duplicate a no-op, and without the sparse ones, which its loops walk every
few seconds: without its index, a loop would read the whole collection each time.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import structlog
from pymongo import IndexModel

from deletion.adapters.mongo.connection import (
    PING_SECONDS,
    Collection,
    Database,
    bounded,
    build_indexes,
)
from deletion.adapters.mongo.listed_indexes import listed_indexes
from deletion.errors import ConfigurationError

log = structlog.get_logger(__name__)

Indexes = Mapping[str, Sequence[IndexModel]]
"""The wanted indexes of each collection."""
Described = Mapping[str, Mapping[str, Any]]
"""Indexes by name, as the driver reports them."""
IMMATERIAL = ("v", "ns", "name", "background")
"""Properties that a server reports and that make no difference to this pipeline."""


@dataclass(frozen=True, slots=True)
class Gap:
    """Names of the wanted indexes that are missing, and of those that differ.

    `building` are those of the missing ones that the server is still building.
    """

    missing: tuple[str, ...]
    differing: tuple[str, ...]
    building: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.missing or self.differing)


def gap(wanted: Sequence[IndexModel], found: Described) -> Gap:
    """Compares by name, as the database does when it is asked to create an index."""
    expected = {index.document["name"]: shape(index.document) for index in wanted}
    return Gap(
        tuple(name for name in expected if name not in found),
        tuple(name for name in expected if name in found and expected[name] != shape(found[name])),
    )


def shape(index: Mapping[str, Any]) -> dict[str, object]:
    """The index in a form that can be compared: its keys in order, and every option that is on."""
    key = index["key"]
    fields = list(key.items() if isinstance(key, Mapping) else key)
    options = {
        name: dict(value) if isinstance(value, Mapping) else value
        for name, value in index.items()
        if name not in (*IMMATERIAL, "key") and value is not False
    }
    return {"key": fields, **options}


async def missing_indexes(collection: Collection, wanted: Sequence[IndexModel]) -> Gap:
    """Which of `wanted` are missing or differ, within `PING_SECONDS`.

    Raises `StoreUnavailable`.
    """
    with bounded(PING_SECONDS):
        found = await listed_indexes(collection)
    lacking = gap(wanted, found.built)
    building = tuple(name for name in lacking.missing if name in found.building)
    return replace(lacking, building=building)


async def require_indexes(collection: Collection, wanted: Sequence[IndexModel]) -> None:
    """Raise `ConfigurationError` if a unique or a sparse one is missing; log any other that is."""
    lacking = await missing_indexes(collection, wanted)
    required = {index.document["name"] for index in wanted if _is_required(index)}
    names = (*lacking.missing, *lacking.differing)
    building = [name for name in lacking.building if name in required]
    if needed := [name for name in names if name in required]:
        raise ConfigurationError(
            f"indexes are missing or differ in {collection.full_name}: {', '.join(needed)}"
            + (f" (still being built: {', '.join(building)})" if building else ""),
            "run `botdel topology apply`, which builds them and says what differs",
        )
    if names:
        log.warning(
            "indexes are missing or differ, so queries scan; run `botdel topology apply`",
            collection=collection.full_name,
            indexes=list(names),
        )


def _is_required(index: IndexModel) -> bool:
    return bool(index.document.get("unique") or index.document.get("sparse"))


async def prepare(database: Database, indexes: Indexes, *, build: bool) -> None:
    """Build the indexes of each collection, or require the unique and the sparse ones.

    Raises `ConfigurationError` and `StoreUnavailable`.
    """
    for name, wanted in indexes.items():
        await (build_indexes if build else require_indexes)(database[name], wanted)
