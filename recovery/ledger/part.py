"""A part of the ledger: work that is done again and again, in a loop of its own."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import Final

import structlog

from deletion.clock import Clock
from deletion.errors import BotDeletionError
from deletion.retry import BackOff, pause
from recovery.ledger.metrics import LedgerMetrics, PartName

log = structlog.get_logger(__name__)

PAUSE_SECONDS, MAX_PAUSE_SECONDS = 1.0, 60.0
"""Seconds between tries while the database, Pub/Sub or the receiver does not answer: the first,
doubled each time, and the longest."""
SPREAD: Final = 0.1
"""The longest random addition to a wait, as a share of it."""

Work = Callable[[asyncio.Event], Awaitable[None]]
"""Does what is due, and returns early, at a safe point, once the event is set."""


class Part:
    """Does `work` every `every` seconds, and whenever it is woken. Survives every error: it is
    logged, counted, and the work is tried again with back-off.

    No part waits for another. After each pass the wait is up to a tenth longer, at random, so that
    replicas do not all begin at the same time.
    """

    def __init__(
        self,
        name: PartName,
        work: Work,
        every: float,
        clock: Clock,
        metrics: LedgerMetrics,
        rng: random.Random,
    ) -> None:
        self._name = name
        self._work = work
        self._every = every
        self._clock = clock
        self._metrics = metrics
        self._rng = rng
        self._back_off = BackOff(clock, PAUSE_SECONDS, MAX_PAUSE_SECONDS)
        self._woken = asyncio.Event()

    def wake(self) -> None:
        """Begin the next pass at once; if one is under way, once it is over."""
        self._woken.set()

    async def run(self, stopping: asyncio.Event) -> None:
        """Work until `stopping`."""
        while not stopping.is_set():
            self._woken.clear()
            if await self._has_worked(stopping):
                self._back_off.reset()
                wait = self._every * (1 + self._rng.random() * SPREAD)
                await pause(self._clock, wait, stopping, self._woken)
            else:
                await self._back_off.pause(stopping)

    async def _has_worked(self, stopping: asyncio.Event) -> bool:
        try:
            await self._work(stopping)
        except BotDeletionError as error:
            log.warning("ledger fell behind", part=self._name, reason=str(error))
        except Exception:
            log.exception("ledger fell behind", part=self._name)
        else:
            return True
        self._metrics.failure(self._name)
        return False
