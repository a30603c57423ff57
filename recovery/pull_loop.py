"""A loop that pulls messages, has them recorded and acked, and survives every outage."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from typing import Protocol

import structlog

from deletion.bus import Delivery, Subscription
from deletion.clock import Clock
from deletion.errors import BotDeletionError, Interrupted
from deletion.process.signals import unless_stopped
from deletion.pulling import StorageCheck
from deletion.retry import BackOff

log = structlog.get_logger(__name__)

PAUSE_SECONDS = 1.0
"""Seconds before the next try after a failure; doubled after each further one."""

Take = Callable[[Sequence[Delivery]], Awaitable[None]]
"""Records the deliveries and acks them. Those that it does not ack are delivered again."""


class PullMetrics(Protocol):
    """What counts the pulls."""

    def pulled(self) -> None:
        """A pull succeeded, and what it brought is recorded and acked."""

    def failed(self) -> None:
        """A pull, a record or an ack failed; the messages will be delivered again."""


class PullLoop:
    """Pulls from `subscription`, at most `limit` messages at a time, and has `take` record them.

    `prepare` builds or requires what `take` needs; it is called before the first pull and after
    each failure. Pauses after failures are at most `longest_pause` seconds. A failure is logged as
    `event`, and `problem` says since when with the words `symptom`.
    """

    def __init__(
        self,
        subscription: Subscription,
        take: Take,
        clock: Clock,
        *,
        prepare: Callable[[], Awaitable[None]],
        metrics: PullMetrics,
        limit: int,
        longest_pause: float,
        event: str,
        symptom: str,
    ) -> None:
        self._subscription = subscription
        self._take = take
        self._clock = clock
        self._database = StorageCheck(prepare)
        self._metrics = metrics
        self._limit = limit
        self._back_off = BackOff(clock, PAUSE_SECONDS, longest_pause)
        self._event = event
        self._symptom = symptom
        self._failing_since: datetime | None = None
        self.failure: Exception | None = None
        """The error of the last finished pull; None if it worked."""

    @property
    def problem(self) -> str | None:
        """What is not done, since when and why; None while the last pull worked."""
        if self._failing_since is None or self.failure is None:
            return None
        since, known = self._failing_since, isinstance(self.failure, BotDeletionError)
        why = str(self.failure) if known else f"{type(self.failure).__name__}; see the log"
        return f"{self._symptom} {since.isoformat(timespec='seconds')}: {why}"

    async def consume(self, stopping: asyncio.Event) -> None:
        """Record and ack until `stopping`; ends after the pull under way, or at once while it waits
        for the database.
        """
        while not stopping.is_set():
            try:
                await self._pull(stopping)
            except Interrupted:
                return
            except BotDeletionError as error:
                log.warning(self._event, reason=str(error))
                await self._pause(stopping, error)
            except Exception as error:
                log.exception(self._event)
                await self._pause(stopping, error)
            else:
                self._back_off.reset()
                self._failing_since = self.failure = None
                self._metrics.pulled()

    async def _pull(self, stopping: asyncio.Event) -> None:
        """Pull once and record; after a failure, only once the database answers."""
        await unless_stopped(self._database.ensure(), stopping)
        if deliveries := await self._subscription.pull(self._limit):
            await self._take(deliveries)

    async def _pause(self, stopping: asyncio.Event, failure: Exception) -> None:
        self._failing_since, self.failure = self._failing_since or self._clock.now(), failure
        self._metrics.failed()
        self._database.invalidate()
        await self._back_off.pause(stopping)
