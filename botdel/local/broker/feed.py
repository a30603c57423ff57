"""Gives the messages of one subscription to the pulls and streams that wait for them, in turn."""

import asyncio
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Final, Protocol

from botdel.local.broker.entry import Entry, Holder
from botdel.local.broker.refusals import Refused
from botdel.local.broker.subscription import Subscription

ANSWER_MESSAGES: Final = 1_000
ANSWER_BYTES: Final = 3_000_000
"""The size of one answer, unless it is a single message: with an emulator, many clients accept at
most 4 MB, and a larger answer would never reach them."""


class Receiver(Protocol):
    """A pull or a stream that waits for messages."""

    @property
    def room(self) -> tuple[int, int]:
        """How many messages and bytes it takes now; 0 messages if it takes none."""

    @property
    def seconds(self) -> int:
        """Its ack deadline; 0 for the subscription's."""

    @property
    def holder(self) -> Holder | None:
        """What must know when a message is released; None for nothing."""

    def give(self, entries: Sequence[Entry]) -> None: ...

    def end(self, error: Refused) -> None:
        """End with `error`: no more messages come."""


class Feed:
    """Gives ready messages to the receivers in turn, a share at a time."""

    def __init__(self, subscription: Subscription, now: Callable[[], float]) -> None:
        self.subscription = subscription
        self.now = now
        self._receivers: deque[Receiver] = deque()
        self._scheduled = False
        self.has_ended = False
        """Whether the broker ended it: the subscription is gone, or the broker stops."""

    @property
    def is_idle(self) -> bool:
        return not self._receivers

    def add(self, receiver: Receiver) -> None:
        self._receivers.append(receiver)
        self.wake()

    def remove(self, receiver: Receiver) -> None:
        if receiver in self._receivers:
            self._receivers.remove(receiver)

    def wake(self) -> None:
        """Give what is ready after the current step of the event loop."""
        if self._receivers and not self._scheduled:
            self._scheduled = True
            asyncio.get_running_loop().call_soon(self._give)

    def give_back(self, entries: Iterable[Entry]) -> None:
        """Deliver the entries again, without counting a failure."""
        self.subscription.give_back(entries, self.now(), failed=False)

    def end(self, error: Refused) -> None:
        self.has_ended = True
        for receiver in list(self._receivers):
            receiver.end(error)
        self._receivers.clear()

    def _give(self) -> None:
        """Give until nothing is ready, or each receiver in turn has no room."""
        self._scheduled = False
        now, full = self.now(), 0
        while full < len(self._receivers) and self.subscription.wake(now):
            receiver = self._receivers[0]
            self._receivers.rotate(-1)
            messages, size = receiver.room
            if messages <= 0 or size <= 0:
                full += 1
                continue
            full = 0
            entries = self.subscription.take(
                now,
                min(messages, ANSWER_MESSAGES),
                min(size, ANSWER_BYTES),
                receiver.holder,
                receiver.seconds,
            )
            if not entries:
                break
            receiver.give(entries)


class WaitingPull:
    """One pull that waits for its first messages."""

    holder = None
    seconds = 0

    def __init__(self, most: int) -> None:
        self._most = most
        self.given: asyncio.Future[Sequence[Entry]] = asyncio.get_running_loop().create_future()

    @property
    def room(self) -> tuple[int, int]:
        return (0 if self.given.done() else self._most), ANSWER_BYTES

    def give(self, entries: Sequence[Entry]) -> None:
        self.given.set_result(entries)

    def end(self, error: Refused) -> None:
        if not self.given.done():
            self.given.set_exception(error)


async def pull(feed: Feed, most: int, seconds: float) -> Sequence[Entry]:
    """Return up to `most` messages, or none after `seconds`.

    A cancelled pull gives back what it has just been given. Raises `Refused` if the feed ends.
    """
    if feed.is_idle:
        taken = feed.subscription.take(feed.now(), min(most, ANSWER_MESSAGES), ANSWER_BYTES)
        if taken:
            return taken
    waiting = WaitingPull(most)
    feed.add(waiting)
    try:
        await asyncio.wait({waiting.given}, timeout=max(0.0, seconds))
        return waiting.given.result() if waiting.given.done() else ()
    except asyncio.CancelledError:
        if waiting.given.done() and not waiting.given.exception():
            feed.give_back(waiting.given.result())
        raise
    finally:
        feed.remove(waiting)
