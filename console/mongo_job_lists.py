"""The lists of jobs, on MongoDB.

A list is read in windows of time until the page is full. So a database that does not push a limit
down reads little more than the page, and one that does walks an index in the order of the list.

Parked jobs are found by the queues in which they wait: what is due later than now is parked. They
are sorted by that time, as the index of the queues is. Each queue is first asked, once, whether it
has parked jobs; only the queues that have some are read in windows.
"""

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime
from functools import partial
from itertools import chain
from typing import Final

from bson import ObjectId

from console.job_search import Search, search_others, search_parked
from console.lists import JobFilter, JobState, Listed, Position
from deletion.adapters.mongo.connection import CALL_SECONDS, Client, Document, bounded
from deletion.adapters.mongo.job_document import readable
from deletion.adapters.mongo.jobs import COLLECTION as JOBS
from deletion.adapters.mongo.services import COLLECTION as SERVICES
from deletion.adapters.mongo.services import MOST_RECORDED
from deletion.adapters.mongo.windows import Window, backward, beginning, forward
from deletion.clock import TICK, Clock
from deletion.job import LeasePolicy, Status

MOST_TIES: Final = 10_000
"""The most jobs of one status that are read for one millisecond."""
ID: Final = {"_id": True}
AT_ONCE: Final = 10
"""Queries that are made side by side."""


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
        self._services = client[database][SERVICES]
        self._clock = clock
        self._policy = policy
        self._call_seconds = call_seconds

    async def page(
        self, wanted: JobFilter, *, beyond: Position | None, oldest_first: bool, limit: int
    ) -> Sequence[Listed]:
        """Read those of the same millisecond first, because an `$or` would walk no index; then
        those of earlier or later ones, in windows of time.
        """
        search = await self._search(wanted, oldest_first=oldest_first)
        found: list[Document] = []
        if beyond and beyond[0] >= search.since:
            found += await self._tied(search, beyond[0], limit, beyond=ObjectId(beyond[1]))
        windows = await self._windows(wanted, search, beyond and beyond[0])
        for window in windows:
            if len(found) >= limit:
                break
            found += await self._within(search, window, limit - len(found))
        return [
            Listed((document[search.by], str(document["_id"])), readable(document))
            for document in found
        ]

    async def completed(self, since: datetime, until: datetime, limit: int) -> int:
        """Count along the index of (status, lastModifiedAt): nothing changes a complete job."""
        query = {"status": Status.COMPLETE.value, "lastModifiedAt": {"$gte": since, "$lt": until}}
        with bounded(self._call_seconds):
            return await self._jobs.count_documents(query, limit=limit)

    async def _search(self, wanted: JobFilter, *, oldest_first: bool) -> Search:
        now = self._clock.now()
        if wanted.state is not JobState.PARKED:
            return search_others(wanted, now, self._policy, oldest_first=oldest_first)
        services = [wanted.service] if wanted.service else await self._names()
        search = search_parked(wanted, services, now, oldest_first=oldest_first)
        return await self._finding_some(search, search.all_from(None, now))

    async def _finding_some(self, search: Search, window: Window) -> Search:
        """Return the search without the queries that find nothing in the window."""
        queries = [search.within(window, query) for query in search.queries]
        found = await self._each(search, queries, 1, ID)
        some = [query for query, ids in zip(search.queries, found, strict=True) if ids]
        return replace(search, queries=some)

    async def _names(self) -> list[str]:
        """The services that are registered, retired ones too."""
        with bounded(self._call_seconds):
            found = await self._services.find({}, ID).to_list(MOST_RECORDED)
        return [str(each["_id"]) for each in found]

    async def _windows(
        self, wanted: JobFilter, search: Search, beyond: datetime | None
    ) -> Iterable[Window]:
        """Windows from the position on. A bot has few jobs, which are read in one."""
        now = self._clock.now()
        if wanted.bot_id:
            return [search.all_from(beyond, now)]
        if wanted.state is JobState.PARKED:
            return search.ahead(beyond, now)
        if not search.oldest_first:
            return backward(beyond, now)
        if beyond:
            return forward(beyond + TICK, now)
        return forward(await beginning(partial(self._has_some, search), now), now)

    async def _has_some(self, search: Search, window: Window) -> bool:
        queries = [search.within(window, query) for query in search.queries]
        return any(await self._all(search, queries, 1, ID))

    async def _within(self, search: Search, window: Window, limit: int) -> list[Document]:
        """Read each query by itself and merge them: with `$in`, a server may walk no index.

        Each is sorted by the time alone, as its index is. If the page ends among jobs of the same
        millisecond, the limit may have cut off any of these, so they are read again.
        """
        queries = [search.within(window, query) for query in search.queries]
        found = search.ordered(await self._all(search, queries, limit + 1))
        page, following = found[:limit], found[limit:]
        if following and following[0][search.by] == page[-1][search.by]:
            at = page[-1][search.by]
            page = [each for each in page if each[search.by] != at]
            page += await self._tied(search, at, limit - len(page))
        return page

    async def _tied(
        self, search: Search, at: datetime, limit: int, *, beyond: ObjectId | None = None
    ) -> list[Document]:
        """Those of the millisecond `at`, from beyond an id. The query has no bound of the ids, with
        which a server may walk the ids instead of the index.
        """
        queries = [query | {search.by: at} for query in search.queries]
        tied = await self._all(search, queries, MOST_TIES, ID, is_sorted=False)
        ids = [each["_id"] for each in tied]
        others = [each for each in ids if beyond is None or search.is_beyond(each, beyond)]
        others = sorted(others, reverse=not search.oldest_first)[:limit]
        if not others:
            return []
        those: Document = {"_id": {"$in": others}}
        return search.ordered(await self._all(search, [those], limit, is_sorted=False))

    async def _all(
        self,
        search: Search,
        queries: Sequence[Document],
        limit: int,
        fields: Document | None = None,
        *,
        is_sorted: bool = True,
    ) -> list[Document]:
        """What the queries find together, at most `limit` by each."""
        found = await self._each(search, queries, limit, fields, is_sorted=is_sorted)
        return [*chain.from_iterable(found)]

    async def _each(
        self,
        search: Search,
        queries: Sequence[Document],
        limit: int,
        fields: Document | None,
        *,
        is_sorted: bool = True,
    ) -> list[list[Document]]:
        """What each query finds, at most `limit`: `AT_ONCE` of them side by side."""
        order = {search.by: search.way} if is_sorted else {}
        one_of_few = asyncio.Semaphore(AT_ONCE)

        async def read(query: Document) -> list[Document]:
            async with one_of_few:
                return await self._read(query, search.status, order, limit, fields)

        return await asyncio.gather(*map(read, queries))

    async def _read(
        self,
        query: Document,
        status: Status | None,
        order: dict[str, int],
        limit: int,
        fields: Document | None,
    ) -> list[Document]:
        with bounded(self._call_seconds):
            if status is None:
                found = self._jobs.find(query, fields, sort=[*order.items()] or None).limit(limit)
                return await found.to_list(limit)
            stages: list[Document] = [{"$match": query}, {"$match": {"status": status.value}}]
            stages += [{"$sort": order}] if order else []
            stages += [{"$limit": limit}, *([{"$project": fields}] if fields else [])]
            return await self._jobs.aggregate(stages).to_list(limit)
