"""One run over a lease. Read `Run.to_completion` first: start → delete → read back → complete."""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Final

import structlog

from deletion.clock import Clock
from deletion.errors import LeftOvers
from deletion.job import StepProgress, StepStatus
from deletion.lease import Lease
from deletion.plan import Batch, Plan, Step
from deletion.retry import Patience, pause
from deletion.runner.batches import Batches
from deletion.runner.calls import Calls
from deletion.runner.read_back import ReadBack
from deletion.runner.spans import DELETED, RunSpans
from deletion.runner.steps import begin, check_steps, is_last_chance, start
from deletion.turns import Pacers

PASS_PAUSE: Final = 1.0
"""Seconds before the second pass; twice as many before the third."""
PASSES: Final = 3
"""Passes over the plan in one run. If the last read-back still finds data, the job fails."""

OnBatch = Callable[[str, int], None]
"""Called after each batch with the step's name and the number of items deleted."""

log = structlog.get_logger(__name__)


class Run:
    """One run over a lease."""

    def __init__(
        self,
        plan: Plan,
        lease: Lease,
        patience: Patience,
        clock: Clock,
        stopping: asyncio.Event,
        on_batch: OnBatch,
        pacers: Pacers,
        spans: RunSpans,
    ) -> None:
        self._plan = plan
        self._lease = lease
        self._patience = patience
        self._clock = clock
        self._stopping = stopping
        self._on_batch = on_batch
        self.calls = Calls(stopping, patience)
        self._batches = Batches(lease, patience, self.calls, pacers, clock)
        self._read_back = ReadBack(plan, lease, patience, self.calls, spans)
        self._spans = spans
        self._steps: tuple[Step, ...] = ()

    async def to_completion(self) -> None:
        """Start, delete, read back, complete; look again if a newer request has joined meanwhile.

        In a rollback, do the same with the compensations, and end as compensated.
        """
        self._steps = await start(self._plan, self._lease)
        while True:
            await self._delete_all()
            check_steps(self._lease.job, self._steps)
            if self._lease.job.rollback_cause:
                return await self._lease.compensate()
            await self._read_back.check_found(self._steps)
            if await self._lease.complete():
                return None
            log.info("a newer request joined: looking again")

    async def _delete_all(self) -> None:
        """Run every step that is not complete, until a read-back finds nothing.

        Raises `LeftOvers` after `PASSES` passes.
        """
        left: Sequence[Step] = ()
        for number in range(PASSES):
            if number:  # a read-back may lag behind the deletion
                await pause(self._clock, PASS_PAUSE * number, self._stopping)
                # the result is in the progress of the steps: those empty by now are complete again
                await self._read_back.left(left)
            left = await self._pass()
            if not left:
                return
            log.warning("data left after a pass", steps=[step.name for step in left])
        names = ", ".join(step.name for step in left)
        raise LeftOvers(f"data is still there after {PASSES} passes: {names}")

    async def _pass(self) -> list[Step]:
        """Run every step that is not complete. Returns those that still find data of the bot.

        Before the point of no return, read back the steps so far, while they can still be undone.
        """
        for number, step in enumerate(self._steps):
            if self._lease.job.progress(step.name).status is StepStatus.COMPLETE:
                continue
            if is_last_chance(step, self._lease.job):
                if left := await self._read_back.left(self._steps[:number]):
                    return left
                await self._read_back.check_found(self._steps[:number])
            with self._step_span(step):
                await self._delete(step)
        return await self._read_back.left(self._steps)

    async def _delete(self, step: Step) -> None:
        """Run one step from its checkpoint; after a transient error, from the latest checkpoint."""
        await begin(step, self._plan, self._lease)
        await self._read_back.look_first(step)
        earlier = self._lease.job.progress(step.name).batches
        self._patience.renew()
        async for attempt in self._patience:
            with attempt, self.calls.one_try():
                is_first_try = attempt.retry_state.attempt_number == 1
                progress = await self._delete_batches(step, earlier, counts_empty=is_first_try)
        self._patience.renew()
        progress = self._batches.with_waits(progress)
        # drop the cursor, which is no longer needed: it may name a file or a person
        await self._lease.note(replace(progress, status=StepStatus.COMPLETE, cursor=None))

    async def _delete_batches(
        self, step: Step, earlier: int, *, counts_empty: bool
    ) -> StepProgress:
        """Delete batch after batch, and return the progress after the last one.

        A batch that deletes nothing and moves no cursor is no progress. It renews the patience only
        with `counts_empty`, or after progress in this try: an error that comes after such batches
        each time is not retried for ever. The last batch of the plan has no checkpoint of its own:
        its progress is part of the next write, which is a heartbeat during the read-back, or ends
        the run. If the process dies before that, the batch is just run again. `earlier` is how many
        batches earlier runs have made.
        """
        progress = self._lease.job.progress(step.name)
        deleting = step.delete(self._lease.job.bot_id, progress.cursor)
        async with self._batches.closing(deleting) as batches:
            is_over = False
            while not is_over:
                with self._spans.batch(progress.batches - earlier + 1) as span:
                    batch = await self._batches.next(step, batches)
                    if batch is None:
                        break
                    span.note({DELETED: batch.deleted})
                    if counts_empty or batch.deleted or batch.cursor != progress.cursor:
                        self._patience.renew()
                        counts_empty = True
                    progress = progress.advanced(batch.deleted, batch.cursor, self._batches.seconds)
                    progress = self._batches.with_waits(progress)
                    self._count(step, batch)
                    is_over = batch.last  # asking once more would be paced like a batch
                    if not (is_over and step is self._steps[-1]):
                        await self._lease.checkpoint(progress)
        return progress

    @contextmanager
    def _step_span(self, step: Step) -> Iterator[None]:
        """The span of what this run does of `step`."""
        job = self._lease.job
        before = job.progress(step.name)
        with self._spans.step(step.name, is_rollback=bool(job.rollback_cause)) as span:
            try:
                yield
            finally:
                after = self._lease.job.progress(step.name)
                span.note(
                    {
                        DELETED: after.deleted - before.deleted,
                        "botdel.batches": after.batches - before.batches,
                    }
                )

    def _count(self, step: Step, batch: Batch) -> None:
        """Report the batch, unless it is one of a compensation, which deletes nothing."""
        if not self._lease.job.rollback_cause:
            self._on_batch(step.name, batch.deleted)
