"""What a sweep does: page → move → count. It never runs a deletion itself.

A sweep only makes jobs pending, so every run begins with a worker's atomic claim. That makes a
sweep harmless at any interval, beside another sweep, and twice: a job that is moved twice is
claimed once, and one that has moved on is left alone.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

import structlog

from deletion.alerts import Alert, AlertKind, Alerts
from deletion.clock import Clock
from deletion.errors import (
    BotDeletionError,
    Interrupted,
    LeaseLost,
    StoreUnavailable,
)
from deletion.job import LONGEST_REST, Job, LeasePolicy, Status
from deletion.ports import JobStore, Read, Unreadable
from deletion.retry import Retry
from deletion.silence import silent_pages
from recovery.ports import SweepStore
from recovery.sweep import Outcome, Sweep

INTERRUPTED: Final = "interrupted: the process was asked to stop"

log = structlog.get_logger(__name__)


def log_exhausted(job: Job) -> None:
    """Only an operator can send it on, and this is how one gets to know."""
    log.error(
        "job exhausted",
        job_id=job.id,
        service=job.service,
        bot_id=job.bot_id,
        event_id=job.event_id,
        attempt=job.attempt,
        failure=job.failure and f"{job.failure.type}: {job.failure.message}",
    )


class Progress:
    """A sweep's own record while it runs. Each write is its heartbeat and its fence.

    The writes raise `LeaseLost` once the sweep was given up, `StoreUnavailable` when the
    database stays silent over the retries. `immovable` are the ids of jobs that it could not read
    or not move.
    """

    def __init__(self, sweep: Sweep, store: SweepStore, clock: Clock, retry: Retry) -> None:
        self.sweep = sweep
        self.immovable: list[str] = []
        self._store = store
        self._clock = clock
        self._retry = retry

    async def page(self, outcomes: Sequence[Outcome]) -> None:
        """One page is done, or as much of it as could be."""
        self.sweep = self.sweep.advanced(self._clock.now(), outcomes)
        await self._save()

    async def complete(self) -> None:
        """Every job was looked at."""
        self.sweep = self.sweep.completed(self._clock.now())
        await self._save()

    async def fail(self, reason: str) -> None:
        """It cannot go on."""
        self.sweep = self.sweep.failed(self._clock.now(), reason)
        await self._save()

    async def _save(self) -> None:
        await self._retry.call(lambda: self._store.save(self.sweep))


@dataclass(frozen=True, slots=True)
class Sweeper:
    """Runs sweeps over `jobs`, `page_size` jobs in memory and under way at a time.

    Alerts tell of each job that is exhausted, of a sweep that finds more than `stale_share`
    (0 to 1) of the jobs in progress silent (then it is not a process that has died, but many),
    of jobs that it cannot read or move, and of jobs that have been pending for longer than
    `waiting_after`.
    """

    jobs: JobStore
    sweeps: SweepStore
    clock: Clock
    policy: LeasePolicy
    retry: Retry
    page_size: int
    alerts: Alerts
    stale_share: float
    waiting_after: timedelta

    async def run(self, sweep: Sweep, stopping: asyncio.Event) -> Sweep:
        """Walk to the end, or as far as it gets. Returns the sweep as it ended.

        Stops between two pages once `stopping` is set. A cancellation, in the middle of a
        page, is recorded as an interruption too, and goes on.
        """
        progress = Progress(sweep, self.sweeps, self.clock, self.retry)
        try:
            reason = await self._walk(progress, stopping)
        except asyncio.CancelledError:
            await self._end(progress, INTERRUPTED)
            raise
        await self._end(progress, reason)
        return progress.sweep

    async def _walk(self, progress: Progress, stopping: asyncio.Event) -> str | None:
        """Returns the reason why it could not be walked to the end, if there is one."""
        try:
            running = await self.retry.call(lambda: self.jobs.count(Status.IN_PROGRESS))
            await self._visit(Status.FAILED, self.policy.rest_after(1), progress, stopping)
            stale = await self._visit(
                Status.IN_PROGRESS, self.policy.stale_after, progress, stopping
            )
            self._report_stale(stale, running, progress.sweep)
            self._report_immovable(progress)
            await self._report_waiting(progress.sweep)
        except Interrupted:
            return INTERRUPTED
        except BotDeletionError as error:
            return f"{type(error).__name__}: {error}"
        except Exception as error:
            log.exception("unexpected error in a sweep", sweep_id=progress.sweep.id)
            return f"unexpected {type(error).__name__}; the log of the process has it"
        return None

    async def _visit(
        self, status: Status, silence: timedelta, progress: Progress, stopping: asyncio.Event
    ) -> int:
        """Move every job of `status` that was silent for so long; returns how many those were.

        Raises `Interrupted`.
        """
        found = 0
        until = self.clock.now() - silence
        async for page in silent_pages(
            self.jobs, status, until=until, size=self.page_size, retry=self.retry
        ):
            outcomes = await asyncio.gather(
                *(self._move(job, progress) for job in page), return_exceptions=True
            )
            moved = [outcome for outcome in outcomes if isinstance(outcome, Outcome)]
            await progress.page(moved)
            found += len(moved)
            for error in outcomes:
                if isinstance(error, BaseException):
                    raise error
            if stopping.is_set():
                raise Interrupted(INTERRUPTED)
        return found

    async def _move(self, job: Read, progress: Progress) -> Outcome | None:
        """One job, whatever is wrong with it: no other one waits for it. None if it rests.

        Raises only what the database raises when it does not answer.
        """
        if isinstance(job, Unreadable):
            log.error("job cannot be read", job_id=job.id, reason=job.reason)
            progress.immovable.append(job.id)
            return Outcome.SKIPPED
        now = self.clock.now()
        try:
            if not job.is_resumable(now, self.policy):
                return None
            spent = job.is_spent(self.policy)
            change = job.exhaust(now, self.policy) if spent else job.resume(now, self.policy)
            moved = await self.retry.call(lambda: self.jobs.apply(change))
        except LeaseLost:
            return Outcome.SKIPPED
        except StoreUnavailable:
            raise
        except Exception:
            log.exception("job cannot be moved", job_id=job.id)
            progress.immovable.append(job.id)
            return Outcome.SKIPPED
        if spent:
            log_exhausted(moved)
            self.alerts.tell(Alert(AlertKind.JOB_EXHAUSTED, job.service, job.end, job.id))
        return Outcome.EXHAUSTED if spent else Outcome.RESUMED

    def _report_stale(self, stale: int, running: int, sweep: Sweep) -> None:
        """Some are the price of a killed process; a large share means that something is wrong."""
        if stale > running * self.stale_share:
            log.error("jobs stale", sweep_id=sweep.id, stale=stale, in_progress=running)
            share = f"over {self.stale_share:.0%} of those in progress"
            self.alerts.tell(Alert(AlertKind.JOBS_STALE, "", share, sweep.id, stale))

    def _report_immovable(self, progress: Progress) -> None:
        """Each is a deletion that stands still until a person looks at its record."""
        if found := progress.immovable:
            reason = "their records cannot be read, or not be changed"
            self.alerts.tell(Alert(AlertKind.JOBS_IMMOVABLE, "", reason, found[0], len(found)))

    async def _report_waiting(self, sweep: Sweep) -> None:
        """Pending for so long, jobs wait for workers that do not run, or are far too few.

        So do failed ones that were handed over; no other rests so long, unless it cannot be moved.
        """
        now = self.clock.now()
        pending, handed_over = now - self.waiting_after, now - max(self.waiting_after, LONGEST_REST)
        waiting = await self.retry.call(lambda: self.jobs.count(Status.PENDING, until=pending))
        waiting += await self.retry.call(lambda: self.jobs.count(Status.FAILED, until=handed_over))
        if waiting:
            log.error("jobs waiting", sweep_id=sweep.id, waiting=waiting)
            reason = f"not taken up for over {self.waiting_after}"
            self.alerts.tell(Alert(AlertKind.JOBS_WAITING, "", reason, sweep.id, waiting))

    async def _end(self, progress: Progress, reason: str | None) -> None:
        try:
            await (progress.complete() if reason is None else progress.fail(reason))
        except LeaseLost as lost:
            log.error("sweep was given up by another process", sweep_id=progress.sweep.id)
            progress.sweep = progress.sweep.failed(self.clock.now(), str(lost))
        except StoreUnavailable as error:  # it will be found silent, and be given up
            log.error("end of sweep not recorded", reason=str(error), sweep_id=progress.sweep.id)
            progress.sweep = progress.sweep.failed(self.clock.now(), reason or str(error))
