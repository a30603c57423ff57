"""The lists of jobs, on MongoDB.

A list is read in windows of time until the page is full. So a database that does not push a limit
down reads little more than the page, and one that does walks an index in the order of the list.
"""

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from itertools import chain
from operator import itemgetter
from typing import Final

from bson import ObjectId
from pymongo import ASCENDING, DESCENDING

from console.lists import JobFilter, JobState, Listed, Position
from deletion.adapters.mongo.connection import CALL_SECONDS, Client, Document, bounded
from deletion.adapters.mongo.job_document import readable
from deletion.adapters.mongo.jobs import COLLECTION as JOBS
from deletion.adapters.mongo.windows import AHEAD, Window, backward, beginning, forward
from deletion.clock import TICK, Clock
from deletion.job import LeasePolicy, Status
from deletion.silence import EPOCH

MOST_TIES: Final = 10_000
"""The most jobs of one status that are read for one millisecond."""
ID: Final = {"_id": True}


class MongoJobLists:
    """`console.lists.JobLists` on the jobs of `database`; it needs their indexes."""

    def __init__(
        self,
        client: Client,
        database: str,
        clock: Clock,
        policy: LeasePolicy,
        *,
        call_seconds: float = CALL_SECONDS,
    ) -> None:
        self._jobs = client[database][JOBS]
        self._clock = clock
        self._policy = policy
        self._call_seconds = call_seconds

    async def page(
        self, wanted: JobFilter, *, beyond: Position | None, oldest_first: bool, limit: int
    ) -> Sequence[Listed]:
        """Read those of the same millisecond first, because an `$or` would walk no index; then
        those of earlier or later ones, in windows of time.
        """
        order = _Order("createdAt" if wanted.by_creation else "lastModifiedAt", oldest_first)
        found: list[Document] = []
        if beyond:
            found += await self._tied(wanted, order, beyond[0], limit, beyond=ObjectId(beyond[1]))
        windows = await self._windows(wanted, order, beyond and beyond[0])
        for window in windows:
            if len(found) >= limit:
                break
            found += await self._within(wanted, order, window, limit - len(found))
        return [
            Listed((document[order.by], str(document["_id"])), readable(document))
            for document in found
        ]

    async def completed(self, since: datetime, until: datetime, limit: int) -> int:
        """Count along the index of (status, lastModifiedAt): nothing changes a complete job."""
        query = {"status": Status.COMPLETE.value, "lastModifiedAt": {"$gte": since, "$lt": until}}
        with bounded(self._call_seconds):
            return await self._jobs.count_documents(query, limit=limit)

    async def _windows(
        self, wanted: JobFilter, order: "_Order", beyond: datetime | None
    ) -> Iterable[Window]:
        """Windows from the position on. A bot has few jobs, which are read in one."""
        now = self._clock.now()
        if wanted.bot_id:
            return [order.all_from(beyond, now)]
        if not order.oldest_first:
            return backward(beyond, now)
        if beyond:
            return forward(beyond + TICK, now)
        start = await beginning(partial(self._has_some, wanted, order), now)
        return chain([(EPOCH, start - TICK)], forward(start, now))

    async def _has_some(self, wanted: JobFilter, order: "_Order", window: Window) -> bool:
        queries = [order.within(window, query) for query in self._queries(wanted)]
        parts = await asyncio.gather(*(self._read(each, order, 1, ID) for each in queries))
        return any(parts)

    async def _within(
        self, wanted: JobFilter, order: "_Order", window: Window, limit: int
    ) -> list[Document]:
        """Read each status by itself and merge them: with `$in`, a server may walk no index.

        Each is sorted by the time alone, as its index is. If the page ends among jobs of the same
        millisecond, the limit may have cut off any of these, so they are read again.
        """
        queries = [order.within(window, query) for query in self._queries(wanted)]
        parts = await asyncio.gather(*(self._read(each, order, limit + 1) for each in queries))
        found = order.ordered(chain.from_iterable(parts))
        page, following = found[:limit], found[limit:]
        if following and following[0][order.by] == page[-1][order.by]:
            at = page[-1][order.by]
            page = [each for each in page if each[order.by] != at]
            page += await self._tied(wanted, order, at, limit - len(page))
        return page

    async def _tied(
        self,
        wanted: JobFilter,
        order: "_Order",
        at: datetime,
        limit: int,
        *,
        beyond: ObjectId | None = None,
    ) -> list[Document]:
        """Those of the millisecond `at`, from beyond an id. The query has no bound of the ids, with
        which a server may walk the ids instead of the index.
        """
        queries = [query | {order.by: at} for query in self._queries(wanted)]
        parts = await asyncio.gather(*(self._read(each, None, MOST_TIES, ID) for each in queries))
        ids = [each["_id"] for part in parts for each in part]
        others = [each for each in ids if beyond is None or order.is_beyond(each, beyond)]
        others = sorted(others, reverse=not order.oldest_first)[:limit]
        if not others:
            return []
        return order.ordered(await self._read({"_id": {"$in": others}}, None, limit))

    def _queries(self, wanted: JobFilter) -> list[Document]:
        """One for each status, unless a bot is given: each index begins with the bot or the status.
        A state narrows the query of its status.
        """
        query: Document = {"botId": ObjectId(wanted.bot_id)} if wanted.bot_id else {}
        if wanted.service:
            query["service"] = wanted.service
        statuses = [wanted.status] if wanted.status else list(Status)
        if wanted.state:
            query |= self._narrowed(wanted.state)
            statuses = [each for each in statuses if each is wanted.state.status]
        elif wanted.bot_id and not wanted.status:
            return [query]
        return [query | {"status": each.value} for each in statuses]

    def _narrowed(self, state: JobState) -> Document:
        """What the query of a status needs besides, to match only jobs in `state`."""
        now = self._clock.now()
        if state is JobState.PARKED:
            return {"due": {"$gt": now}}
        return {"lastModifiedAt": {"$gte": EPOCH, "$lte": now - self._policy.stale_after}}

    async def _read(
        self, query: Document, order: "_Order | None", limit: int, fields: Document | None = None
    ) -> list[Document]:
        with bounded(self._call_seconds):
            found = self._jobs.find(query, fields).limit(limit)
            if order:
                found = found.sort(order.by, order.way)
            return await found.to_list(limit)


@dataclass(frozen=True, slots=True)
class _Order:
    """The order of a list: by a time, and jobs of the same millisecond by their ids."""

    by: str
    oldest_first: bool

    @property
    def way(self) -> int:
        """The direction, as the driver names it."""
        return ASCENDING if self.oldest_first else DESCENDING

    def all_from(self, beyond: datetime | None, now: datetime) -> Window:
        """One window of everything after `beyond` in this order."""
        if self.oldest_first:
            return (beyond + TICK if beyond else EPOCH), now + AHEAD
        return EPOCH, (beyond - TICK if beyond else now + AHEAD)

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
