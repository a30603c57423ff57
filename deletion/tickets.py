"""The queue of the runs that share a step: first come, first served, one at the front."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from deletion.clock import Clock

LONGEST_TURN: Final = 60.0
"""Seconds after which a batch that hangs no longer holds the others up."""


class Ticket:
    """A run's ticket for the front. `leave` may be called at any time, and more than once."""

    def __init__(self, front: asyncio.Lock) -> None:
        self._front = front
        self._is_in_front = False

    @property
    def is_free(self) -> bool:
        """Whether nobody is at the front."""
        return not self._front.locked()

    async def take(self) -> None:
        """Wait for the front. A run that is cancelled meanwhile leaves the queue."""
        await self._front.acquire()
        self._is_in_front = True

    async def take_unless(self, stopping: asyncio.Event) -> None:
        """Like `take`, but return without the front once `stopping` is set."""
        taking = asyncio.create_task(self.take())
        stopped = asyncio.create_task(stopping.wait())
        try:
            await asyncio.wait({taking, stopped}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            stopped.cancel()
            taking.cancel()

    @asynccontextmanager
    async def passed_on(self, clock: Clock) -> AsyncIterator[None]:
        """Leave the front after `LONGEST_TURN`, even if the block is still running."""

        async def pass_on() -> None:
            await clock.sleep(LONGEST_TURN)
            self.leave()

        passing = asyncio.create_task(pass_on())
        try:
            yield
        finally:
            passing.cancel()

    def leave(self) -> None:
        """Let the next run come to the front."""
        if self._is_in_front:
            self._is_in_front = False
            self._front.release()
