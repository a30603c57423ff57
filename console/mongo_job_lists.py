"""The lists of jobs, on MongoDB.

A list of jobs is read newest first in windows of time that are closed at both ends, each ten times
as long as the one before, until the page is full. So a database that does not push a limit down
reads little more than the page.
"""

import asyncio
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import Final

from bson import ObjectId
from pymongo import ASCENDING, DESCENDING

from console.lists import (
    JobFilter,
    JobState,
    Listed,
    Position,
)
from deletion.adapters.mongo.connection import CALL_SECONDS, Client, Document, bounded
from deletion.adapters.mongo.job_document import readable
from deletion.adapters.mongo.jobs import COLLECTION as JOBS
from deletion.clock import TICK, Clock
from deletion.job import LeasePolicy, Status
from deletion.silence import EPOCH

FIRST_WINDOW: Final = timedelta(minutes=1)
GROWTH: Final = 10
MOST_TIES: Final = 10_000
"""Jobs of one status that are looked at in one millisecond."""
AHEAD: Final = timedelta(days=365)
"""A job may be stamped by a clock that is ahead."""


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
        those of earlier or later ones.
        """
        order = "createdAt" if wanted.by_creation else "lastModifiedAt"
        found: list[Document] = []
        if beyond:
            found += await self._same(wanted, beyond, order, limit, oldest_first=oldest_first)
        for since, until in self._windows(beyond, oldest_first=oldest_first):
            if len(found) >= limit:
                break
            within = {order: {"$gte": since, "$lte": until}}
            left = limit - len(found)
            found += await self._merged(wanted, within, order, left, oldest_first=oldest_first)
        return [
            Listed((document[order], str(document["_id"])), readable(document))
            for document in found
        ]

    async def completed(self, since: datetime, until: datetime, limit: int) -> int:
        """Count along the index of (status, lastModifiedAt): nothing changes a complete job."""
        query = {"status": Status.COMPLETE.value, "lastModifiedAt": {"$gte": since, "$lt": until}}
        with bounded(self._call_seconds):
            return await self._jobs.count_documents(query, limit=limit)

    def _windows(
        self, beyond: Position | None, *, oldest_first: bool
    ) -> Iterator[tuple[datetime, datetime]]:
        """Windows of time, from the position on; the oldest first are read in one."""
        now = self._clock.now()
        if oldest_first:
            yield (beyond[0] + TICK if beyond else EPOCH), now + AHEAD
            return
        until = beyond[0] - TICK if beyond else now + AHEAD
        since, length = min(until, now), FIRST_WINDOW
        while until >= EPOCH:
            since = EPOCH if since - EPOCH <= length else since - length
            yield since, until
            until, length = since - TICK, length * GROWTH

    async def _same(
        self, wanted: JobFilter, beyond: Position, order: str, limit: int, *, oldest_first: bool
    ) -> list[Document]:
        """Those of the millisecond of `beyond`. With a bound of the ids in the query, a server may
        walk the ids instead of the index.
        """
        at, last = beyond[0], ObjectId(beyond[1])
        ids: list[ObjectId] = []
        for query in self._queries(wanted):
            with bounded(self._call_seconds):
                found = self._jobs.find(query | {order: at}, {"_id": True}).limit(MOST_TIES)
                ids += [each["_id"] for each in await found.to_list(MOST_TIES)]
        others = [each for each in ids if (each > last if oldest_first else each < last)]
        others = sorted(others, reverse=not oldest_first)[:limit]
        if not others:
            return []
        with bounded(self._call_seconds):
            tied = await self._jobs.find({"_id": {"$in": others}}).to_list(limit)
        return sorted(tied, key=lambda each: each["_id"], reverse=not oldest_first)

    async def _merged(
        self, wanted: JobFilter, when: Document, order: str, limit: int, *, oldest_first: bool
    ) -> list[Document]:
        """Read each status by itself and merge them: with `$in`, a server may walk no index."""
        way = ASCENDING if oldest_first else DESCENDING
        queries = [_narrower(query, when) for query in self._queries(wanted)]
        parts = await asyncio.gather(*(self._read(each, order, way, limit) for each in queries))
        found = [document for part in parts for document in part]
        found.sort(key=lambda each: (each[order], each["_id"]), reverse=not oldest_first)
        return found[:limit]

    def _queries(self, wanted: JobFilter) -> list[Document]:
        """One for each status, unless a bot is given: each index begins with the bot or the status.
        A state narrows down those of its status.
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
        """What tells jobs in the state from others of its status."""
        now = self._clock.now()
        if state is JobState.PARKED:
            return {"due": {"$gt": now}}
        return {"lastModifiedAt": {"$gte": EPOCH, "$lte": now - self._policy.stale_after}}

    async def _read(self, query: Document, order: str, way: int, limit: int) -> list[Document]:
        with bounded(self._call_seconds):
            found = self._jobs.find(query).sort([(order, way), ("_id", way)]).limit(limit)
            return await found.to_list(limit)


def _narrower(query: Document, when: Document) -> Document:
    """`query` within the range `when`. A server may walk no index for two ranges of one field."""
    [(order, within)] = when.items()
    bound = query[order]["$lte"] if order in query else within["$lte"]
    return query | {order: within | {"$lte": min(bound, within["$lte"])}}
