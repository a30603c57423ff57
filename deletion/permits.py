"""Permits for a host: how many a process gives out at once. A run that gets none parks its job."""

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
SOONEST, LATEST = 0.1, 10.0
"""Bounds of `soon`, in seconds."""
LONGEST_WINDOW: Final = 3600.0
FEW, MANY = 3.0, 12
"""Runs turned away for each one that gets a permit: below `FEW` on average, the window shrinks;
after `MANY` in a row, it grows."""
STEP: Final = 1.5
"""The factor by which the window shrinks or grows."""


class Permits:
    """`number` permits, first come, first served."""

    def __init__(self, number: int, clock: Clock) -> None:
        self.number = number
        self._clock = clock
        self._taken: dict[asyncio.Event, float] = {}  # since when each is held
        self._waiting: deque[asyncio.Event] = deque()
        self._held = 0.0  # seconds for which a permit was held lately
        self._window = 0.0
        self._turned_away = 0  # since a permit was last taken
        self._average = FEW  # of runs turned away for each one that got a permit, lately

    @property
    def soon(self) -> float:
        """Seconds after which to try again: about as long as a permit is held."""
        return min(max(self._held, SOONEST), LATEST)

    @property
    def window(self) -> float:
        """Seconds over which jobs whose runs found no permit are spread, at random.

        It grows with every `MANY` runs turned away before one gets a permit, and shrinks while the
        average is below `FEW`. So a job in a long backlog is claimed a few times, however many
        others there are, and no permit stays free for long.
        """
        return max(self._window, self.soon)

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
            self._held = (self._held + self._clock.monotonic() - began) / 2
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
        if self._average < FEW:
            self._window = self.window / STEP
        self._taken[permit] = self._clock.monotonic()
        permit.set()

    def _turn_away(self) -> None:
        self._turned_away += 1
        if self._turned_away % MANY == 0:
            self._window = min(self.window * STEP, LONGEST_WINDOW)

    def _free(self, permit: asyncio.Event) -> None:
        """Free a permit, and give it to the run that has waited longest."""
        del self._taken[permit]
        if self._waiting:
            self._give(self._waiting.popleft())

    def _is_quick(self) -> bool:
        """Whether permits are held for `QUICK` seconds at most; those held now count with their
        time so far.
        """
        oldest = self._clock.monotonic() - min(self._taken.values(), default=float("inf"))
        return max(self._held, oldest) <= QUICK
