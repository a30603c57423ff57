"""How a run ends before its job does: failed, turned back, interrupted or parked."""

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
"""Seconds over which parked jobs are spread at most."""
MESSAGE_CHARACTERS: Final = 1000
"""Characters of an error's text that the job keeps."""

log = structlog.get_logger(__name__)


class Endings:
    """What an error of a run makes of the job that `lease` holds."""

    def __init__(self, lease: Lease, stopping: asyncio.Event, rng: random.Random) -> None:
        self._lease = lease
        self._stopping = stopping
        self._rng = rng

    async def fail(self, error: Exception) -> None:
        """Fail the job; turn it back where it may when the error will not pass."""
        failure = self._failure(error)
        if isinstance(error, PermanentError) and self._lease.job.may_turn_back:
            log.warning("turned back", reason=failure.message)
            await self._lease.turn_back(failure)
        else:
            await self._lease.fail(failure)

    async def park(self, parked: Parked) -> None:
        """Park the job; fail it when this was its last attempt and has called the API.

        Jobs that wait for one host are due at times of their own, over a window that doubles while
        the host must not be called. A host that is only busy says how long its window is.
        """
        asked = min(parked.until, self._lease.now() + LONGEST_REST)
        wait = max(1.0, (asked - self._lease.now()).total_seconds())
        is_busy = isinstance(parked, Busy)
        window = (
            parked.window
            if isinstance(parked, Busy)
            else doubled(wait, self._lease.job.parks, LONGEST_PARK)
        )
        until = asked + timedelta(seconds=self._rng.uniform(0, window))
        failure = self._failure(parked)
        try:
            await self._lease.park(failure, until, spent=parked.spent, is_busy=is_busy)
        except TransitionError:
            log.error("run failed", reason=str(parked))
            await self._lease.fail(failure)
        else:
            log.info("parked", until=rfc3339(until), reason=str(parked))

    def interruption(self, error: BaseException, retried: TransientError | None) -> Failure:
        """The failure of a run that was stopped: interrupted, unless an error was being `retried`
        or the step cancelled itself.
        """
        if retried:
            return self._failure(retried)
        task = asyncio.current_task()
        asked = self._stopping.is_set() or (task is not None and task.cancelling() > 0)
        if not asked:
            log.error("the step cancelled itself")
        return replace(self._failure(error), interrupted=asked)

    def _failure(self, error: BaseException) -> Failure:
        message = str(error)[:MESSAGE_CHARACTERS].encode(errors="replace").decode()
        return Failure(type(error).__name__, message, self._lease.now())


async def to_its_end(last_write: Coroutine[None, None, None]) -> None:
    """The write that ends a run. The first cancellation asks for just that, so it is no reason to
    give it up: a run that was cancelled before it began is given up by the second.
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
