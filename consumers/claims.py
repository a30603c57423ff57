"""Claims due jobs, old before new to within a page, with few collisions between replicas.

A page is claimed in random order. Pages grow while claims are lost to other replicas.

Pages are read from a `deletion.due_window`. Each read goes on from the end of the one before:
docs/decisions/0020.
"""

import asyncio
import random
import secrets
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from typing import Final

import structlog

from deletion.clock import Clock
from deletion.due_window import DueWindow
from deletion.errors import LeaseLost, UnreadableJob
from deletion.job import Job, LeasePolicy
from deletion.ports import JobStore
from deletion.retry import Retry
from deletion.silence import EPOCH

FEWEST, MOST = 32, 2048
"""Bounds of the number of jobs that one read returns."""
FRESH_SECONDS: Final = 1.0
"""How long jobs are claimed after a read, in seconds: other replicas claim them too."""
REFUSED_SECONDS: Final = 300.0
"""How long this process does not claim a job again after the database refused, in seconds."""
MOST_REFUSED: Final = 10_000
"""How many such jobs are remembered; beyond that, the earliest is forgotten."""

log = structlog.get_logger(__name__)


class Claims:
    """Claims jobs of one queue for one process. Each claim contains `worker`, the process's name.

    After each round, `counted` is called with the numbers of claims that were won, lost to other
    processes, and refused by the database.
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
        counted: Callable[[int, int, int], None] = lambda _won, _lost, _refused: None,
    ) -> None:
        self._queue = queue
        self._store = store
        self._clock = clock
        self._policy = policy
        self._worker = worker
        self._rng = rng or random.Random()  # noqa: S311 - it spreads claims, it guards nothing
        self._retry = Retry(clock, cap=2.0, rng=self._rng)
        self._counted = counted
        self._candidates: list[Job] = []  # read, and not claimed yet
        self._fresh_until = 0.0
        self._refused: dict[str, float] = {}  # job id → when to try it again, the earliest first
        self._window = DueWindow()
        self._limit = FEWEST

    async def take(self, most: int, start: Callable[[Job], None] = lambda _job: None) -> list[Job]:
        """Claim at most `most` jobs, and return those won: none if nothing is due or other
        processes were faster.

        `start` is called with each job as soon as it is won, because other claims of the round may
        take long, and meanwhile nobody would run the job.
        """
        if not self._candidates or self._clock.monotonic() >= self._fresh_until:
            self._candidates = await self._read_due()
            self._fresh_until = self._clock.monotonic() + FRESH_SECONDS
            self._rng.shuffle(self._candidates)
        chosen = [self._candidates.pop() for _ in range(min(most, len(self._candidates)))]
        answers = await asyncio.gather(*(self._claim(job, start) for job in chosen))
        won = [answer for answer in answers if isinstance(answer, Job)]
        refused = sum(isinstance(answer, Exception) for answer in answers)
        lost = len(chosen) - len(won) - refused
        self._counted(len(won), lost, refused)
        self._adapt(len(won), lost)
        return won

    async def _read_due(self) -> list[Job]:
        """Read the earliest due jobs that may be claimed; none if the window has reached now."""
        now = self._clock.now()
        self._forget_refused()
        limit = min(MOST, self._limit + len(self._refused))
        window = replace(self._window, start=EPOCH)
        step = window.width
        while True:
            window = window.moved_on(step, now)
            page = await self._store.due(self._queue, window.start, window.end, limit)
            is_full = len(page) >= limit
            times = [job.due for job in page if job.due]
            window = window.shrunk_to(times) if is_full else window.widened(found=bool(page))
            self._window = window
            jobs = [read for read in page if isinstance(read, Job) and self._may_claim(read, now)]
            if jobs or (window.end >= now and not is_full):
                return jobs
            if is_full:
                log.warning("due jobs cannot be claimed", queue=self._queue, count=len(page))
                window = window.past(times, is_largest=limit >= MOST)
                limit = min(MOST, limit * 2)
            step = window.width if page else window.leap(now)

    async def _claim(self, job: Job, start: Callable[[Job], None]) -> Job | Exception | None:
        """Claim `job` and start it. Returns None when another process has it or it cannot be read,
        and the error when the database refuses the claim: other jobs must still be claimed.
        """
        if not job.is_due(self._clock.now()):  # the clock was set back since it was read
            return None
        try:
            claimed = await self._write_claim(job)
        except LeaseLost:
            return None
        except UnreadableJob as error:
            log.warning("job cannot be read", job_id=error.job_id, reason=error.reason)
            return None
        except Exception as error:
            log.exception("job cannot be claimed", queue=self._queue, job_id=job.id)
            self._remember_refused(job.id)
            return error
        start(claimed)
        return claimed

    async def _write_claim(self, job: Job) -> Job:
        """Return the claimed job. Raises `LeaseLost` when another process has it, or when the claim
        was not answered before it would be stale.

        A claim whose answer was lost is repeated until it is answered or would be stale.
        `claimedBy` shows whether the stored claim is this one.
        """
        claim = job.claim(f"{self._worker}/{secrets.token_hex(4)}", self._clock.now())
        stale_at = self._clock.monotonic() + self._policy.stale_after.total_seconds()

        def stale() -> LeaseLost | None:
            late = self._clock.monotonic() >= stale_at
            return LeaseLost(f"job {job.id}: its claim was not answered") if late else None

        return await self._retry.call(lambda: self._store.apply(claim), unless=stale)

    def _may_claim(self, job: Job, now: datetime) -> bool:
        return job.is_due(now) and job.id not in self._refused

    def _remember_refused(self, job_id: str) -> None:
        self._refused[job_id] = self._clock.monotonic() + REFUSED_SECONDS
        if len(self._refused) > MOST_REFUSED:
            del self._refused[next(iter(self._refused))]

    def _forget_refused(self) -> None:
        """Forget refused jobs after `REFUSED_SECONDS`: the cause may be gone."""
        now = self._clock.monotonic()
        self._refused = {job_id: until for job_id, until in self._refused.items() if until > now}

    def _adapt(self, won: int, lost: int) -> None:
        if lost > won:
            self._candidates, self._limit = [], min(MOST, self._limit * 2)
        elif not lost:
            self._limit = max(FEWEST, self._limit * 3 // 4)
