"""The sweep store on MongoDB. A partial unique index lets at most one sweep run.

Sweeps are kept: they are small, there is one for each call of the cron job that found none running,
and together they are the record of what recovery did.
"""

from datetime import datetime

import structlog
from bson import ObjectId
from pymongo.errors import DuplicateKeyError

from deletion.adapters.mongo.connection import CALL_SECONDS, Client, Document, bounded
from deletion.adapters.mongo.fields import DAMAGED
from deletion.adapters.mongo.sweeps import COLLECTION, RUNNING, from_document, mutable_fields
from deletion.errors import LeaseLost, StoreUnavailable
from deletion.sweep import WENT_SILENT, Sweep, SweepStatus

_START_TRIES = 5

log = structlog.get_logger(__name__)


class MongoSweepStore:
    """`recovery.ports.SweepStore` on one collection of `database`; it needs its index."""

    def __init__(
        self, client: Client, database: str, *, call_seconds: float = CALL_SECONDS
    ) -> None:
        self._sweeps = client[database][COLLECTION]
        self._call_seconds = call_seconds

    def new_id(self) -> str:
        """An ObjectId, as hex."""
        return str(ObjectId())

    async def start(self, sweep: Sweep, *, silent_since: datetime) -> Sweep:
        """Insert first, and look for the running sweep only when the index refuses.

        A running sweep that cannot be read is ended too: nothing else would end it, and two sweeps
        at once do no harm.
        """
        for _ in range(_START_TRIES):
            if await self._inserted(sweep):
                return sweep
            own = {"_id": ObjectId(sweep.id)}
            standing = await self._find(own) or await self._find(RUNNING)
            found = _readable(standing) if standing else None
            if found and (found.id == sweep.id or found.last_modified_at >= silent_since):
                return found
            if standing:
                await self._silence(standing, sweep.started_at)
        raise StoreUnavailable("no sweep could start: each time another one was in the way")

    async def save(self, sweep: Sweep) -> None:
        """One update by `_id`, guarded by the status; a repeat is recognised by its result."""
        query = {"_id": ObjectId(sweep.id), **RUNNING}
        matched = await self._update(query, mutable_fields(sweep))
        if not matched and await self.get(sweep.id) != sweep:
            raise LeaseLost(f"sweep {sweep.id} is no longer running")

    async def get(self, sweep_id: str) -> Sweep | None:
        """Read by `_id`."""
        found = await self._find({"_id": ObjectId(sweep_id)})
        return from_document(found) if found else None

    async def _inserted(self, sweep: Sweep) -> bool:
        document = {
            "_id": ObjectId(sweep.id),
            "startedAt": sweep.started_at,
            **mutable_fields(sweep),
        }
        try:
            with bounded(self._call_seconds):
                await self._sweeps.insert_one(document)
        except DuplicateKeyError:
            return False
        return True

    async def _silence(self, silent: Document, now: datetime) -> None:
        """End it as failed, unless it was modified since it was read."""
        read = {"_id": silent["_id"], "lastModifiedAt": silent.get("lastModifiedAt")}
        end = {"status": SweepStatus.FAILED.value, "lastModifiedAt": now, "finishedAt": now}
        await self._update({**read, **RUNNING}, {**end, "error": WENT_SILENT})

    async def _update(self, query: Document, fields: Document) -> int:
        with bounded(self._call_seconds):
            result = await self._sweeps.update_one(query, {"$set": fields})
        return result.matched_count

    async def _find(self, query: Document) -> Document | None:
        """Read by `_id`, or by the index of running sweeps."""
        with bounded(self._call_seconds):
            found = await self._sweeps.find(query).limit(1).to_list(1)
        return found[0] if found else None


def _readable(document: Document) -> Sweep | None:
    try:
        return from_document(document)
    except DAMAGED as error:
        log.error("sweep cannot be read", sweep_id=str(document["_id"]), reason=str(error))
        return None
