"""Starting sweeps: one at a time, answered at once, and run in the background."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from datetime import timedelta
from typing import Any, TypeVar

import structlog

from deletion.clock import Clock
from deletion.errors import Interrupted, StoreUnavailable
from deletion.process.answers import ANSWER_SECONDS, TOO_LATE, in_time
from deletion.retry import Retry
from deletion.sweep import Sweep, SweepStatus
from deletion.tracing import NO_SPAN, NoSpan, Span, Tracer, current
from recovery.ports import SweepStore
from recovery.sweeper import Sweeper

T = TypeVar("T")

log = structlog.get_logger(__name__)


class Sweeps:
    """The sweeps that this process starts and runs; the store decides which one may run.

    `silent_after` is how long a running sweep may be silent before the next call ends it. `prepare`
    is awaited before each sweep: it builds or requires the indexes, and checks the clock. `ended`
    is called with each sweep that this process ran.
    """

    def __init__(
        self,
        store: SweepStore,
        sweeper: Sweeper,
        clock: Clock,
        retry: Retry,
        *,
        silent_after: timedelta,
        ended: Callable[[Sweep], None],
        prepare: Callable[[], Awaitable[None]],
        tracer: Tracer | None = None,
    ) -> None:
        self._store = store
        self._sweeper = sweeper
        self._clock = clock
        self._retry = retry
        self._silent_after = silent_after
        self._ended = ended
        self._prepare = prepare
        self._tracer = tracer
        self._stopping = asyncio.Event()
        self._starting: asyncio.Task[Sweep] | None = None
        self._under_way: set[asyncio.Task[Any]] = set()

    async def start(self) -> Sweep:
        """Start a sweep and return it, or return the one that is already running.

        Raises `StoreUnavailable` when the database does not answer in time. The attempt then goes
        on for a while, and the next caller joins it, because a late or lost answer must not leave
        a sweep that is recorded and run by nobody. Raises `ClockSkew` when this machine's clock is
        wrong, and `Interrupted` once the process has been asked to stop.
        """
        if self._stopping.is_set():
            raise Interrupted("this process is about to end")
        if self._starting is None or self._starting.done():
            self._starting = self._begin(self._start())
        answered, _ = await asyncio.wait({self._starting}, timeout=ANSWER_SECONDS)
        if not answered:
            raise StoreUnavailable(TOO_LATE)
        return answered.pop().result()

    async def get(self, sweep_id: str) -> Sweep | None:
        """The sweep with this id, whichever process ran it.

        Raises `StoreUnavailable` when the database does not answer in time.
        """
        return await in_time(self._store.get(sweep_id))

    async def close(self, patience: float) -> None:
        """Stop the sweep of this process after its page; cut it short after `patience` seconds.

        Returns within twice that.
        """
        self._stopping.set()
        await self._ended_within(patience)
        for task in self._under_way:
            task.cancel()
        await self._ended_within(patience)

    async def _ended_within(self, seconds: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while self._under_way:  # a start that succeeds adds a run
                    await asyncio.wait(self._under_way)

    def _begin(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        task = asyncio.create_task(work)
        self._under_way.add(task)
        task.add_done_callback(self._finished)
        return task

    def _finished(self, task: asyncio.Task[Any]) -> None:
        """Log every error, because the caller may be gone."""
        self._under_way.discard(task)
        if not task.cancelled() and (error := task.exception()):
            log.warning("background work ended", exc_info=error)

    async def _start(self) -> Sweep:
        await self._retry.call(self._prepare)
        now = self._clock.now()
        offered = Sweep.started(self._store.new_id(), now)
        silent_since = now - self._silent_after
        standing = await self._retry.call(
            lambda: self._store.start(offered, silent_since=silent_since)
        )
        if standing.id == offered.id and standing.status is SweepStatus.RUNNING:
            self._begin(self._run(standing))
        return standing

    async def _run(self, sweep: Sweep) -> None:
        log.info("sweep started", sweep_id=sweep.id)
        with self._span(sweep) as span:
            sweep = await self._sweeper.run(sweep, self._stopping)
            _note_end(span, sweep)
        self._ended(sweep)
        log.info(
            "sweep ended",
            sweep_id=sweep.id,
            status=sweep.status,
            resumed=sweep.resumed,
            exhausted=sweep.exhausted,
            skipped=sweep.skipped,
            error=sweep.error,
        )

    def _span(self, sweep: Sweep) -> Span | NoSpan:
        """The root of the sweep's trace, linked to the request that started it."""
        if self._tracer is None:
            return NO_SPAN
        request = current()
        return self._tracer.root(
            "sweep",
            attributes={"botdel.sweep.id": sweep.id},
            links=[request.traceparent] if request else [],
        )


def _note_end(span: Span | NoSpan, sweep: Sweep) -> None:
    span.note(
        {
            "botdel.sweep.status": sweep.status.value,
            "botdel.sweep.resumed": sweep.resumed,
            "botdel.sweep.exhausted": sweep.exhausted,
            "botdel.sweep.skipped": sweep.skipped,
        }
    )
    if sweep.status is SweepStatus.FAILED:
        span.failed(sweep.status.value)
