"""Retention: an optional TTL index deletes complete jobs after some time, once they are reported.

At least 31 days: a message may be redelivered for that long, and only the job's record shows that
it is a duplicate. The idempotency key is forgotten with the record: docs/decisions/0026.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from pymongo import ASCENDING, IndexModel

from deletion.adapters.mongo.connection import PING_SECONDS, Database, bounded, build_indexes
from deletion.adapters.mongo.indexes import gap
from deletion.adapters.mongo.jobs import COLLECTION

FINISHED = "complete_finished_ttl"


@dataclass(frozen=True, slots=True)
class RetentionDifference:
    """How the TTL index differs from the setting, and what to do about it."""

    what: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.what}; {self.remedy}"


def ttl_index(days: int) -> IndexModel:
    """The TTL index over complete jobs that the ledger has settled: any other job still needs
    somebody, however old. In the filter, null stands for an absent field too.
    """
    return IndexModel(
        [("finishedAt", ASCENDING)],
        name=FINISHED,
        expireAfterSeconds=int(timedelta(days=days).total_seconds()),
        partialFilterExpression={"status": "complete", "unreported": None},
    )


async def apply_retention(database: Database, days: int | None) -> RetentionDifference | None:
    """Create the index when `days` is set and there is none.

    Returns how an existing index differs from `days`; the index is never changed or dropped here.
    Raises `StoreUnavailable`.
    """
    difference = await retention_difference(database, days)
    if difference is None and days is not None:
        await build_indexes(database[COLLECTION], [ttl_index(days)])
    return difference


async def retention_difference(database: Database, days: int | None) -> RetentionDifference | None:
    """How an existing index differs from what `days` asks for; None when it does not."""
    with bounded(PING_SECONDS):
        found = await database[COLLECTION].index_information()
    if FINISHED not in found:
        return None
    if days is not None and not gap([ttl_index(days)], found):
        return None
    return RetentionDifference(
        _said(found[FINISHED], days),
        f'run `db.{COLLECTION}.dropIndex("{FINISHED}")`'
        + ("" if days is None else ", then run `botdel topology apply`"),
    )


def _said(found: Mapping[str, Any], days: int | None) -> str:
    """What is wrong with the index that was found."""
    seconds = found.get("expireAfterSeconds")
    if days is not None and seconds == ttl_index(days).document["expireAfterSeconds"]:
        return (
            f"index {FINISHED} is of an earlier version: it deletes complete jobs that the request "
            "ledger has not settled yet"
        )
    kept = "an unknown time" if seconds is None else f"{seconds / 86_400:g} days"
    wanted = "not set" if days is None else f"{days}"
    return (
        f"index {FINISHED} deletes complete jobs after {kept}, and BOTDEL_KEEP_COMPLETE_DAYS is "
        f"{wanted}"
    )
