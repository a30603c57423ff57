"""What a sweep does: page → move → count. It never runs a deletion itself.

A sweep only makes jobs pending, so every run begins with a worker's atomic claim. Sweeps are
therefore harmless at any interval, even two at once: a job that is moved twice is claimed once, and
one that has moved on is left alone.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Final

import structlog

from deletion.alerts import Alert, AlertKind, Alerts
from deletion.clock import Clock
from deletion.errors import (
    BotDeletionError,
    Interrupted,
    LeaseLost,
    StoreUnavailable,
    with_type,
)
from deletion.job import LONGEST_REST, Job, LeasePolicy, Status
from deletion.ports import JobStore, Read, Unreadable
from deletion.retry import Retry
from deletion.silence import silent_pages
from deletion.sweep import Outcome, Sweep
from deletion.tracing import NO_SPAN, NoSpan, Span, Tracer, muted
from recovery.ports import SweepStore

MOST_WAITING: Final = 10_000
"""How many waiting jobs of a status are counted: each is fetched, and an alert needs no more."""

INTERRUPTED: Final = "interrupted: the process was asked to stop"

log = structlog.get_logger(__name__)


def log_exhausted(job: Job) -> None:
    """Log the job as an error, because only an operator can retry it."""
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

    The writes raise `LeaseLost` once another process has ended the sweep, and `StoreUnavailable`
    when the database does not answer any retry. `immovable` holds the ids of jobs that could not be
    read or moved.
    """

    def __init__(self, sweep: Sweep, store: SweepStore, clock: Clock, retry: Retry) -> None:
        self.sweep = sweep
        self.immovable: list[str] = []
        self._store = store
        self._clock = clock
        self._retry = retry

    async def page(self, outcomes: Sequence[Outcome]) -> None:
        """Count the outcomes of one page."""
        self.sweep = self.sweep.advanced(self._clock.now(), outcomes)
        await self._save()

    async def complete(self) -> None:
        """End the sweep: every job was looked at."""
        self.sweep = self.sweep.completed(self._clock.now())
        await self._save()

    async def fail(self, reason: str) -> None:
        """End the sweep with the reason why it cannot go on."""
        self.sweep = self.sweep.failed(self._clock.now(), reason)
        await self._save()

    async def _save(self) -> None:
        await self._retry.call(lambda: self._store.save(self.sweep))


