"""The consumer of the dead-letter topic: it records each message as a dead letter, then acks it.

It runs in recovery, because it has to be alive when consumers are not.
"""

import asyncio
import re
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace

import structlog

from deletion.bus import Delivery, Subscription
from deletion.clock import Clock
from deletion.dead_letter import SOURCE, Reason, is_canary
from deletion.message_spans import MessageSpans
from deletion.quarantine import LetterToRecord, Quarantine
from deletion.tracing import NO_SPAN
from recovery.metrics import Metrics
from recovery.pull_loop import PullLoop

log = structlog.get_logger(__name__)

PULL_LIMIT = 20
"""Messages in memory at a time; each may have the 10 MB that Pub/Sub allows."""
MAX_PAUSE_SECONDS = 60.0
"""The longest pause between two tries while Pub/Sub or the database does not answer."""


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
        self._prefix = prefix
        self._metrics = metrics
        self._spans = spans
        self._pulls = PullLoop(
            subscription,
            self._process,
            clock,
            prepare=prepare,
            metrics=metrics,
            limit=PULL_LIMIT,
            longest_pause=MAX_PAUSE_SECONDS,
            event="dead letters not recorded yet",
            symptom="no dead letters recorded since",
        )

    @property
    def problem(self) -> str | None:
        """Why no dead letters are recorded, and since when; None while the last pull worked."""
        return self._pulls.problem

    async def consume(self, stopping: asyncio.Event) -> None:
        """Record and ack until `stopping`; ends after the pull under way. Survives every outage."""
        await self._pulls.consume(stopping)

    async def _process(self, deliveries: Sequence[Delivery]) -> None:
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
