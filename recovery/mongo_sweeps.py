"""The sweep store on MongoDB. A partial unique index lets one sweep run, and no more.

Sweeps are kept: they are small, there is one for each call of the cron job that found none
running, and together they are the record of what recovery did.
"""

from datetime import datetime

from bson import ObjectId
from pymongo import ASCENDING, IndexModel
from pymongo.errors import DuplicateKeyError

from deletion.adapters.mongo.connection import Client, Document, build_indexes, translated
from deletion.errors import LeaseLost, StoreUnavailable
from recovery.sweep import Sweep, SweepStatus

COLLECTION = "recovery_sweeps"
RUNNING: Document = {"status": SweepStatus.RUNNING.value}
ONE_RUNNING, BY_ID = "one_running", "_id_"
INDEXES = [
    IndexModel(
        [("status", ASCENDING)], name=ONE_RUNNING, unique=True, partialFilterExpression=RUNNING
    )
]
_START_TRIES = 5


class MongoSweepStore:
    """`recovery.ports.SweepStore` on one collection of `database`; it needs its index."""

    def __init__(self, client: Client, database: str) -> None:
        self._sweeps = client[database][COLLECTION]

    async def ensure_indexes(self) -> None:
        """Create what is missing. Raises `ConfigurationError` if one exists and differs."""
        await build_indexes(self._sweeps, INDEXES)

    def new_id(self) -> str:
        """An ObjectId, as hex."""
        return str(ObjectId())

    async def start(self, sweep: Sweep, *, silent_since: datetime) -> Sweep:
        """Insert first, and look for what is in the way only when the index refuses."""
        for _ in range(_START_TRIES):
            if await self._inserted(sweep):
                return sweep
            standing = await self.get(sweep.id) or await self._running()
            if standing and (standing.id == sweep.id or standing.last_modified_at >= silent_since):
                return standing
            if standing:
                await self._give_up(standing, sweep.started_at)
        raise StoreUnavailable("each time, the sweep in the way had ended before it could be read")

    async def save(self, sweep: Sweep) -> None:
        """One update by `_id` that expects it to run; a repeat is known by its result."""
        query = {"_id": ObjectId(sweep.id), **RUNNING}
        matched = await self._update(query, sweep)
        if not matched and await self.get(sweep.id) != sweep:
            raise LeaseLost(f"sweep {sweep.id} does not run any more")

    async def get(self, sweep_id: str) -> Sweep | None:
        """By `_id`."""
        return await self._read({"_id": ObjectId(sweep_id)})

    async def _inserted(self, sweep: Sweep) -> bool:
        document = {
            "_id": ObjectId(sweep.id),
            "startedAt": sweep.started_at,
            **_mutable_fields(sweep),
        }
        try:
            with translated():
                await self._sweeps.insert_one(document)
        except DuplicateKeyError:
            return False
        return True

    async def _running(self) -> Sweep | None:
        """By the index of the one that runs."""
        return await self._read(RUNNING)

    async def _give_up(self, silent: Sweep, now: datetime) -> None:
        """Unless it has moved since it was read: then it is not silent, or has ended."""
        query = {"_id": ObjectId(silent.id), **RUNNING, "lastModifiedAt": silent.last_modified_at}
        await self._update(query, silent.given_up(now))

    async def _update(self, query: Document, sweep: Sweep) -> int:
        with translated():
            result = await self._sweeps.update_one(
                query, {"$set": _mutable_fields(sweep)}, hint=BY_ID
            )
        return result.matched_count

    async def _read(self, query: Document) -> Sweep | None:
        with translated():
            found = await self._sweeps.find(query).limit(1).to_list(1)
        return _from_document(found[0]) if found else None


def _mutable_fields(sweep: Sweep) -> Document:
    return {
        "status": sweep.status.value,
        "lastModifiedAt": sweep.last_modified_at,
        "finishedAt": sweep.finished_at,
        "resumed": sweep.resumed,
        "exhausted": sweep.exhausted,
        "skipped": sweep.skipped,
        "error": sweep.error,
    }


def _from_document(document: Document) -> Sweep:
    return Sweep(
        id=str(document["_id"]),
        status=SweepStatus(document["status"]),
        started_at=document["startedAt"],
        last_modified_at=document["lastModifiedAt"],
        finished_at=document["finishedAt"],
        resumed=document["resumed"],
        exhausted=document["exhausted"],
        skipped=document["skipped"],
        error=document["error"],
    )