@dataclass(frozen=True, slots=True)
class Sweeper:
    """Runs sweeps over `jobs`, with `page_size` jobs in memory and under way at a time.

    It alerts for each job that it exhausts, for jobs that it cannot read or move, for jobs that
    have been due or handed over for longer than `waiting_after`, and when more than `stale_share`
    (0 to 1) of the jobs in progress are stale: then many processes have died, not one.
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
    tracer: Tracer | None = None

    async def run(self, sweep: Sweep, stopping: asyncio.Event) -> Sweep:
        """Run `sweep`. Returns it as it ended.

        Stops between two pages once `stopping` is set. A cancellation in the middle of a page is
        recorded as an interruption too, and raised again.
        """
        progress = Progress(sweep, self.sweeps, self.clock, self.retry)
        try:
            reason = await self._walk(progress, stopping)
        except asyncio.CancelledError:
            await self._end(progress, INTERRUPTED)
            raise
        await self._end(progress, reason)
        if reason is None:
            await self._report_waiting(progress.sweep)
        return progress.sweep

    async def _walk(self, progress: Progress, stopping: asyncio.Event) -> str | None:
        """Visit all jobs. Returns why that was not possible, or None."""
        try:
            running = await self.retry.call(lambda: self.jobs.count(Status.IN_PROGRESS))
            await self._visit(Status.FAILED, self.policy.rest_after(1), progress, stopping)
            stale = await self._visit(
                Status.IN_PROGRESS, self.policy.stale_after, progress, stopping
            )
            self._report_stale(stale, running, progress.sweep)
            self._report_immovable(progress)
        except Interrupted:
            return INTERRUPTED
        except BotDeletionError as error:
            return str(error)
        except Exception as error:
            log.exception("unexpected error in a sweep", sweep_id=progress.sweep.id)
            return f"unexpected {type(error).__name__}; see the log of the process"
        return None

    async def _visit(
        self, status: Status, silence: timedelta, progress: Progress, stopping: asyncio.Event
    ) -> int:
        """Move every job of `status` that was silent for `silence`, unless it rests.

        Returns how many did not rest. Raises `Interrupted` when the process is stopping.
        """
        with self._span(status) as span, muted():  # else the trace would grow with the jobs
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
                span.note({"botdel.jobs": found})
                for error in outcomes:
                    if isinstance(error, BaseException):
                        raise error
                if stopping.is_set():
                    raise Interrupted(INTERRUPTED)
        return found

    def _span(self, status: Status) -> Span | NoSpan:
        return self.tracer.span(f"sweep {status.value}") if self.tracer else NO_SPAN

    async def _move(self, job: Read, progress: Progress) -> Outcome | None:
        """Resume, roll back or exhaust one job. Returns None if it rests.

        A job that cannot be read or moved is skipped, so that the others are visited all the same.
        Raises only `StoreUnavailable`.
        """
        if isinstance(job, Unreadable):
            log.error("job cannot be read", job_id=job.id, reason=job.reason)
            progress.immovable.append(job.id)
            return Outcome.SKIPPED
        now = self.clock.now()
        try:
            if not job.needs_sweep(now, self.policy):
                return None
            change = job.sweep(now, self.policy)
            moved = await self.retry.call(lambda: self.jobs.apply(change))
        except LeaseLost:
            return Outcome.SKIPPED
        except StoreUnavailable:
            raise
        except Exception:
            log.exception("job cannot be moved", job_id=job.id)
            progress.immovable.append(job.id)
            return Outcome.SKIPPED
        if moved.rollback_cause and not job.rollback_cause:
            log.warning("rolling back", job_id=job.id, service=job.service, reason=job.end_reason)
        if moved.status is not Status.EXHAUSTED:
            return Outcome.RESUMED
        log_exhausted(moved)
        self.alerts.tell(Alert(AlertKind.JOB_EXHAUSTED, job.service, job.end_reason, job.id))
        return Outcome.EXHAUSTED

    def _report_stale(self, stale: int, running: int, sweep: Sweep) -> None:
        """Some stale jobs are normal after a crash; a large share means that something is wrong."""
        if stale > running * self.stale_share:
            log.error("jobs stale", sweep_id=sweep.id, stale=stale, in_progress=running)
            share = f"over {self.stale_share:.0%} of those in progress"
            self.alerts.tell(Alert(AlertKind.JOBS_STALE, "", share, sweep.id, stale))

    def _report_immovable(self, progress: Progress) -> None:
        """Alert: each is a deletion that does not go on until a person looks at its record."""
        if found := progress.immovable:
            reason = "their records cannot be read or changed"
            self.alerts.tell(Alert(AlertKind.JOBS_IMMOVABLE, "", reason, found[0], len(found)))

    async def _report_waiting(self, sweep: Sweep) -> None:
        """Alert for jobs that have been due for long: their workers do not run, or are far too few.

        Failed jobs that old were handed over: others rest for a day at most, unless a sweep cannot
        move them. The sweep has ended by then, so a count that is slow does not make it silent, and
        an error is only logged: every job was visited.
        """
        try:
            waiting = await self._count_waiting()
        except Exception as error:  # noqa: BLE001 - logged: the sweep has visited every job
            log.error("jobs waiting not counted", sweep_id=sweep.id, reason=with_type(error))
            return
        if waiting:
            over = f"more than {MOST_WAITING:,} " if waiting > MOST_WAITING else ""
            reason = f"{over}not taken up for over {self.waiting_after}"
            log.error("jobs waiting", sweep_id=sweep.id, waiting=waiting, reason=reason)
            self.alerts.tell(Alert(AlertKind.JOBS_WAITING, "", reason, sweep.id, waiting))

    async def _count_waiting(self) -> int:
        """Count pending and handed-over jobs, up to one more than `MOST_WAITING` of each."""
        now = self.clock.now()
        handed_over = now - max(self.waiting_after, LONGEST_REST)
        untils = {Status.PENDING: now - self.waiting_after, Status.FAILED: handed_over}
        waiting = 0
        for status, until in untils.items():
            count = partial(self.jobs.count_waiting, status, until=until, limit=MOST_WAITING + 1)
            waiting += await self.retry.call(count)
        return min(waiting, MOST_WAITING + 1)

    async def _end(self, progress: Progress, reason: str | None) -> None:
        try:
            await (progress.complete() if reason is None else progress.fail(reason))
        except LeaseLost as lost:
            log.error("sweep was ended by another process", sweep_id=progress.sweep.id)
            progress.sweep = progress.sweep.failed(self.clock.now(), str(lost))
        except StoreUnavailable as error:  # the next call finds it silent and ends it
            log.error("end of sweep not recorded", reason=str(error), sweep_id=progress.sweep.id)
            progress.sweep = progress.sweep.failed(self.clock.now(), reason or str(error))
