"""The queue of the runs that share a step: first come, first served, one at the front."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from deletion.clock import Clock, first_of

LONGEST_TURN: Final = 60.0
"""Seconds after which a batch that hangs no longer holds the others up."""


class Ticket:
    """A run's place in `queue`. `leave` may be called at any time, and more than once."""

    def __init__(self, queue: deque["Ticket"]) -> None:
        self._queue = queue
        self._called = asyncio.Event()

    def join(self) -> bool:
        """Join the queue. Returns whether the run is at the front at once."""
        self._queue.append(self)
        return self._queue[0] is self

    async def wait(self, stopping: asyncio.Event) -> None:
        """Wait for the front, or return without it once `stopping` is set."""
        await first_of(self._called.wait(), stopping.wait())

    @asynccontextmanager
    async def passed_on(self, clock: Clock) -> AsyncIterator[None]:
        """Leave the queue after `LONGEST_TURN`, even if the block is still running."""

        async def pass_on() -> None:
            await clock.sleep(LONGEST_TURN)
            self.leave()

        passing = asyncio.create_task(pass_on())
        try:
            yield
        finally:
            passing.cancel()

    def leave(self) -> None:
        """Leave the queue, and call the run that is first now."""
        if self in self._queue:
            self._queue.remove(self)
            if self._queue:
                self._queue[0]._called.set()
