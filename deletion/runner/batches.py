"""Runs one batch after another: at the pace of the step, fenced, and covered by the heartbeat."""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial

from deletion.clock import Clock
from deletion.job import StepProgress
from deletion.lease import Lease
from deletion.plan import Batch, Step
from deletion.retry import Patience
from deletion.runner.calls import Calls
from deletion.turns import Pacers, Wait


class Batches:
    """The batches of one run, each at the pace of its step."""

    def __init__(
        self, lease: Lease, patience: Patience, calls: Calls, pacers: Pacers, clock: Clock
    ) -> None:
        self._lease = lease
        self._patience = patience
        self._calls = calls
        self._pacers = pacers
        self._clock = clock
        self.seconds = 0.0
        """How long the latest batch took, in seconds."""

    @asynccontextmanager
    async def closing(
        self, batches: AsyncGenerator[Batch, None]
    ) -> AsyncIterator[AsyncGenerator[Batch, None]]:
        """Like `aclosing`, but a step that hangs while it is closed makes its job stale."""
        try:
            yield batches
        finally:
            with self._lease.one_batch():
                await batches.aclose()

    async def next(self, step: Step, batches: AsyncGenerator[Batch, None]) -> Batch | None:
        """Return the next batch, at the pace of the step; None when there is none left."""
        self._calls.check_stopping()
        async with self._pacers.of(step).turn(partial(self._waited, step)) as turn:
            self._calls.check_stopping()
            await self._lease.ensure_held()
            self._calls.has_tried = True
            began = self._clock.monotonic()
            with self._lease.one_batch():
                batch = await anext(batches, None)
            self.seconds = self._clock.monotonic() - began
            turn.deleted = batch.deleted if batch else 0
        return batch

    async def _waited(self, step: Step, wait: Wait) -> None:
        """Note why the run waits; the next write, which may be a heartbeat, records it."""
        self._calls.has_tried = False
        self._patience.extend(wait.seconds)
        progress = self._lease.job.progress(step.name)
        await self._lease.note(progress.waited(wait.why, wait.seconds))

    def with_waits(self, progress: StepProgress) -> StepProgress:
        """`progress` with the waits that `_waited` has noted meanwhile."""
        noted = self._lease.job.progress(progress.name)
        return replace(progress, throttled=noted.throttled)
