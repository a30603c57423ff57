"""The consumer of the dead-letter topic: it records each message as a dead letter, then acks it.

It runs in recovery, because it has to be alive when consumers are not.
"""

import asyncio
import re
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from datetime import datetime

import structlog

from deletion.bus import Delivery, Subscription
from deletion.clock import Clock
from deletion.dead_letter import SOURCE, Reason, is_canary
from deletion.errors import BotDeletionError
from deletion.message_spans import MessageSpans
from deletion.pulling import StorageCheck
from deletion.quarantine import LetterToRecord, Quarantine
from deletion.retry import BackOff
from deletion.tracing import NO_SPAN
from recovery.metrics import Metrics

log = structlog.get_logger(__name__)

PULL_LIMIT = 20
"""Messages in memory at a time; each may have the 10 MB that Pub/Sub allows."""
PAUSE_SECONDS, MAX_PAUSE_SECONDS = 1.0, 60.0
"""Seconds between two tries while Pub/Sub or the database does not answer: the first, doubled
each time, and the longest."""


class DeadLetterConsumer:
    """Records the messages of the dead-letter subscription.

    `prefix` comes before the service's name in the id of its subscription. `prepare` builds or
    requires the indexes; it is called before the first pull and after each failure.
    """

    def __init__(
        self,
        subscription: Subscription,
        quarantine: Quarantine,
        clock: Clock,
        *,
        prefix: str,
        prepare: Callable[[], Awaitable[None]],
        metrics: Metrics,
        spans: MessageSpans | None = None,
    ) -> None:
        self._subscription = subscription
        self._quarantine = quarantine
        self._clock = clock
        self._prefix = prefix
        self._database = StorageCheck(prepare)
        self._metrics = metrics
        self._spans = spans
        self._back_off = BackOff(clock, PAUSE_SECONDS, MAX_PAUSE_SECONDS)
        self._failing_since: datetime | None = None
        self._reason = ""

    @property
    def problem(self) -> str | None:
        """Why no dead letters are recorded, and since when; None while the last pull worked."""
        if self._failing_since is None:
            return None
        since = self._failing_since.isoformat(timespec="seconds")
        return f"no dead letters recorded since {since}: {self._reason}"

    async def consume(self, stopping: asyncio.Event) -> None:
        """Record and ack until `stopping`; ends after the pull under way. Survives every outage."""
        while not stopping.is_set():
            try:
                await self._pull()
            except BotDeletionError as error:
                log.warning("dead letters not recorded yet", reason=str(error))
                await self._pause(stopping, str(error))
            except Exception as error:
                log.exception("dead letters not recorded yet")
                await self._pause(stopping, f"{type(error).__name__}; see the log")
            else:
                self._back_off.reset()
                self._failing_since = None
                self._metrics.pulled()

    async def _pull(self) -> None:
        """Pull once and record; after a failure, only once the database answers."""
        await self._database.ensure()
        if deliveries := await self._subscription.pull(PULL_LIMIT):
            with self._spans.process(deliveries) if self._spans else NO_SPAN:
                await self._take(deliveries)

    async def _take(self, deliveries: Sequence[Delivery]) -> None:
        letters = [self._letter(delivery) for delivery in deliveries]
        await self._quarantine.record(letters)
        await self._subscription.ack(deliveries)
        count = sum(not is_canary(each.service) for each in letters)
        if count < len(letters):
            log.info("canaries recorded", count=len(letters) - count)
        if count:
            self._metrics.recorded(count)
            log.error("dead letters recorded", count=count)

    def _letter(self, delivery: Delivery) -> LetterToRecord:
        attributes = delivery.message.attributes
        source = attributes.get(f"{SOURCE}Subscription", "").rpartition("/")[2]
        service = source.removeprefix(self._prefix) if source.startswith(self._prefix) else ""
        times = attributes.get(f"{SOURCE}DeliveryCount", "")
        attempt = int(times) if re.fullmatch("[0-9]{1,9}", times) else 0
        detail = f"delivered {attempt or 'too many'} times to {source or 'an unnamed subscription'}"
        delivery = replace(delivery, attempt=attempt)
        return LetterToRecord(delivery, service, Reason.UNDELIVERED, detail)

    async def _pause(self, stopping: asyncio.Event, reason: str) -> None:
        self._failing_since, self._reason = self._failing_since or self._clock.now(), reason
        self._metrics.failed()
        self._database.invalidate()
        await self._back_off.pause(stopping)
