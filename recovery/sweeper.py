"""What a sweep does: walk, and ask. It never runs a deletion itself.

A resumption is a message like any other, so every run begins with the consumer's atomic
claim. That makes a sweep harmless at any interval, beside another sweep, and twice: a job
that is asked for again is claimed once, and one that has moved on is left alone.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import structlog

from deletion.alerts import Alert, AlertKind, Alerts
from deletion.bus import Publisher
from deletion.clock import Clock
from deletion.errors import (
    BotDeletionError,
    EventError,
    Interrupted,
    LeaseLost,
    StoreUnavailable,
    TransitionError,
)
from deletion.job import Job, LeasePolicy, Status
from deletion.ports import JobStore
from deletion.resume import resume_message
from deletion.retry import Retry
from recovery.ports import SweepStore
from recovery.sweep import Outcome, Sweep

log = structlog.get_logger(__name__)

INTERRUPTED = "interrupted: the process was asked to stop"


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
    database stays silent over the retries.
    """

    def __init__(self, sweep: Sweep, store: SweepStore, clock: Clock, retry: Retry) -> None:
        self.sweep = sweep
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

    Alerts tell of each job that is given up, and of a sweep that finds more than `stale_share`
    (0 to 1) of the jobs in progress silent: then it is not a process that has died, but many.
    """

    jobs: JobStore
    sweeps: SweepStore
    publisher: Publisher
    clock: Clock
    policy: LeasePolicy
    retry: Retry
    page_size: int
    alerts: Alerts
    stale_share: float

    async def run(self, sweep: Sweep, stopping: asyncio.Event) -> Sweep:
        """Walk to the end, or as far as it gets; answers with the sweep as it ended.

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
        """Answers with the reason why it could not be walked to the end, if there is one."""
        try:
            await self._visit(Status.FAILED, progress, stopping)
            running = await self.retry.call(lambda: self.jobs.count(Status.IN_PROGRESS))
            stale = await self._visit(Status.IN_PROGRESS, progress, stopping)
            self._report_stale(stale, running, progress.sweep)
        except Interrupted:
            return INTERRUPTED
        except BotDeletionError as error:
            return f"{type(error).__name__}: {error}"
        except Exception as error:
            log.exception("unexpected error in a sweep", sweep_id=progress.sweep.id)
            return f"unexpected {type(error).__name__}; the log of the process has it"
        return None

    async def _visit(self, status: Status, progress: Progress, stopping: asyncio.Event) -> int:
        """Every failed job, or every stale one; answers how many. Raises `Interrupted`."""
        found, after = 0, None
        while page := await self._page(status, after):
            await self._settle(page, progress)
            if stopping.is_set():
                raise Interrupted(INTERRUPTED)
            found, after = found + len(page), page[-1].id
        return found

    async def _page(self, status: Status, after: str | None) -> list[Job]:
        """The next jobs behind the id `after`; of those in progress only the stale ones."""

        async def read() -> list[Job]:
            stale = self.clock.now() - self.policy.stale_after
            return await self.jobs.walk(
                status,
                modified_before=stale if status is Status.IN_PROGRESS else None,
                after=after,
                limit=self.page_size,
            )

        return await self.retry.call(read)

    async def _settle(self, page: Sequence[Job], progress: Progress) -> None:
        """All jobs of a page at once; raises the first error, after counting what was done."""
        now = self.clock.now()
        settled = await asyncio.gather(
            *(self._outcome(job, now) for job in page), return_exceptions=True
        )
        await progress.page([outcome for outcome in settled if isinstance(outcome, Outcome)])
        for error in settled:
            if isinstance(error, BaseException):
                raise error

    async def _outcome(self, job: Job, now: datetime) -> Outcome:
        try:
            if job.is_spent(self.policy):
                return await self._exhaust(job, now)
            message = resume_message(job, now)
        except (LeaseLost, TransitionError):
            return Outcome.SKIPPED
        except EventError as error:  # one broken record must not keep all others from recovery
            log.error("job cannot be resumed", job_id=job.id, reason=str(error))
            return Outcome.SKIPPED
        await self.retry.call(lambda: self.publisher.publish(message))
        return Outcome.RESUMED

    async def _exhaust(self, job: Job, now: datetime) -> Outcome:
        change = job.exhaust(now, self.policy)
        log_exhausted(await self.retry.call(lambda: self.jobs.apply(change)))
        self.alerts.tell(Alert(AlertKind.JOB_EXHAUSTED, job.service, job.end, job.id))
        return Outcome.EXHAUSTED

    def _report_stale(self, stale: int, running: int, sweep: Sweep) -> None:
        """Some are the price of a killed process; a large share means that something is wrong."""
        if stale > running * self.stale_share:
            log.error("jobs stale", sweep_id=sweep.id, stale=stale, in_progress=running)
            share = f"over {self.stale_share:.0%} of those in progress"
            self.alerts.tell(Alert(AlertKind.JOBS_STALE, "", share, sweep.id, stale))

    async def _end(self, progress: Progress, reason: str | None) -> None:
        try:
            await (progress.complete() if reason is None else progress.fail(reason))
        except LeaseLost as lost:
            log.error("sweep was given up by another process", sweep_id=progress.sweep.id)
            progress.sweep = progress.sweep.failed(self.clock.now(), str(lost))
        except StoreUnavailable as error:  # it will be found silent, and be given up
            log.error("end of sweep not recorded", reason=str(error), sweep_id=progress.sweep.id)
            progress.sweep = progress.sweep.failed(self.clock.now(), reason or str(error))
