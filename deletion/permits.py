"""Permits for a host: how many a process gives out at once. A run that gets none parks its job.

Parked jobs are due again at random times within a window. In a window that is too short for the
backlog, each job is claimed and parked again many times; in one that is too long, permits stay
free. So the window follows what happens: it grows while many runs are turned away for each one that
gets a permit, and shrinks while few are. As measured, a backlog that parks for a fixed time costs
216 claims a job, and 10 with this window (docs/performance.md; decision 0031).
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from deletion.clock import Clock
from deletion.retry import pause

QUICK: Final = 0.1
"""Seconds: while permits are held for no longer, a short wait costs less than parking the job."""
WAIT: Final = 0.25
"""Longest such wait, in seconds."""
SHORTEST_RETRY, LONGEST_RETRY = 0.1, 10.0
"""Bounds of `retry_after`, in seconds."""
LONGEST_WINDOW: Final = 3600.0
"""Longest window, in seconds."""
GROW_AFTER: Final = 12
"""The window grows each time so many runs in a row are turned away."""
SHRINK_BELOW: Final = 3.0
"""The window shrinks while fewer runs than this, on average, are turned away for each permit."""
FACTOR: Final = 1.5
"""The factor by which the window grows or shrinks."""


class Permits:
    """`number` permits, first come, first served."""

    def __init__(self, number: int, clock: Clock) -> None:
        self.number = number
        self._clock = clock
        self._taken: dict[asyncio.Event, float] = {}  # since when each is held
        self._waiting: deque[asyncio.Event] = deque()
        self._usual_hold = 0.0  # seconds for which a permit was held lately
        self._window = 0.0
        self._turned_away = 0  # since a permit was last taken
        self._average = SHRINK_BELOW  # of runs turned away for each that got a permit, lately

    @property
    def retry_after(self) -> float:
        """Seconds after which to try again: about as long as a permit is held."""
        return min(max(self._usual_hold, SHORTEST_RETRY), LONGEST_RETRY)

    @property
    def window(self) -> float:
        """Seconds over which jobs whose runs found no permit are spread, at random."""
        return max(self._window, self.retry_after)

    @asynccontextmanager
    async def one(self) -> AsyncIterator[bool]:
        """Hold a permit inside the block, and yield True; yield False when none is free.

        Where permits are held for moments only, it waits up to `WAIT` seconds for one.
        """
        permit = await self._given()
        if permit is None:
            self._turn_away()
            yield False
            return
        began = self._taken[permit]
        try:
            yield True
        finally:
            self._usual_hold = (self._usual_hold + self._clock.monotonic() - began) / 2
            self._free(permit)

    async def _given(self) -> asyncio.Event | None:
        permit = asyncio.Event()
        if len(self._taken) < self.number:
            self._give(permit)
        elif self._is_quick():
            self._waiting.append(permit)
            try:
                await pause(self._clock, WAIT, permit)
            except asyncio.CancelledError:
                if permit.is_set():  # it was given a permit at the same moment
                    self._free(permit)
                raise
            finally:
                if permit in self._waiting:
                    self._waiting.remove(permit)
        return permit if permit.is_set() else None

    def _give(self, permit: asyncio.Event) -> None:
        self._average = (3 * self._average + self._turned_away) / 4
        self._turned_away = 0
        if self._average < SHRINK_BELOW:
            self._window = self.window / FACTOR
        self._taken[permit] = self._clock.monotonic()
        permit.set()

    def _turn_away(self) -> None:
        self._turned_away += 1
        if self._turned_away % GROW_AFTER == 0:
            self._window = min(self.window * FACTOR, LONGEST_WINDOW)

    def _free(self, permit: asyncio.Event) -> None:
        """Free a permit, and give it to the run that has waited longest."""
        del self._taken[permit]
        if self._waiting:
            self._give(self._waiting.popleft())

    def _is_quick(self) -> bool:
        """Whether permits are usually held for `QUICK` seconds at most, and none is held for longer
        now.
        """
        oldest = self._clock.monotonic() - min(self._taken.values(), default=float("inf"))
        return max(self._usual_hold, oldest) <= QUICK
