"""The lease: one run's hold on its job, renewed and checked by each of its writes."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from datetime import datetime
from typing import Final

from deletion.clock import Clock
from deletion.errors import LeaseLost
from deletion.job import Change, Failure, Job, LeasePolicy, Status, StepProgress
from deletion.ports import JobStore
from deletion.retry import Retry
from deletion.skew import RunClock
from deletion.tracing import muted

MILLISECOND: Final = 0.001
"""The shortest wait, in seconds, so that a rounding error cannot make the heartbeat spin."""

EARLIER_JOBS: Final = 100
"""How many jobs of a bot `found_before` reads, the newest first."""

LAST_WRITE_CAP: Final = 2.0
"""Longest wait between two tries of the write that ends a run, in seconds: a process that stops has
little time."""


class Lease:
    """Serialises the writes of a run. Each raises `LeaseLost` once the run no longer holds the job.

    A write that the database does not answer is repeated until the lease would be stale. From then
    on another run may hold the job, so this one must stop.

    `job` is the job as this run last wrote it, with what it has noted since.
    """

    def __init__(
        self, job: Job, store: JobStore, clock: Clock, policy: LeasePolicy, retry: Retry
    ) -> None:
        self.job = job
        self._store = store
        self._clock = clock
        self._policy = policy
        self._retry = retry
        self._last_write_retry = replace(retry, cap=LAST_WRITE_CAP)
        self._writing = asyncio.Lock()
        self._run_clock = RunClock(store, clock, policy)
        since = (clock.now() - job.last_modified_at).total_seconds()
        # both by the monotonic clock
        self._written_at = clock.monotonic() - max(0.0, since)
        self._beats_until: float | None = None  # None while no batch is running

    def now(self) -> datetime:
        """The time for this run's writes: see `RunClock`."""
        return self._run_clock.now()

    @asynccontextmanager
    async def heartbeat(self) -> AsyncIterator[None]:
        """Write heartbeats while the block runs; end it with `LeaseLost` once the lease is lost."""
        body = asyncio.current_task()
        with muted():  # else the trace of a run would grow for as long as it lasts
            beating = asyncio.create_task(self._beat())

        def lost() -> bool:
            return beating.done() and not beating.cancelled() and bool(beating.exception())

        def end_body(_: object) -> None:
            if body and lost():
                body.cancel()

        beating.add_done_callback(end_body)
        try:
            yield
        except asyncio.CancelledError:
            if body and lost():
                body.uncancel()
                beating.result()
            raise
        finally:
            beating.remove_done_callback(end_body)
            beating.cancel()
            await asyncio.wait({beating})

    @contextmanager
    def one_batch(self) -> Iterator[None]:
        """Limit the heartbeat to `LeasePolicy.longest_batch` inside the block, so that a batch that
        hangs makes its job stale.
        """
        longest = self._policy.longest_batch.total_seconds()
        self._beats_until = self._clock.monotonic() + longest
        try:
            yield
        finally:
            self._beats_until = None

    async def checkpoint(self, *steps: StepProgress) -> None:
        """Record the progress of `steps`; without any, this is a heartbeat."""
        await self._write(lambda job: job.checkpoint(self.now(), *steps))

    async def begin(self, step: StepProgress, *, is_compensated: bool) -> None:
        """Record that `step` has begun. Call this before the first call of the step."""
        await self._write(lambda job: job.begin(self.now(), step, is_compensated=is_compensated))

    async def note(self, *steps: StepProgress) -> None:
        """Keep progress in memory until the next write; if lost, the step is just checked again."""
        async with self._writing:
            self.job = self.job.noted(*steps)

    async def adopt(self, point_of_no_return: str | None) -> None:
        """Keep the point of no return of this process's plan in memory until the next write."""
        async with self._writing:
            self.job = replace(self.job, point_of_no_return=point_of_no_return)

    async def found_before(self) -> frozenset[str]:
        """The steps that found data of the bot in earlier jobs of this service."""
        earlier = await self._retry.call(
            lambda: self._store.find(
                service=self.job.service, bot_id=self.job.bot_id, limit=EARLIER_JOBS
            ),
            unless=self._stale,
        )
        jobs = [job for job in earlier if isinstance(job, Job) and job.id != self.job.id]
        return frozenset(step.name for job in jobs for step in job.steps if step.has_found)

    async def complete(self) -> bool:
        """End the job: everything is deleted. Returns False when a newer request has joined it;
        then read back once more before trying again.
        """
        try:
            await self._write(lambda job: job.complete(self.now()))
        except LeaseLost:
            if not await self._was_joined():
                raise
            return False
        return True

    async def compensate(self) -> None:
        """End the job: every step that had begun is compensated."""
        await self._write(lambda job: job.compensate(self.now()))

    async def roll_back(self, failure: Failure) -> None:
        """End the run: the next runs roll the job back."""
        await self._write_last(lambda job: job.roll_back(failure))

    async def fail(self, failure: Failure, *, has_tried: bool = True) -> None:
        """End the run with `failure`. An interrupted job is handed over; if the run `has_tried` a
        batch, the interruption counts against that batch.
        """
        if failure.interrupted:
            await self._write_last(lambda job: job.hand_over(failure, has_tried=has_tried))
        else:
            await self._write_last(lambda job: job.fail(failure))

    async def park(
        self, failure: Failure, until: datetime, *, has_called: bool, is_busy: bool = False
    ) -> None:
        """End the run: the job is pending and due again at `until`.

        Raises `TransitionError` when `has_called` and this was the last attempt.
        """
        await self._write_last(
            lambda job: job.park(
                failure, until, self._policy, has_called=has_called, is_busy=is_busy
            )
        )

    async def ensure_held(self) -> None:
        """Call this before each destructive call. If the run has not written for the stale
        threshold, because its process was paused, this writes first, and raises `LeaseLost` if
        another run holds the job.
        """
        if self._stale():
            await self.checkpoint()

    async def _beat(self) -> None:
        """Write a heartbeat whenever nothing was written for an interval, until the run ends.

        When a batch takes too long, write no more, and raise `LeaseLost` once the lease is stale.
        """
        interval = self._policy.heartbeat_interval
        while self.job.status is Status.IN_PROGRESS:
            if self._idle < interval:
                await self._clock.sleep(max(interval - self._idle, MILLISECOND))
            elif self._may_beat():
                await self._write_heartbeat(interval)
            elif not self._stale():
                await self._clock.sleep(interval)
            else:
                raise LeaseLost(f"job {self.job.id}: one batch took until the lease was stale")

    @property
    def _idle(self) -> float:
        """Seconds since the last write, by the monotonic clock."""
        return self._clock.monotonic() - self._written_at

    def _may_beat(self) -> bool:
        """Whether no batch is running, or the one that is has not taken too long."""
        return self._beats_until is None or self._clock.monotonic() < self._beats_until

    async def _was_joined(self) -> bool:
        """Whether this run still holds the job, and a request has joined. Reads in what joined."""
        stored = await self._retry.call(lambda: self._store.get(self.job.id), unless=self._stale)
        if stored is None or stored.status is not self.job.status:
            return False
        joined = stored.claim_key == self.job.claim_key and stored.placed_at != self.job.placed_at
        self.job = replace(self.job, placed_at=stored.placed_at, event_ids=stored.event_ids)
        return joined

    async def _write(self, change: Callable[[Job], Change], retry: Retry | None = None) -> None:
        """Apply `change` to the job and write the result, after any write under way."""
        async with self._writing:
            await self._apply(change, retry or self._retry)

    async def _write_last(self, change: Callable[[Job], Change]) -> None:
        """Write what ends the run without success, with short waits between the tries."""
        await self._write(change, self._last_write_retry)

    async def _write_heartbeat(self, interval: float) -> None:
        """Write a heartbeat, unless another write came first, or the run has ended."""
        async with self._writing:
            if self._idle >= interval and self.job.status is Status.IN_PROGRESS:
                await self._apply(lambda job: job.checkpoint(self.now()), self._retry)

    async def _apply(self, change: Callable[[Job], Change], retry: Retry) -> None:
        await self._run_clock.follow()
        began, written = self._clock.monotonic(), change(self.job)
        self.job = await retry.call(lambda: self._store.apply(written), unless=self._stale)
        self._written_at = began  # and not now: the write may be older than its answer

    def _stale(self) -> LeaseLost | None:
        """The error to raise once the lease is stale; None until then."""
        if self._idle < self._policy.stale_after.total_seconds():
            return None
        return LeaseLost(f"job {self.job.id}: no write was answered until the lease was stale")
