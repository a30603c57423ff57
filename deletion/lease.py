"""The lease: one run's hold on its job, renewed by every write and fenced by each of them."""

import asyncio
from collections.abc import Callable
from dataclasses import replace

from deletion.clock import Clock
from deletion.errors import LeaseLost
from deletion.job import Change, Failure, Job, LeasePolicy, StepProgress, merged
from deletion.ports import JobStore
from deletion.retry import Retry


class Lease:
    """Serialises the writes of a run. Each raises `LeaseLost` once the job is another's.

    A write the database does not answer is repeated until the lease would be stale: from
    then on another run may own the job, so this one must not go on.
    """

    def __init__(
        self, job: Job, store: JobStore, clock: Clock, policy: LeasePolicy, retry: Retry
    ) -> None:
        self.job = job
        self._store = store
        self._clock = clock
        self._policy = policy
        self._retry = retry
        self._writing = asyncio.Lock()

    async def checkpoint(self, *steps: StepProgress) -> None:
        """Record progress; without any it is a heartbeat."""
        await self._write(lambda job: job.checkpoint(self._clock.now(), *steps))

    async def note(self, *steps: StepProgress) -> None:
        """Progress that may wait for the next write: losing it costs nothing but a look."""
        async with self._writing:
            self.job = replace(self.job, steps=merged(self.job.steps, steps))

    async def complete(self) -> bool:
        """End the job: everything is gone. False when a newer request has joined it since:
        then look once more before trying again.
        """
        try:
            await self._write(lambda job: job.complete(self._clock.now()))
        except LeaseLost:
            if not await self._was_joined():
                raise
            return False
        return True

    async def _was_joined(self) -> bool:
        stored = await self._retry.call(lambda: self._store.get(self.job.id), give_up=self._stale)
        if stored is None or stored.status is not self.job.status:
            return False
        joined = stored.fence == self.job.fence and stored.placed_at != self.job.placed_at
        self.job = replace(self.job, placed_at=stored.placed_at)
        return joined

    async def fail(self, error: BaseException, *, interrupted: bool = False) -> None:
        """End the run with its reason, and the job's attempt back if it was interrupted."""
        kind, message = type(error).__name__, str(error)[:1000]
        await self._write(
            lambda job: job.fail(Failure(kind, message, self._clock.now(), interrupted))
        )

    async def beat(self) -> None:
        """Heartbeat for ever: one whenever nothing else was written for an interval."""
        interval = self._policy.heartbeat_interval
        while True:
            idle = (self._clock.now() - self.job.last_modified_at).total_seconds()
            if idle >= interval:
                await self.checkpoint()
            else:
                await self._clock.sleep(interval - idle)

    async def fence(self) -> None:
        """Before a destructive call: after a long silence (a paused process), prove the hold."""
        if self.job.is_stale(self._clock.now(), self._policy):
            await self.checkpoint()

    async def _write(self, change: Callable[[Job], Change]) -> None:
        async with self._writing:
            written = change(self.job)
            self.job = await self._retry.call(
                lambda: self._store.apply(written), give_up=self._stale
            )

    def _stale(self) -> LeaseLost | None:
        if not self.job.is_stale(self._clock.now(), self._policy):
            return None
        return LeaseLost(f"job {self.job.id}: the database was silent for the whole lease")
