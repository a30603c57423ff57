"""Seeks a subscription in steps, so that one with many messages blocks no other call.

Memory is emptied first, and filled again from disk in the order of the messages' numbers. A seek
goes on when its client stops waiting. A repeat waits for the seek under way, and seeks again only
if something has changed since that began.

A seek is confirmed when it is complete. Otherwise a part of it has happened, no message is lost,
and a repeat completes it:

- The disk did not take a step, or too much would be unacked: that step only reads into memory what
  is unacked on disk, and the others go on. The client gets the error at the end.
- The broker stops, or the subscription was deleted or detached: no more steps are made.
- An unexpected error: memory lacks what was not read yet, so that the broker must end, and reads
  everything when it starts again.
"""

import asyncio
import math
from collections.abc import Iterator
from functools import partial
from typing import Final, NamedTuple

import structlog

from botdel.local.broker import filters
from botdel.local.broker.broker import Broker
from botdel.local.broker.journal import NumberedMessage, Range
from botdel.local.broker.refusals import Refused, exhausted, not_found, stopping
from botdel.local.broker.subscription import Subscription
from botdel.local.broker.wire import PubsubMessage

STEP: Final = 500
"""Messages on disk that one step looks at, which takes a few milliseconds."""
STEP_BYTES: Final = 4 * 1024 * 1024
"""Bytes of message bodies that one step reads into memory, unless a single one is larger."""

log = structlog.get_logger(__name__)


class _UnderWay(NamedTuple):
    """A seek to the time `to`, and the subscription's `changes` when it began."""

    to: float
    changes: int
    task: asyncio.Task[None]

    def covers(self, to: float, changes: int) -> bool:
        """Whether another seek, begun now, would do nothing that this one does not do."""
        return (self.to, self.changes) == (to, changes)


class Seeks:
    """The seeks under way, at most one of each subscription."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self._under_way: dict[int, _UnderWay] = {}
        self._ending = False

    def end(self) -> None:
        """End the seeks after their current steps, because the broker stops."""
        self._ending = True

    async def seek(self, subscription: Subscription, to: float) -> None:
        """Run a seek to completion, even if the client stops waiting. Raises `Refused`."""
        seek = self._under_way.get(subscription.id)
        while seek is not None and not seek.covers(to, subscription.changes):
            await asyncio.wait({seek.task})
            seek = self._under_way.get(subscription.id)
        if seek is None:
            seek = self._begin(subscription, to)
        await asyncio.shield(seek.task)

    def _begin(self, subscription: Subscription, to: float) -> _UnderWay:
        steps = Seek(self._broker, subscription, to).steps()
        task = asyncio.create_task(self._in_turns(steps))
        task.add_done_callback(partial(self._ended, subscription))
        seek = self._under_way[subscription.id] = _UnderWay(to, subscription.changes, task)
        return seek

    def _ended(self, subscription: Subscription, task: asyncio.Task[None]) -> None:
        """Record how it ended, because its client may be gone."""
        del self._under_way[subscription.id]
        error = None if task.cancelled() else task.exception()
        if isinstance(error, Refused):
            log.warning("a seek broke off", subscription=subscription.name, reason=str(error))
        elif error is not None:
            self._broker.fault = error

    async def _in_turns(self, steps: Iterator[None]) -> None:
        """Take one step at a time, and let other calls run in between."""
        for _ in steps:
            await asyncio.sleep(0)
            if self._ending:
                raise stopping()


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
        """Seek, one step at a time. Raises `Refused`: UNAVAILABLE if the disk did not take it,
        RESOURCE_EXHAUSTED if the subscription would have too much unacked.
        """
        subscription, epoch = self._subscription, self._subscription.epoch + 1
        ranges = self._journal.ranges(self._broker.last_message, STEP, STEP_BYTES)
        with self._journal.transaction():
            self._journal.change_subscription(subscription.id, subscription.settings, epoch)
        refused: Refused | None = None
        with subscription.sought(epoch):
            for each in ranges:
                yield
                self._check_there()
                try:
                    subscription.add_now(self._sought(each))
                except Refused as error:
                    refused = error
                    subscription.add_now(self._as_before(each))
        if refused is not None:
            raise refused

    def _check_there(self) -> None:
        name = self._subscription.name
        if self._broker.use(name) is not self._subscription:
            raise not_found(name)

    def _sought(self, within: Range) -> list[tuple[NumberedMessage, int]]:
        """Change on disk which messages of a range are unacked. Returns those, without failures."""
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

    def _as_before(self, within: Range) -> list[tuple[NumberedMessage, int]]:
        """Return the messages of a range that are unacked on disk, with their failures."""
        unacked = self._journal.unacked_within(self._subscription.id, within)
        return [(each.message, each.attempts) for each in unacked]

    def _wanted(self, within: Range) -> list[NumberedMessage]:
        """Return which messages of a range were published at `to` or later and can be delivered
        again.
        """
        found = self._journal.seekable(
            self._subscription.id, within, self._to, self._topic, self._since
        )
        return [message for message, has_it in found if has_it or self._matches(message)]

    def _matches(self, message: NumberedMessage) -> bool:
        if self._subscription.matches is filters.everything:
            return True
        return self._subscription.matches(PubsubMessage.FromString(message.body).attributes)
