"""The services of the installation on MongoDB, one document each."""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Final
from uuid import uuid4

from pymongo import ASCENDING, DeleteOne, UpdateOne
from pymongo.errors import BulkWriteError

from deletion.adapters.mongo.connection import CALL_SECONDS, Client, Document, bounded
from deletion.adapters.mongo.fields import time_or_none
from deletion.adapters.mongo.writes import duplicates
from deletion.errors import ConfigurationError, StoreUnavailable
from deletion.ledger import Service, check_room
from deletion.silence import EPOCH

COLLECTION: Final = "services"
MOST_RECORDED: Final = 10_000
"""The most services that are read, retired ones included."""
RETIRE: Final = (
    "`botdel services list` shows them: retire those that hold no data of bots, with "
    "`botdel services retire NAME --why TEXT`"
)
FORGET: Final = (
    "delete the documents of retired services that nobody needs (those with `retiredAt`) from the "
    "collection, with a client of MongoDB"
)
_TRIES: Final = 3
_RETIREMENT: Final = {"retiredAt": "", "retiredBy": "", "reason": ""}
_MARK: Final = {"addedBy": ""}


class MongoServiceStore:
    """`deletion.ledger.ServiceStore` on one collection of `database`. It needs no index: it is
    small, and each name is an `_id`.
    """

    def __init__(
        self, client: Client, database: str, *, call_seconds: float = CALL_SECONDS
    ) -> None:
        self._services = client[database][COLLECTION]
        self._call_seconds = call_seconds

    async def register(self, names: Collection[str], now: datetime) -> None:
        """Look, write, and look again: another process may have registered some in between. If they
        are too many together, what this call added is taken back.
        """
        if not names:
            return
        before = {service.name: service for service in await self.all()}
        check_room([*before.values()], names)
        known = [before.get(name) or Service(name, now) for name in set(names)]
        absent = [each for each in known if each.name not in before or each.retired_at]
        mark = uuid4().hex
        added = await self._add(absent, mark)
        await self._write(set(names) - added, now)
        recorded = await self.first(MOST_RECORDED)
        others = [service for service in recorded if service.name not in added]
        try:
            check_room(others, added)
        except ConfigurationError:
            await self._take_back([each for each in absent if each.name in added], mark)
            raise

    async def _add(self, services: Sequence[Service], mark: str) -> set[str]:
        """Put those in use that are still as they were read, retired or not recorded, and give them
        `mark`, which any later registration or retirement removes. Returns their names.
        """
        if not services:
            return set()
        additions = [_addition(each, mark) for each in services]
        marked = {"_id": {"$in": [each.name for each in services]}, "addedBy": mark}
        with bounded(self._call_seconds):
            try:
                await self._services.bulk_write(additions, ordered=False)
            except BulkWriteError as error:
                duplicates(error)  # another process has inserted these in the same moment
            found = await self._services.find(marked, {"_id": 1}).to_list(len(services))
        return {document["_id"] for document in found}

    async def _write(self, names: Collection[str], now: datetime) -> None:
        """One bulk write of upserts, again when another process inserts one in the same moment."""
        updates = [_registration(name, now) for name in sorted(set(names))]
        for _ in range(_TRIES):
            if not updates:
                return
            try:
                with bounded(self._call_seconds):
                    await self._services.bulk_write(updates, ordered=False)
            except BulkWriteError as error:
                updates = [updates[index] for index in duplicates(error)]
            else:
                return
        raise StoreUnavailable(f"{len(updates)} services lost every race to be registered")

    async def _take_back(self, services: Sequence[Service], mark: str) -> None:
        """Make each what it is in `services`: retired, or not recorded if this call was the first
        to register it. A service that has lost the `mark` stays as it is, because another process
        has registered or retired it since.
        """
        updates: list[DeleteOne | UpdateOne] = [
            UpdateOne({"_id": each.name, "addedBy": mark}, _retirement(each))
            if each.retired_at
            else DeleteOne({"_id": each.name, "addedBy": mark})
            for each in services
        ]
        with bounded(self._call_seconds):
            await self._services.bulk_write(updates, ordered=False)

    async def all(self) -> list[Service]:
        """Read all documents, which are few. Raises `ConfigurationError` for more than
        `MOST_RECORDED`: if some were left out, requests would be settled without them. More than
        `deletion.request.MAX_SERVICES` in use are read: without any, no request would be recorded.
        """
        services = await self.first(MOST_RECORDED + 1)
        if len(services) > MOST_RECORDED:
            raise _too_many(MOST_RECORDED, "recorded", FORGET)
        return services

    async def first(self, limit: int) -> list[Service]:
        """Read the first `limit` documents by name, however many there are."""
        with bounded(self._call_seconds):
            by_name = self._services.find({}).sort("_id", ASCENDING).limit(limit)
            return [_service(document) for document in await by_name.to_list(limit)]

    async def retire(self, name: str, by: str, reason: str, now: datetime) -> bool:
        """One update by `_id`, guarded by the absence of an earlier one."""
        standing = {"_id": name, "retiredAt": {"$not": {"$type": "date"}}}
        retirement = _retirement(Service(name, now, now, by, reason))
        with bounded(self._call_seconds):
            result = await self._services.update_one(standing, retirement)
        return bool(result.matched_count)


def _too_many(most: int, how: str, remedy: str) -> ConfigurationError:
    return ConfigurationError(f"more than {most} services are {how} in `{COLLECTION}`", remedy)


def _addition(service: Service, mark: str) -> UpdateOne:
    if service.retired_at:
        as_read = {"_id": service.name, "retiredAt": service.retired_at}
        return UpdateOne(as_read, {"$set": {"addedBy": mark}, "$unset": _RETIREMENT})
    added = {"registeredAt": service.registered_at, "addedBy": mark}
    return UpdateOne({"_id": service.name}, {"$setOnInsert": added}, upsert=True)


def _registration(name: str, now: datetime) -> UpdateOne:
    update = {"$setOnInsert": {"registeredAt": now}, "$unset": _RETIREMENT | _MARK}
    return UpdateOne({"_id": name}, update, upsert=True)


def _retirement(service: Service) -> Document:
    retired = {
        "retiredAt": service.retired_at,
        "retiredBy": service.retired_by,
        "reason": service.reason,
    }
    return {"$set": retired, "$unset": _MARK}


def _service(document: Document) -> Service:
    """Return the service. If its record is damaged, it still owes requests."""
    return Service(
        name=str(document["_id"]),
        registered_at=time_or_none(document.get("registeredAt")) or EPOCH,
        retired_at=time_or_none(document.get("retiredAt")),
        retired_by=_text(document.get("retiredBy")),
        reason=_text(document.get("reason")),
    )


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None
