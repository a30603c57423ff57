"""Claims: which due jobs this process takes, old before new, without colliding with replicas.

Jobs are read as a window of `due` that is closed at both ends, and claimed from it in random
order. The window widens while it holds little and shrinks to what one read returns; the read grows
while claims are lost to other replicas: docs/decisions/0020.
"""

import asyncio
import random
import secrets
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Final

import structlog

from deletion.clock import Clock
from deletion.errors import LeaseLost, UnreadableJob
from deletion.job import Job, LeasePolicy
from deletion.ports import JobStore, Read
from deletion.retry import Retry
from deletion.silence import EPOCH

FEWEST, MOST = 32, 2048
"""Jobs that one read returns."""
FRESH: Final = timedelta(seconds=1)
"""How long what was read is claimed from: others claim from it too."""
NARROWEST, WIDEST = timedelta(milliseconds=100), timedelta(days=36_500)
TICK: Final = timedelta(milliseconds=1)
CLOSER: Final = 0.9
"""The share of the time up to this moment that a look skips over where it has found nothing."""

log = structlog.get_logger(__name__)


class Claims:
    """The claims of one process on one queue. `worker` names it in each of them.

    `counted` gets, after each round, how many claims this process won, and how many others did.
    """

    def __init__(
        self,
        queue: str,
        store: JobStore,
        clock: Clock,
        policy: LeasePolicy,
        worker: str,
        *,
        rng: random.Random | None = None,
        counted: Callable[[int, int], None] = lambda _won, _lost: None,
    ) -> None:
        self._queue = queue
        self._store = store
        self._clock = clock
        self._policy = policy
        self._worker = worker
        self._rng = rng or random.Random()  # noqa: S311 - it spreads claims, it guards nothing
        self._retry = Retry(clock, cap=2.0, rng=self._rng)
        self._counted = counted
        self._window: list[Job] = []
        self._read_at = EPOCH
        self._edge = EPOCH
        self._width = NARROWEST
        self._limit = FEWEST

    async def take(self, most: int) -> list[Job]:
        """At most `most` jobs, claimed; empty when nothing is due or others were faster."""
        if not self._window or self._clock.now() - self._read_at >= FRESH:
            self._window = await self._read_due()
            self._rng.shuffle(self._window)
        chosen = [self._window.pop() for _ in range(min(most, len(self._window)))]
        answers = await asyncio.gather(
            *(self._claim(job) for job in chosen), return_exceptions=True
        )
        won = [answer for answer in answers if isinstance(answer, Job)]
        errors = [answer for answer in answers if isinstance(answer, BaseException)]
        self._adapt(len(won), len(chosen) - len(won) - len(errors))
        if errors and not won:
            raise errors[0]
        for error in errors:  # the jobs that were claimed beside it are to be run
            log.error("job cannot be claimed", queue=self._queue, exc_info=error)
        return won

    async def _read_due(self) -> list[Job]:
        """The earliest due jobs; the window moves on until it holds one, or reaches this moment."""
        self._read_at = now = self._clock.now()
        since, step = EPOCH, self._width
        while True:
            self._edge = min(now, max(self._edge, since) + step)
            page = await self._store.due(self._queue, since, self._edge, self._limit)
            is_full = len(page) >= self._limit
            first, last = _span(page, self._edge)
            if is_full:
                self._edge, self._width = last, max(NARROWEST, last - first)
            else:
                self._width = min(WIDEST, self._width * 2)
            jobs = [job for job in page if isinstance(job, Job) and job.is_due(now)]
            if jobs or (self._edge >= now and not is_full):
                return jobs
            if is_full:  # of records that only a later version can read: look behind them
                log.warning("due jobs cannot be read", queue=self._queue, count=len(page))
                since = max(last, first + TICK)
            gap = (now - self._edge) * CLOSER  # nobody knows where the first job is
            step = self._width if page else max(self._width, gap)

    async def _claim(self, job: Job) -> Job | None:
        """The job, claimed; None when it is not this process's.

        A claim whose answer was lost is repeated until it is answered, or stale: `claimedBy` says
        whose it is.
        """
        claim = job.claim(f"{self._worker}/{secrets.token_hex(4)}", self._clock.now())

        def stale() -> LeaseLost | None:
            late = claim.after.is_stale(self._clock.now(), self._policy)
            return LeaseLost(f"job {job.id}: its claim was not answered") if late else None

        try:
            return await self._retry.call(lambda: self._store.apply(claim), give_up=stale)
        except LeaseLost:
            return None
        except UnreadableJob as error:
            log.warning("job cannot be read", job_id=error.job_id, reason=error.reason)
            return None

    def _adapt(self, won: int, lost: int) -> None:
        self._counted(won, lost)
        if lost > won:
            self._window, self._limit = [], min(MOST, self._limit * 2)
        elif not lost:
            self._limit = max(FEWEST, self._limit * 3 // 4)


def _span(page: Sequence[Read], otherwise: datetime) -> tuple[datetime, datetime]:
    """When the first and the last job of a page are due."""
    due = [job.due for job in page if job.due]
    return (due[0], due[-1]) if due else (otherwise, otherwise)
