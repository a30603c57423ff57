"""Retention: optional TTL indexes delete records that nobody needs any more after some time.

A complete job expires once the ledger has settled what it covers, after at least 31 days: a message
may be redelivered for that long, and only the job's record shows that it is a duplicate. The
idempotency key is forgotten with the record: docs/decisions/0026. A request expires once it is
settled and everybody has been notified, after at least 32 days: docs/decisions/0040.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

from pymongo import ASCENDING, IndexModel

from deletion.adapters.mongo import jobs, requests
from deletion.adapters.mongo.connection import (
    PING_SECONDS,
    Database,
    Document,
    bounded,
    build_indexes,
)
from deletion.adapters.mongo.indexes import gap


@dataclass(frozen=True, slots=True)
class Retention:
    """What one TTL index deletes: the documents of `collection` that match `only`, a number of
    days after the time in `field`. `records` is how messages name them, and `setting` is the
    variable with the number of days.
    """

    records: str
    collection: str
    index: str
    field: str
    only: Mapping[str, Any]
    also_deleted: str
    """What an index with the same days, but the filter of an earlier version, deletes too."""
    setting: str

    def model(self, days: int) -> IndexModel:
        """The TTL index that deletes them after `days`."""
        return IndexModel(
            [(self.field, ASCENDING)],
            name=self.index,
            expireAfterSeconds=int(timedelta(days=days).total_seconds()),
            partialFilterExpression=dict(self.only),
        )


COMPLETE_JOBS: Final = Retention(
    records="complete jobs",
    collection=jobs.COLLECTION,
    index="complete_finished_ttl",
    field="finishedAt",
    # Any other job still needs somebody, however old. Null stands for an absent field too.
    only={"status": "complete", "unreported": None},
    also_deleted="complete jobs that the request ledger has not settled yet",
    setting="BOTDEL_KEEP_COMPLETE_DAYS",
)
SETTLED_REQUESTS: Final = Retention(
    records="settled requests",
    collection=requests.COLLECTION,
    index="settled_ttl",
    field="settledAt",
    # No chore is left: an open request always has one, and a settled one until all are notified.
    only={"chores": {}},
    also_deleted="requests of which not everybody has been notified",
    setting="BOTDEL_KEEP_SETTLED_DAYS",
)


@dataclass(frozen=True, slots=True)
class RetentionDifference:
    """How a TTL index differs from the setting, and what to do about it."""

    what: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.what}; {self.remedy}"


async def apply_retention(
    database: Database, kept: Retention, days: int | None
) -> RetentionDifference | None:
    """Create the index when `days` is set and there is none.

    Returns how an existing index differs from `days`; the index is never changed or dropped here.
    Raises `StoreUnavailable`.
    """
    difference = await retention_difference(database, kept, days)
    if difference is None and days is not None:
        await build_indexes(database[kept.collection], [kept.model(days)])
    return difference


async def retention_difference(
    database: Database, kept: Retention, days: int | None
) -> RetentionDifference | None:
    """How an existing index differs from what `days` asks for; None when it does not."""
    with bounded(PING_SECONDS):
        found = await database[kept.collection].index_information()
    if kept.index not in found:
        return None
    if days is not None and not gap([kept.model(days)], found):
        return None
    return RetentionDifference(
        _said(kept, found[kept.index], days),
        f'run `db.{kept.collection}.dropIndex("{kept.index}")`'
        + ("" if days is None else ", then run `botdel topology apply`"),
    )


def _said(kept: Retention, found: Document, days: int | None) -> str:
    """What is wrong with the index that was found."""
    seconds = found.get("expireAfterSeconds")
    if days is not None and seconds == kept.model(days).document["expireAfterSeconds"]:
        return f"index {kept.index} is of an earlier version: it deletes {kept.also_deleted}"
    after = "an unknown time" if seconds is None else f"{seconds / 86_400:g} days"
    wanted = "not set" if days is None else f"{days}"
    return (
        f"index {kept.index} deletes {kept.records} after {after}, and {kept.setting} is {wanted}"
    )
