"""Places: how many of one thing a process does at once. A run that finds none is parked."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from deletion.clock import Clock
from deletion.retry import rest

QUICK: Final = 0.1
"""Seconds. Where places are held for no longer than this, a short wait costs less than parking the
job."""
WAIT: Final = 0.25
"""Seconds that a run waits there at most."""
SOONEST, LATEST = 0.1, 10.0
"""Seconds after which to come back."""


class Places:
    """`number` places, taken first come, first served."""

    def __init__(self, number: int, clock: Clock) -> None:
        self.number = number
        self._clock = clock
        self._taken: dict[asyncio.Event, float] = {}  # since when each is held
        self._waiting: deque[asyncio.Event] = deque()
        self._held = 0.0  # seconds for which one was held lately

    @property
    def soon(self) -> float:
        """Seconds after which to come back: about as long as a place is held."""
        return min(max(self._held, SOONEST), LATEST)

    @asynccontextmanager
    async def one(self) -> AsyncIterator[bool]:
        """Hold a place inside the block. Yields False when none is free, at once or, where they
        are held for moments only, within `WAIT`.
        """
        place = await self._given()
        if place is None:
            yield False
            return
        began = self._taken[place]
        try:
            yield True
        finally:
            self._held = (self._held + self._clock.monotonic() - began) / 2
            self._free(place)

    async def _given(self) -> asyncio.Event | None:
        place = asyncio.Event()
        if len(self._taken) < self.number:
            self._give(place)
        elif self._is_quick():
            self._waiting.append(place)
            try:
                await rest(self._clock, WAIT, place)
            except asyncio.CancelledError:
                if place.is_set():  # in the very same moment
                    self._free(place)
                raise
            finally:
                if place in self._waiting:
                    self._waiting.remove(place)
        return place if place.is_set() else None

    def _give(self, place: asyncio.Event) -> None:
        self._taken[place] = self._clock.monotonic()
        place.set()

    def _free(self, place: asyncio.Event) -> None:
        """Free a place, and give it to who has waited longest."""
        del self._taken[place]
        if self._waiting:
            self._give(self._waiting.popleft())

    def _is_quick(self) -> bool:
        """Whether places are held for moments only; one that is still held counts with its time so
        far.
        """
        oldest = self._clock.monotonic() - min(self._taken.values(), default=float("inf"))
        return max(self._held, oldest) <= QUICK
