"""The runner: one claimed job from its checkpoint to its end.

Read `Runner.run` first; it is the whole story. Whatever happens, a run ends in exactly one
of three ways: the job is complete, the job is failed with its reason, or the job is no
longer this run's and nothing more is written.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import replace
from functools import partial

import structlog

from deletion.clock import Clock
from deletion.errors import Interrupted, LeaseLost, LeftOvers
from deletion.job import Job, LeasePolicy, StepProgress, StepStatus
from deletion.lease import Lease
from deletion.plan import Batch, Plan, Step
from deletion.ports import JobStore
from deletion.retry import Retry

PASSES = 3
"""Times the plan is run over what the read-back still finds before the job fails."""

log = structlog.get_logger(__name__)


class Runner:
    """Runs jobs of one plan. `stopping` asks every run to end between two batches."""

    def __init__(
        self,
        plan: Plan,
        store: JobStore,
        clock: Clock,
        policy: LeasePolicy,
        *,
        stopping: asyncio.Event,
        retry: Retry | None = None,
        on_batch: Callable[[str, int], None] = lambda _step, _deleted: None,
    ) -> None:
        self._plan = plan
        self._store = store
        self._clock = clock
        self._policy = policy
        self._stopping = stopping
        self._retry = retry or Retry(clock)
        self._on_batch = on_batch

    async def run(self, job: Job) -> Job | None:
        """Delete what `job` stands for. Returns the job as it ended, None when it was lost.

        Cancelling a run hands its job over, as `stopping` does, without waiting for the batch.
        Raises only what the store raises when it refuses even the failure, and
        `CancelledError` when cancelled once more while the job is handed over: then it goes stale.
        """
        lease = Lease(job, self._store, self._clock, self._policy, self._retry)
        try:
            await self._end(lease)
        except LeaseLost as lost:
            log.warning("lease lost", job_id=job.id, reason=str(lost))
            return None
        log.info("run ended", job_id=job.id, status=lease.job.status, attempt=lease.job.attempt)
        return lease.job

    async def _end(self, lease: Lease) -> None:
        try:
            await self._keeping_alive(lease)
            while not await lease.complete():
                log.info("a newer request joined: looking again", job_id=lease.job.id)
                await self._keeping_alive(lease)
        except LeaseLost:
            raise
        except (Interrupted, asyncio.CancelledError) as error:
            await lease.fail(error, interrupted=True)
        except Exception as error:  # recorded: it becomes the job's failure
            log.exception("run failed", job_id=lease.job.id)
            await lease.fail(error)

    async def _keeping_alive(self, lease: Lease) -> None:
        """Delete while the lease beats; whichever of the two raises first ends both."""
        beating = asyncio.create_task(lease.beat())
        deleting = asyncio.create_task(self._delete(lease))
        try:
            done, _ = await asyncio.wait({beating, deleting}, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            beating.cancel()
            deleting.cancel()
            await asyncio.gather(beating, deleting, return_exceptions=True)

    async def _delete(self, lease: Lease) -> None:
        for _ in range(PASSES):
            for step in self._plan.steps:
                if lease.job.progress(step.name).status is not StepStatus.COMPLETE:
                    await self._perform(step, lease)
            left = await self._read_back(lease.job.bot_id)
            if not left:
                return
            log.warning("left overs", job_id=lease.job.id, steps=[step.name for step in left])
            await lease.note(*(self._again(lease.job.progress(step.name)) for step in left))
        names = ", ".join(step.name for step in left)
        raise LeftOvers(f"data is still there after {PASSES} passes: {names}")

    async def _perform(self, step: Step, lease: Lease) -> None:
        """One step from its checkpoint; errors that may pass are retried from the last one."""
        async for attempt in self._retry.attempts_of():
            with attempt:
                progress = lease.job.progress(step.name)
                async with aclosing(step.delete(lease.job.bot_id, progress.cursor)) as batches:
                    while further := await self._batch(batches, progress, lease):
                        progress = further
                        await lease.checkpoint(progress)
                        attempt.retry_state.attempt_number = 1  # progress earns new patience
        await lease.note(replace(progress, status=StepStatus.COMPLETE))

    async def _batch(
        self, batches: AsyncGenerator[Batch, None], progress: StepProgress, lease: Lease
    ) -> StepProgress | None:
        """One batch further than `progress`; None when there is none left."""
        if self._stopping.is_set():
            raise Interrupted("the process was asked to stop")
        await lease.fence()
        began = self._clock.now()
        batch = await anext(batches, None)
        if batch is None:
            return None
        self._on_batch(progress.name, batch.deleted)
        seconds = (self._clock.now() - began).total_seconds()
        return progress.advanced(batch.deleted, batch.cursor, seconds)

    async def _read_back(self, bot_id: str) -> list[Step]:
        """The steps that still find something of the bot."""
        return [
            step
            for step in self._plan.steps
            if not await self._retry.call(partial(step.is_empty, bot_id))
        ]

    @staticmethod
    def _again(progress: StepProgress) -> StepProgress:
        return replace(progress, status=StepStatus.PENDING, cursor=None)
