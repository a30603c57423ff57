"""A part of the ledger: work that is done again and again, in a loop of its own."""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from typing import Final

import structlog

from deletion.clock import Clock
from deletion.errors import BotDeletionError
from deletion.retry import BackOff, pause
from deletion.tracing import Tracer
from recovery.ledger.metrics import LedgerMetrics, PartName

log = structlog.get_logger(__name__)

PAUSE_SECONDS, MAX_PAUSE_SECONDS = 1.0, 60.0
"""Seconds between tries while the database, Pub/Sub or the receiver does not answer: the first,
doubled each time, and the longest."""
SPREAD: Final = 0.1
"""The longest random addition to a wait, as a share of it."""

Work = Callable[[asyncio.Event], Awaitable[int]]
"""Does what is due, and returns for how many records; early, at a safe point, once the event is
set."""


class Part:
    """Does `work` every `every` seconds, and whenever it is woken. Survives every error: it is
    logged, counted, and the work is tried again with back-off.

    No part waits for another. After each pass the wait is up to a tenth longer, at random, so that
    replicas do not all begin at the same time. With a `tracer` each pass that did something, or
    failed, has a span.
    """

    def __init__(
        self,
        name: PartName,
        work: Work,
        every: float,
        clock: Clock,
        metrics: LedgerMetrics,
        rng: random.Random,
        tracer: Tracer | None = None,
    ) -> None:
        self._name = name
        self._work = work
        self._every = every
        self._clock = clock
        self._metrics = metrics
        self._rng = rng
        self._tracer = tracer
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
        began = time.time_ns()
        try:
            records = await self._work(stopping)
        except BotDeletionError as error:
            log.warning("ledger fell behind", part=self._name, reason=str(error))
            self._passed(began, error=type(error).__name__)
        except Exception as error:
            log.exception("ledger fell behind", part=self._name)
            self._passed(began, error=type(error).__name__)
        else:
            if records:
                self._passed(began, records=records)
            return True
        self._metrics.failure(self._name)
        return False

    def _passed(self, began: int, *, records: int | None = None, error: str = "") -> None:
        """Record the span of a pass. Only now is it known whether there was anything to do."""
        if self._tracer is None:
            return
        span = self._tracer.root(f"ledger {self._name}", attributes={})
        span.began = began
        if records is not None:
            span.note({"botdel.records": records})
        if error:
            span.failed(error)
        span.end()
