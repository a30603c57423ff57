"""Settling: a complete job settles its service's share of each request that it covers.

A job that completes is marked as unreported in the same write. The ledger settles what it covers,
and takes the mark off afterwards. A job may complete before its request is recorded: the intake
inserts the request first and looks for such jobs then. One of both sees the other, whatever the
clocks say. So the cost grows with what completes, not with what is open.
"""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Final

from deletion.clock import Clock
from deletion.ledger import Coverage, CoverageStore, RequestChange, RequestStore
from deletion.ports import Unreadable
from deletion.request import DeletionRequest
from recovery.ledger.metrics import LedgerMetrics, PartName
from recovery.ledger.saving import Saved, save
from recovery.ledger.walk import Walk

GROUP: Final = 500
"""Requests that are read and written together; a job may cover 1,000."""
TRIES: Final = 5
"""How often a change that is refused is made again at once."""
LAST: Final = datetime(9999, 12, 31, tzinfo=UTC)
"""No job completes later: a consumer's clock that is ahead must not hide what it completed."""

Jobs = Mapping[str, Sequence[Coverage]]
"""Complete jobs by the requests that they cover."""


class Settlement:
    """Settles the requests that jobs cover. `settled` is called when one has no share left."""

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
        """Settle what the complete ones of `jobs` cover, as far as it is recorded.

        Returns the ids of the requests that cannot be read or written; they are counted. Raises
        `StoreUnavailable`.
        """
        covered: dict[str, list[Coverage]] = defaultdict(list)
        for job in jobs:
            for event_id in job.event_ids if job.is_complete else ():
                covered[event_id].append(job)
        failed: set[str] = set()
        for group in _groups(list(covered)):
            failed |= await self._settle(group, covered)
        self._metrics.failure(PartName.SETTLE, len(failed))
        return failed

    def count(self, saved: Saved) -> None:
        """Count those of the written requests that are settled now, and tell of them."""
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
        changes = [RequestChange(each, completed(each, jobs[each.id], now)) for each in readable]
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


def completed(request: DeletionRequest, jobs: Sequence[Coverage], now: datetime) -> DeletionRequest:
    """`request` with the shares settled whose complete job is among `jobs`, which cover its
    event.
    """
    for job in jobs:
        if job.is_complete and job.bot_id == request.bot_id:
            request = request.completed(job.service, job.job_id, now)
    return request


class Settle:
    """The part that walks the unreported jobs, the first completed first."""

    def __init__(
        self, coverage: CoverageStore, settlement: Settlement, clock: Clock, metrics: LedgerMetrics
    ) -> None:
        self._coverage = coverage
        self._settlement = settlement
        self._walk = Walk[Coverage](
            PartName.SETTLE,
            lambda since, limit: coverage.unreported(since, LAST, limit),
            lambda job: job.completed_at,
            lambda job: job.job_id,
            clock,
            metrics,
        )

    async def __call__(self, stopping: asyncio.Event) -> int:
        """Settle what unreported jobs cover, then report them. Raises `StoreUnavailable`.

        A job that covers a request which cannot be settled keeps its mark, and is passed over.
        """
        done_for = 0
        async for jobs in self._walk.pages():
            done_for += len(jobs)
            failed = await self._settlement.settle(jobs)
            done = [job.job_id for job in jobs if failed.isdisjoint(job.event_ids)]
            if done:
                await self._coverage.reported(done)
            if left := [job for job in jobs if not failed.isdisjoint(job.event_ids)]:
                self._walk.pass_over(left)
            if stopping.is_set():
                break
        return done_for


def _groups(event_ids: Sequence[str]) -> Iterator[Sequence[str]]:
    for first in range(0, len(event_ids), GROUP):
        yield event_ids[first : first + GROUP]
