"""Guarded updates of jobs on MongoDB: changes of the same moment, in one bulk write."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from bson import ObjectId
from bson.errors import BSONError
from pymongo import UpdateOne
from pymongo.errors import BulkWriteError, DocumentTooLarge, OperationFailure

from deletion.adapters.mongo.connection import Collection, Document, bounded
from deletion.adapters.mongo.job_document import readable, update_of
from deletion.errors import LeaseLost, StoreUnavailable, TransitionError, UnreadableJob
from deletion.job import Change, Job
from deletion.ports import Read, Unreadable

DUPLICATE_KEY: Final = 11000
_NOT_STORABLE: Final = (BSONError, DocumentTooLarge, OverflowError, UnicodeError)
"""What the driver raises before anything is sent."""
_FIELDS: Final = {
    "status": "status",
    "attempt": "attempt",
    "claimed_by": "claimedBy",
    "last_modified_at": "lastModifiedAt",
    "placed_at": "placedAt",
}


@dataclass(frozen=True, slots=True)
class Writes:
    """The changes of one moment, each with its guard."""

    jobs: Collection
    call_seconds: float

    async def apply(self, changes: Sequence[Change]) -> list[Job | Exception]:
        """Make one bulk write, or one write each if one of the changes cannot be stored at all."""
        try:
            return await self._write_all(changes)
        except _NOT_STORABLE as error:
            if len(changes) == 1:
                return [error]
        alone = [await self.apply([change]) for change in changes]
        return [outcome for each in alone for outcome in each]

    async def _write_all(self, changes: Sequence[Change]) -> list[Job | Exception]:
        """Make one bulk write. When fewer matched than were sent, read the group back."""
        errors: dict[int, Exception] = {}
        try:
            with bounded(self.call_seconds):
                result = await self.jobs.bulk_write(
                    [UpdateOne(_guarded(change), update_of(change.after)) for change in changes],
                    ordered=False,
                )
            if result.matched_count == len(changes):
                return [change.after for change in changes]
        except BulkWriteError as error:
            check_confirmed(error)
            for problem in error.details["writeErrors"]:
                change = changes[problem["index"]]
                errors[problem["index"]] = _refusal(change, problem["code"], problem["errmsg"])
        ids = {"$in": [ObjectId(change.after.id) for change in changes]}
        with bounded(self.call_seconds):
            found = await self.jobs.find({"_id": ids}).to_list(len(changes))
        stored = {str(document["_id"]): readable(document) for document in found}
        return [
            errors.get(index) or _outcome(change, stored.get(change.after.id))
            for index, change in enumerate(changes)
        ]


def _outcome(change: Change, stored: Read | None) -> Job | Exception:
    """`change.after` if this call, or one whose answer was lost, stored it; else the error."""
    if isinstance(stored, Unreadable):
        return UnreadableJob(stored.id, stored.reason)
    if stored is not None:
        after = change.after
        as_joined = replace(stored, placed_at=after.placed_at, event_ids=after.event_ids)
        if as_joined == after:
            return after
    return LeaseLost(f"job {change.after.id} has moved on")


def _refusal(change: Change, code: int, message: str) -> Exception:
    """The error of a change that the database refused."""
    if code == DUPLICATE_KEY:
        return TransitionError(f"job {change.after.id}: another job of its bot is live")
    return OperationFailure(message, code)


def _guarded(change: Change) -> Document:
    """The filter of a guarded update, with the shard key, so that it goes to one shard."""
    guard = {_FIELDS[name]: getattr(change.before, name) for name in change.guard}
    return {"_id": ObjectId(change.after.id), "botId": ObjectId(change.after.bot_id), **guard}


def check_confirmed(error: BulkWriteError) -> None:
    """Raise `StoreUnavailable` for a write that the replica set has not confirmed."""
    if error.details.get("writeConcernErrors"):  # written, but it may be rolled back
        raise StoreUnavailable("MongoDB has not confirmed the write") from error


def duplicates(error: BulkWriteError) -> list[int]:
    """The positions of the writes that a unique index refused. Raises for any other problem."""
    check_confirmed(error)
    problems = error.details["writeErrors"]
    if any(problem["code"] != DUPLICATE_KEY for problem in problems):
        raise error
    return [problem["index"] for problem in problems]
