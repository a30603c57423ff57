"""How a run ends before its job has ended: failed, rolled back, interrupted or parked."""

import asyncio
import random
from collections.abc import Coroutine
from dataclasses import replace
from datetime import timedelta
from typing import Final

import structlog

from deletion.clock import rfc3339
from deletion.errors import Busy, Parked, PermanentError, TransientError, TransitionError
from deletion.job import LONGEST_REST, Failure
from deletion.lease import Lease
from deletion.retry import doubled

LONGEST_PARK: Final = 3600.0
"""Longest window over which parked jobs are spread, in seconds."""
MESSAGE_CHARACTERS: Final = 1000
"""How many characters of an error's text the job keeps."""

log = structlog.get_logger(__name__)


class Endings:
    """Ends a run after an error, by writing to the job that `lease` holds."""

    def __init__(self, lease: Lease, stopping: asyncio.Event, rng: random.Random) -> None:
        self._lease = lease
        self._stopping = stopping
        self._rng = rng

    async def fail(self, error: Exception) -> None:
        """Fail the job, or roll it back if the error is permanent and that is possible."""
        failure = self._failure(error)
        if isinstance(error, PermanentError) and self._lease.job.may_roll_back:
            log.warning("rolling back", reason=failure.message)
            await self._lease.roll_back(failure)
        else:
            await self._lease.fail(failure)

    async def park(self, parked: Parked) -> None:
        """Park the job, or fail it if this was its last attempt and has called the API in vain.

        Jobs that wait for the same host become due at random times within a window, which doubles
        each time a job is parked because the host must not be called. `Busy` brings its own window.
        """
        now = self._lease.now()
        earliest = min(parked.until, now + LONGEST_REST)
        if isinstance(parked, Busy):
            window = parked.window
        else:
            wait = max(1.0, (earliest - now).total_seconds())
            window = doubled(wait, self._lease.job.parks, LONGEST_PARK)
        until = earliest + timedelta(seconds=self._rng.uniform(0, window))
        failure, is_busy = self._failure(parked), isinstance(parked, Busy)
        try:
            await self._lease.park(failure, until, has_called=parked.has_called, is_busy=is_busy)
        except TransitionError:
            log.error("run failed", reason=str(parked))
            await self._lease.fail(failure)
        else:
            due = self._lease.job.due or until  # a park that spent an attempt rests for longer
            log.info("parked", until=rfc3339(due), reason=str(parked))

    def interruption(self, error: BaseException, retried: TransientError | None) -> Failure:
        """The failure of a run that was stopped: an interruption, unless an error was being
        `retried` or the step cancelled itself.
        """
        if retried:
            return self._failure(retried)
        task = asyncio.current_task()
        stop_requested = self._stopping.is_set() or (task is not None and task.cancelling() > 0)
        if not stop_requested:
            log.error("the step cancelled itself")
        return replace(self._failure(error), interrupted=stop_requested)

    def _failure(self, error: BaseException) -> Failure:
        message = str(error)[:MESSAGE_CHARACTERS].encode(errors="replace").decode()
        return Failure(type(error).__name__, message, self._lease.now())


async def to_its_end(last_write: Coroutine[None, None, None]) -> None:
    """Await the write that ends a run, despite one cancellation.

    The first cancellation asks the run to end, whether it comes before this write or during it, so
    it must not cancel the write. The second one does.
    """
    task, writing = asyncio.current_task(), asyncio.create_task(last_write)
    while True:
        try:
            return await asyncio.shield(writing)
        except asyncio.CancelledError:
            is_cut_short = task is not None and task.cancelling() > 1
            if writing.cancelled() or (is_cut_short and not writing.done()):
                writing.cancel()
                raise
