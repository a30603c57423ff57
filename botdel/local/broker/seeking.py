"""Seeks a subscription in steps, so that one with many messages blocks no other call.

Memory is emptied first, and filled again from disk in the order of the messages' numbers. A seek
that ends early, because the broker ends or the disk or the memory is full, is not confirmed: a part
of it has happened, nothing is lost, and a repeat completes it.
"""

import math
from collections.abc import Iterator
from typing import Final

from botdel.local.broker import filters
from botdel.local.broker.broker import Broker
from botdel.local.broker.journal import Kept, Range
from botdel.local.broker.refusals import Refused, exhausted, not_found
from botdel.local.broker.subscription import Subscription
from botdel.local.broker.wire import PubsubMessage

STEP: Final = 500
"""Messages on disk that one step looks at, which takes a few milliseconds."""
STEP_BYTES: Final = 4 * 1024 * 1024
"""Of their bodies, unless one alone is larger: a step reads them into memory."""


class Seek:
    """A seek of `subscription` to the time `to`, in seconds since 1970.

    Messages published before that time count as acknowledged; those published at it or later, if
    they are still kept, as not.
    """

    def __init__(self, broker: Broker, subscription: Subscription, to: float) -> None:
        topic = broker.topics.get(subscription.settings.topic)
        retention = topic.retention if topic else 0.0
        self._broker = broker
        self._journal = broker.journal
        self._subscription = subscription
        self._to = to
        self._topic = topic.id if topic else 0
        self._since = broker.now() - retention if retention else math.inf

    def steps(self) -> Iterator[None]:
        """Seek, one step at a time. Raises `Refused` if it ended early: UNAVAILABLE if the disk did
        not take it, RESOURCE_EXHAUSTED if the subscription would have too much unacked.
        """
        subscription, epoch = self._subscription, self._subscription.epoch + 1
        ranges = self._journal.ranges(self._broker.last_message, STEP, STEP_BYTES)
        with self._journal.transaction():
            self._journal.change_subscription(subscription.id, subscription.settings, epoch)
        refused: Refused | None = None
        with subscription.refilled(epoch):
            for each in ranges:
                yield
                self._check_there()
                try:
                    subscription.refill(self._sought(each))
                except Refused as error:
                    refused = error
                    subscription.refill(self._as_before(each))
        if refused is not None:
            raise refused

    def _check_there(self) -> None:
        name = self._subscription.name
        if self._broker.use(name) is not self._subscription:
            raise not_found(name)

    def _sought(self, within: Range) -> list[tuple[Kept, int]]:
        """Change on disk which of some messages are unacked. Returns those, without failures."""
        subscription, most = self._subscription, self._broker.max_unacked_bytes
        if subscription.bytes > most:
            raise exhausted(
                f"{subscription.name} would have more than {most} bytes to acknowledge: "
                "seek to a later time"
            )
        with self._journal.transaction():
            self._journal.ack_before(
                subscription.id, within, self._to, retain=subscription.retains_acked
            )
            wanted = self._wanted(within)
            self._journal.unack(subscription.id, [each.id for each in wanted])
        return [(each, 0) for each in wanted]

    def _as_before(self, within: Range) -> list[tuple[Kept, int]]:
        unacked = self._journal.unacked_within(self._subscription.id, within)
        return [(each.message, each.attempts) for each in unacked]

    def _wanted(self, within: Range) -> list[Kept]:
        """Return which of some messages, published at `to` or later, can be delivered again."""
        found = self._journal.seekable(
            self._subscription.id, within, self._to, self._topic, self._since
        )
        return [message for message, has_it in found if has_it or self._matches(message)]

    def _matches(self, message: Kept) -> bool:
        if self._subscription.matches is filters.everything:
            return True
        return self._subscription.matches(PubsubMessage.FromString(message.body).attributes)
