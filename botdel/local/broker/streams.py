"""Streaming pull: one stream of deliveries, and of acknowledgements the other way.

https://cloud.google.com/pubsub/docs/reference/rpc/google.pubsub.v1#streamingpullrequest
"""

import asyncio
from collections.abc import Sequence
from typing import Final

from botdel.local.broker.broker import Broker
from botdel.local.broker.entry import Entry
from botdel.local.broker.feed import ANSWER_BYTES, ANSWER_MESSAGES, Feed
from botdel.local.broker.refusals import Refused, invalid
from botdel.local.broker.settings import ACK_DEADLINE
from botdel.local.broker.wire import Proto, StreamingPullResponse, as_bytes

PONG: Final = b""
"""An empty answer, for a client that checks whether the server is alive."""


class Stream:
    """One client's stream: a `Receiver` of a feed, and the `Holder` of what it was given.

    It takes no messages while an answer waits to be written, or beyond the client's own limits. It
    gives back what it holds when it closes.
    """

    def __init__(self, broker: Broker, feed: Feed, first: Proto) -> None:
        self._broker = broker
        self._feed = feed
        self.seconds = _deadline(first.stream_ack_deadline_seconds)
        self._most = first.max_outstanding_messages
        self._most_bytes = first.max_outstanding_bytes
        self._answers_pings = first.protocol_version > 0
        self._properties = _properties(feed)
        self._held: set[Entry] = set()
        self._bytes = 0
        self._pending: list[bytes] = []
        self._error: Refused | None = None
        self._ended = False
        self._changed = asyncio.Event()

    @property
    def holder(self) -> "Stream":
        return self

    @property
    def room(self) -> tuple[int, int]:
        """See `Receiver`. A client's limit of 0 or less means no limit."""
        if self._pending or self._ended:
            return 0, 0
        messages = self._most - len(self._held) if self._most > 0 else ANSWER_MESSAGES
        size = self._most_bytes - self._bytes if self._most_bytes > 0 else ANSWER_BYTES
        return messages, size

    def give(self, entries: Sequence[Entry]) -> None:
        subscription = self._feed.subscription
        parts = [self._properties] if self._properties else []
        for entry in entries:
            self._held.add(entry)
            self._bytes += len(entry.message.body)
            parts.append(subscription.delivery(entry))
        self._send(b"".join(parts))

    def released(self, entry: Entry) -> None:
        """Drop a message that was acknowledged, here or elsewhere, or given back."""
        self._held.discard(entry)
        self._bytes -= len(entry.message.body)
        self._feed.wake()

    def end(self, error: Refused | None = None) -> None:
        """End once what is pending is written, with `error` if there is one."""
        self._error, self._ended = error, True
        self._changed.set()

    def request(self, request: Proto) -> None:
        """Carry out a request after the first one. Raises `Refused`."""
        if request.subscription:
            raise invalid("Only the first request of a stream may name the subscription.")
        if request.stream_ack_deadline_seconds:
            self.seconds = _deadline(request.stream_ack_deadline_seconds)
        self.apply(request)
        if self._answers_pings and not self._pending and not request.ByteSize():
            self._send(PONG)

    def apply(self, request: Proto) -> None:
        """Acknowledge messages and move deadlines as a request asks. Raises `Refused`."""
        subscription = self._feed.subscription
        ids, seconds = request.modify_deadline_ack_ids, request.modify_deadline_seconds
        if len(ids) != len(seconds):
            raise invalid("modify_deadline_seconds and modify_deadline_ack_ids differ in length.")
        if request.ack_ids:
            self._broker.acknowledge(subscription, request.ack_ids)
        by_seconds: dict[int, list[str]] = {}
        for ack_id, wanted in zip(ids, seconds, strict=True):
            by_seconds.setdefault(wanted, []).append(ack_id)
        for wanted, some in by_seconds.items():
            self._broker.modify(subscription, some, wanted)

    async def answer(self) -> bytes | None:
        """Return the next answer, or None at the end. Raises `Refused` if the end was an error."""
        while not self._pending:
            if self._ended:
                if self._error is not None:
                    raise self._error
                return None
            self._changed.clear()
            await self._changed.wait()
        return self._pending.pop(0)

    def sent(self) -> None:
        """Note that the answer was sent: the next one can follow."""
        self._feed.wake()

    def close(self) -> None:
        """Take no more messages, and give back those held.

        They count as failed, as if their deadline had passed, unless the broker ended the stream.
        So a message that crashes its client comes less and less often, and then is dead.
        """
        self._ended = True
        self._feed.remove(self)
        held = sorted(self._held, key=lambda entry: entry.message.id)
        if self._feed.has_ended:
            self._feed.give_back(held)
        else:
            self._broker.fail_or_give_back(self._feed.subscription, held)

    def _send(self, answer: bytes) -> None:
        self._pending.append(answer)
        self._changed.set()


def _deadline(seconds: int) -> int:
    least, most = ACK_DEADLINE
    if not least <= seconds <= most:
        raise invalid(f"stream_ack_deadline_seconds: expected {least} to {most}, found {seconds}")
    return seconds


def _properties(feed: Feed) -> bytes:
    """Return the part of an answer that says that messages are in order; empty if they are not."""
    if not feed.subscription.settings.enable_message_ordering:
        return b""
    answer = StreamingPullResponse()
    answer.subscription_properties.message_ordering_enabled = True
    return as_bytes(answer)
