"""Settling: a complete job settles its service's share of each request that it covers.

A job that completes is marked as unreported in the same write. The ledger settles what it covers,
and takes the mark off afterwards. A job may complete before its request is recorded: the intake
inserts the request first and looks for such jobs then. So one of the two finds the other, whatever
the clocks say, and the cost grows with what completes, not with what is open.
"""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Final, TypeVar

from deletion.clock import Clock
from deletion.ledger import Coverage, CoverageStore, RequestChange, RequestStore
from deletion.ports import Unreadable
from deletion.request import DeletionRequest
from recovery.ledger.metrics import LedgerMetrics, PartName
from recovery.ledger.saving import Saved, save
from recovery.ledger.walk import Walk

T = TypeVar("T")

GROUP: Final = 500
"""Requests that are read and written together, or messages that are published; a job may cover
1,000, and a hundred requests may lack the jobs of many services."""
TRIES: Final = 5
"""How often a group of changes is tried at once while some are refused."""
Jobs = Mapping[str, Sequence[Coverage]]
"""Complete jobs by the requests that they cover."""


class Settlement:
    """Settles the requests that jobs cover. `settled` is called when at least one is settled."""

    def __init__(
        self,
        requests: RequestStore,
        clock: Clock,
        metrics: LedgerMetrics,
        settled: Callable[[], None],
    ) -> None:
        self._requests = requests
        self._clock = clock
        self._metrics = metrics
        self._settled = settled

    async def settle(self, jobs: Sequence[Coverage]) -> set[str]:
        """Settle the recorded requests that the complete ones of `jobs` cover.

        Returns the ids of the requests that cannot be read or written; they are counted. Raises
        `StoreUnavailable`.
        """
        covered: dict[str, list[Coverage]] = defaultdict(list)
        for job in jobs:
            for event_id in job.event_ids if job.is_complete else ():
                covered[event_id].append(job)
        failed: set[str] = set()
        for group in groups(list(covered)):
            failed |= await self._settle(group, covered)
        self._metrics.failure(PartName.SETTLE, len(failed))
        return failed

    def count(self, saved: Saved) -> None:
        """Count the requests that these writes settled, and call `settled` if there are any."""
        settled = sum(
            each.after.settled_at is not None and each.before.settled_at is None
            for each in saved.written
        )
        if settled:
            self._metrics.settled(settled)
            self._settled()

    async def _settle(self, event_ids: Sequence[str], jobs: Jobs) -> set[str]:
        """Read → change → save, and again for those that somebody else has written meanwhile."""
        failed: set[str] = set()
        for _ in range(TRIES):
            found = await self._requests.get(event_ids)
            failed |= {each.id for each in found if isinstance(each, Unreadable)}
            saved = await save(self._requests, self._changes(found, jobs))
            self.count(saved)
            failed |= {each.before.id for each in saved.broken}
            event_ids = [each.before.id for each in saved.refused]
            if not event_ids:
                return failed
        return failed | set(event_ids)

    def _changes(
        self, found: Sequence[DeletionRequest | Unreadable], jobs: Jobs
    ) -> list[RequestChange]:
        now = self._clock.now()
        readable = [each for each in found if isinstance(each, DeletionRequest)]
        changes = [RequestChange(each, settled_by(each, jobs[each.id], now)) for each in readable]
        return [change for change in changes if change.after != change.before]


async def jobs_of(
    coverage: CoverageStore, requests: Sequence[DeletionRequest]
) -> dict[str, list[Coverage]]:
    """The jobs that cover each of `requests`, by its id. Raises `StoreUnavailable`."""
    jobs: dict[str, list[Coverage]] = {each.id: [] for each in requests}
    bots = {each.id: each.bot_id for each in requests}
    for job in await coverage.covering([(bot, event_id) for event_id, bot in bots.items()]):
        for event_id in job.event_ids:
            if bots.get(event_id) == job.bot_id:
                jobs[event_id].append(job)
    return jobs


def settled_by(
    request: DeletionRequest, jobs: Sequence[Coverage], now: datetime
) -> DeletionRequest:
    """`request` after the complete ones of `jobs`, which cover it, have settled their shares."""
    owed = set(request.owed)
    for job in jobs:
        if job.is_complete and job.bot_id == request.bot_id and job.service in owed:
            request = request.completed(job.service, job.job_id, now)
    return request


def without_job(request: DeletionRequest, jobs: Sequence[Coverage]) -> list[str]:
    """The services that owe the request and have none of `jobs`, which cover it."""
    having = {job.service for job in jobs}
    return [service for service in request.owed if service not in having]


class Settle:
    """The part that settles what unreported jobs cover, the first completed first."""

    def __init__(
        self, coverage: CoverageStore, settlement: Settlement, clock: Clock, metrics: LedgerMetrics
    ) -> None:
        self._coverage = coverage
        self._settlement = settlement
        self._walk = Walk[Coverage](
            PartName.SETTLE,
            coverage.unreported,
            lambda job: job.completed_at,
            lambda job: job.job_id,
            clock,
            metrics,
            beyond_now=True,  # the clock of a consumer may be ahead
        )

    async def __call__(self, stopping: asyncio.Event) -> int:
        """Settle what unreported jobs cover, then take their marks off. Raises `StoreUnavailable`.

        A job that covers a request which cannot be settled keeps its mark, and is passed over.
        """
        done_for = 0
        async for jobs in self._walk.pages():
            done_for += len(jobs)
            failed = await self._settlement.settle(jobs)
            done = [job.job_id for job in jobs if failed.isdisjoint(job.event_ids)]
            if done:
                await self._coverage.mark_reported(done)
            if left := [job for job in jobs if not failed.isdisjoint(job.event_ids)]:
                self._walk.pass_over(left)
            if stopping.is_set():
                break
        return done_for


def groups(items: Sequence[T]) -> Iterator[Sequence[T]]:
    """The items, `GROUP` at a time."""
    for first in range(0, len(items), GROUP):
        yield items[first : first + GROUP]
