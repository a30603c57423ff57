"""A request for deletion becomes an event on the topic; the gateway keeps nothing of it."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID, uuid5

import structlog
from prometheus_client import Gauge

from deletion.bus import Publisher
from deletion.clock import rfc3339, truncated
from deletion.events import BotDeletionSubject, RequestPlaced, to_message
from gateway.trace import RandomBytes

log = structlog.get_logger(__name__)

Now = Callable[[], datetime]
"""The time, with its time zone."""

NAMESPACE: Final = UUID("6d9f6c5e-2f0b-4a7c-9d35-0c1e4b8a7f21")
"""The namespace of event ids made from idempotency keys (RFC 9562, version 5). Never change it:
the same key would become another event."""


@dataclass(frozen=True, slots=True)
class Placed:
    """What the client gets. `placed_at` is RFC 3339, UTC, milliseconds."""

    event_id: str
    bot_id: str
    placed_at: str


class DeletionRequests:
    """Places requests for deletion."""

    def __init__(
        self,
        publisher: Publisher,
        now: Now,
        random_bytes: RandomBytes,
        pending: Gauge,
    ) -> None:
        self._publisher = publisher
        self._now = now
        self._random_bytes = random_bytes
        self._pending = pending

    async def place(
        self, bot_id: str, key: str | None, traceparent: str, requested_by: str
    ) -> Placed:
        """Publish the event, with `requested_by` and `traceparent`. Returns once it is confirmed.

        With a `key` the event id is the same each time the key is used for this bot, on any
        replica. Raises what `Publisher.publish` raises, and `InvalidEvent` for a bad id.
        """
        bot_id = bot_id.lower()
        now = self._now()
        placed_at = truncated(now)
        event_id = self._event_id(bot_id, key)
        subject = BotDeletionSubject(
            event_id, placed_at, bot_id, RequestPlaced(placed_at, requested_by)
        )
        with self._pending.track_inprogress():
            await self._publisher.publish(to_message(subject, traceparent))
        log.info(
            "accepted",
            event_id=event_id,
            bot_id=bot_id,
            requested_by=requested_by,
            traceparent=traceparent,
        )
        return Placed(event_id, bot_id, rfc3339(subject.timestamp))

    def _event_id(self, bot_id: str, key: str | None) -> str:
        # A bot's id has a fixed length, so no two pairs of id and key give the same text.
        if key is not None:
            return str(uuid5(NAMESPACE, bot_id + key))
        return str(UUID(bytes=self._random_bytes(16), version=4))
