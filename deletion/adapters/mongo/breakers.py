"""The breaker store on MongoDB: one document for each host, changed by guarded updates."""

from collections.abc import Sequence
from dataclasses import dataclass
from dataclasses import field as field_of
from datetime import datetime
from typing import Final

import structlog
from pymongo.errors import DuplicateKeyError

from deletion.adapters.mongo.connection import (
    CALL_SECONDS,
    Client,
    Document,
    bounded,
    server_time,
)
from deletion.adapters.mongo.fields import DAMAGED, field, optional
from deletion.breaker import Breaker

COLLECTION: Final = "breakers"
MOST_SHOWN: Final = 1000

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class _Damaged(Breaker):
    """A closed breaker in place of a record that cannot be read.

    `guard` is the filter of its next change. A stamp guards that change even if it is damaged
    itself.
    """

    guard: Document = field_of(default_factory=dict)


class MongoBreakerStore:
    """`deletion.breaker.BreakerStore` on one collection of `database`.

    It needs no index: there are as many documents as there are hosts in the plans.
    """

    def __init__(
        self, client: Client, database: str, *, call_seconds: float = CALL_SECONDS
    ) -> None:
        self._database = client[database]
        self._breakers = self._database[COLLECTION]
        self._call_seconds = call_seconds

    async def get(self, host: str) -> Breaker:
        """Read by `_id`. A record that cannot be read is logged.

        It counts as a closed breaker, whose next change replaces it.
        """
        found = await self._find(host)
        if found is None:
            return Breaker(host)
        return _readable(found) or _Damaged(host, guard=_guard(found))

    async def apply(self, before: Breaker, after: Breaker) -> bool:
        """One insert or one update by `_id`; a repeat is recognised by the stamp."""
        guard = _expected(before)
        written = await (self._update(guard, after) if guard else self._insert(after))
        if written:
            return True
        found = await self._find(after.host)
        return found is not None and found.get("stamp") == after.stamp

    async def time(self) -> datetime:
        """The server's time, from `hello`."""
        return await server_time(self._database, self._call_seconds)

    async def open_breakers(self) -> Sequence[Breaker]:
        """Read all documents, which are few; at most `MOST_SHOWN`."""
        breakers = [breaker for found in await self._all() if (breaker := _readable(found))]
        return sorted((b for b in breakers if b.is_open), key=lambda breaker: breaker.host)

    async def damaged(self) -> Sequence[str]:
        """Read the same documents as `open_breakers`."""
        return sorted(str(found["_id"]) for found in await self._all() if not _readable(found))

    async def _insert(self, after: Breaker) -> bool:
        try:
            with bounded(self._call_seconds):
                await self._breakers.insert_one({"_id": after.host, **_fields(after)})
        except DuplicateKeyError:
            return False
        return True

    async def _update(self, guard: Document, after: Breaker) -> bool:
        with bounded(self._call_seconds):
            expected = {"_id": after.host, **guard}
            done = await self._breakers.update_one(expected, {"$set": _fields(after)})
        return done.matched_count == 1

    async def _all(self) -> list[Document]:
        with bounded(self._call_seconds):
            return await self._breakers.find({}).limit(MOST_SHOWN).to_list(MOST_SHOWN)

    async def _find(self, host: str) -> Document | None:
        with bounded(self._call_seconds):
            found = await self._breakers.find({"_id": host}).limit(1).to_list(1)
        return found[0] if found else None


def _fields(breaker: Breaker) -> Document:
    return {
        "stamp": breaker.stamp,
        "failedBot": breaker.failed_bot,
        "failedAt": breaker.failed_at,
        "why": breaker.why,
        "trips": breaker.trips,
        "openedAt": breaker.opened_at,
        "retryAt": breaker.retry_at,
        "probeUntil": breaker.probe_until,
    }


def _expected(before: Breaker) -> Document | None:
    """The filter that the record has to match; None if there must be no record yet."""
    if isinstance(before, _Damaged):
        return before.guard
    return {"stamp": before.stamp} if before.stamp else None


def _guard(document: Document) -> Document:
    """A filter that matches the document as long as its stamp stays, whatever the stamp is."""
    if "stamp" not in document:
        return {"stamp": {"$exists": False}}
    # Without `$exists` a stamp of null would match a missing one too.
    return {"stamp": {"$eq": document["stamp"], "$exists": True}}


def _readable(document: Document) -> Breaker | None:
    try:
        return Breaker(
            host=field(document, "_id", str),
            stamp=_stamp(document),
            failed_bot=field(document, "failedBot", str),
            failed_at=optional(document, "failedAt", datetime),
            why=field(document, "why", str),
            trips=field(document, "trips", int),
            opened_at=optional(document, "openedAt", datetime),
            retry_at=optional(document, "retryAt", datetime),
            probe_until=optional(document, "probeUntil", datetime),
        )
    except DAMAGED as error:
        log.error("breaker cannot be read", host=str(document["_id"]), reason=str(error))
        return None


def _stamp(document: Document) -> str:
    """The stamp. Raises `ValueError` for an empty one, which is never written."""
    if stamp := field(document, "stamp", str):
        return stamp
    raise ValueError("stamp: expected text, found none")
