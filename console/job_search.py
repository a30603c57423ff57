"""What finds the jobs of a list on MongoDB: queries that each walk an index, and their order."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from operator import itemgetter

from bson import ObjectId
from pymongo import ASCENDING, DESCENDING

from console.lists import JobFilter, JobState, SortedBy
from deletion.adapters.mongo.connection import Document
from deletion.adapters.mongo.windows import AHEAD, Window, forward
from deletion.clock import TICK
from deletion.job import LeasePolicy, Status, suspect_queue
from deletion.silence import EPOCH

FIELDS = {
    SortedBy.CREATED: "createdAt",
    SortedBy.MODIFIED: "lastModifiedAt",
    SortedBy.DUE: "due",
}


@dataclass(frozen=True, slots=True)
class Search:
    """The jobs that one of `queries` matches and that have the `status`, if there is one. They are
    sorted by the field `by`, and jobs of the same millisecond by their ids; none is before `since`.

    The status is apart from the queries, because with it a server may walk another index.
    """

    queries: Sequence[Document]
    by: str
    oldest_first: bool
    since: datetime = EPOCH
    status: Status | None = None

    @property
    def way(self) -> int:
        """The direction, as the driver names it."""
        return ASCENDING if self.oldest_first else DESCENDING

    def all_from(self, beyond: datetime | None, now: datetime) -> Window:
        """One window of everything after `beyond` in this order."""
        if self.oldest_first:
            return max(self.since, beyond + TICK if beyond else self.since), now + AHEAD
        return self.since, (beyond - TICK if beyond else now + AHEAD)

    def ahead(self, beyond: datetime | None, now: datetime) -> Iterable[Window]:
        """Windows from `since` on, which is about now; those that come after `beyond`."""
        first, last = self.since, now + AHEAD
        if beyond and self.oldest_first:
            first = max(first, beyond + TICK)
        elif beyond:
            last = min(last, beyond - TICK)
        windows = [
            (since, min(until, last)) for since, until in forward(first, now) if since <= last
        ]
        return windows if self.oldest_first else reversed(windows)

    def within(self, window: Window, query: Document) -> Document:
        """`query` within `window`. With two ranges of one field, a server may walk no index."""
        until = min(window[1], query[self.by]["$lte"]) if self.by in query else window[1]
        return query | {self.by: {"$gte": window[0], "$lte": until}}

    def ordered(self, documents: Iterable[Document]) -> list[Document]:
        """The documents in this order."""
        return sorted(documents, key=itemgetter(self.by, "_id"), reverse=not self.oldest_first)

    def is_beyond(self, one: ObjectId, other: ObjectId) -> bool:
        """Whether a job comes after another one of the same millisecond."""
        return one > other if self.oldest_first else one < other


def search_others(
    wanted: JobFilter, now: datetime, policy: LeasePolicy, *, oldest_first: bool
) -> Search:
    """What finds jobs that are not parked: a query for each status, unless a bot is given, because
    each index begins with the bot or the status. Stale jobs are those of theirs that are silent.
    """
    query, by = _of_bot_and_service(wanted), FIELDS[wanted.sorted_by]
    statuses = [wanted.status] if wanted.status else list(Status)
    if wanted.state is JobState.STALE:
        query["lastModifiedAt"] = {"$gte": EPOCH, "$lte": now - policy.stale_after}
        statuses = [each for each in statuses if each is JobState.STALE.status]
    elif wanted.bot_id and not wanted.status:
        return Search([query], by, oldest_first)
    return Search([query | {"status": each.value} for each in statuses], by, oldest_first)


def search_parked(
    wanted: JobFilter, services: Iterable[str], now: datetime, *, oldest_first: bool
) -> Search:
    """What finds parked jobs: in the queues of `services`, what is due later than now; those of a
    bot are few, and are found by it.
    """
    queues = [queue for name in services for queue in (name, suspect_queue(name))]
    queries: list[Document] = [{"queue": queue} for queue in queues]
    if wanted.bot_id:
        queries = [_of_bot_and_service(wanted)]
    if wanted.status not in (None, JobState.PARKED.status):
        queries = []
    by = FIELDS[wanted.sorted_by]
    return Search(queries, by, oldest_first, now + TICK, JobState.PARKED.status)


def _of_bot_and_service(wanted: JobFilter) -> Document:
    query: Document = {"botId": ObjectId(wanted.bot_id)} if wanted.bot_id else {}
    return query | ({"service": wanted.service} if wanted.service else {})
