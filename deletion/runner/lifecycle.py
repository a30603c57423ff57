"""The life of a run: it holds a lease while it works, and records what ended it.

Whatever happens, a run ends in exactly one of these ways: the job is complete or compensated; the
job is failed with a reason, rolled back, handed over or parked; or the run no longer holds the job
and writes nothing more.
"""

import asyncio

import structlog

from deletion.clock import Clock
from deletion.errors import BotDeletionError, Interrupted, LeaseLost, Parked, with_type
from deletion.job import Job, LeasePolicy
from deletion.lease import Lease
from deletion.plan import Plan
from deletion.ports import JobStore
from deletion.retry import Patience, Retry
from deletion.runner.endings import Endings, to_its_end
from deletion.runner.run import OnBatch, Run
from deletion.runner.spans import RunSpans, note_end
from deletion.tracing import Tracer
from deletion.turns import Pacers

RETRY_SECONDS = 600.0
"""How long transient errors are retried in place, in seconds since the last progress."""

log = structlog.get_logger(__name__)


class Runner:
    """Runs the jobs of one plan. Once `stopping` is set, every run ends between two batches."""

    def __init__(
        self,
        plan: Plan,
        store: JobStore,
        clock: Clock,
        policy: LeasePolicy,
        *,
        stopping: asyncio.Event,
        retry: Retry | None = None,
        retry_seconds: float = RETRY_SECONDS,
        on_batch: OnBatch = lambda _step, _deleted: None,
        pacers: Pacers | None = None,
        tracer: Tracer | None = None,
    ) -> None:
        self._plan = plan
        self._pacers = pacers or Pacers(plan, clock, stopping)
        self._store = store
        self._clock = clock
        self._policy = policy
        self._stopping = stopping
        self._retry = retry or Retry(clock)
        self._retry_seconds = retry_seconds
        self._on_batch = on_batch
        self._spans = RunSpans(tracer)

    async def run(self, job: Job) -> Job | None:
        """Run `job`. Returns the job as the run left it, or None when the lease was lost.

        Cancelling a run hands its job over, as `stopping` does, but without waiting for the batch.
        Raises what the store raises when the end of the run cannot be written, and `CancelledError`
        when it is cancelled again during the hand-over; in both cases the job goes stale.
        """
        lease = Lease(job, self._store, self._clock, self._policy, self._retry)
        patience = Patience(self._retry, self._retry_seconds, self._stopping)
        run = Run(
            self._plan,
            lease,
            patience,
            self._clock,
            self._stopping,
            self._on_batch,
            self._pacers,
            self._spans,
        )
        with (
            structlog.contextvars.bound_contextvars(
                job_id=job.id,
                event_id=job.event_id,
                bot_id=job.bot_id,
                service=job.service,
                attempt=job.attempt,
                traceparent=job.traceparent,
            ),
            self._spans.attempt(job) as span,
        ):
            try:
                await self._end(run, lease, patience)
            except LeaseLost as lost:
                log.warning("lease lost", reason=str(lost))
                span.failed(type(lost).__name__)
                return None
            log.info("run ended", status=lease.job.status)
            note_end(span, lease.job)
            return lease.job

    async def _end(self, run: Run, lease: Lease, patience: Patience) -> None:
        """Run, and record what ended it."""
        endings = Endings(lease, self._stopping, self._retry.rng)
        try:
            async with lease.heartbeat():
                await run.to_completion()
        except LeaseLost:
            raise
        except Parked as parked:
            await to_its_end(endings.park(parked))
        except (Interrupted, asyncio.CancelledError) as error:
            failure = endings.interruption(error, patience.error)
            await to_its_end(lease.fail(failure, has_tried=run.calls.has_tried))
        except Exception as error:  # recorded: it becomes the job's failure
            unexpected = not isinstance(error, BotDeletionError)
            log.error("run failed", reason=with_type(error), exc_info=unexpected)
            await to_its_end(endings.fail(error))
