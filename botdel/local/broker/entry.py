"""One message of a subscription, and the lane of those that share an ordering key."""

from collections import deque
from enum import Enum, auto
from typing import Protocol

from botdel.local.broker.journal import NumberedMessage


class State(Enum):
    """The state of an entry. An entry that waits in a lane is ready too."""

    READY = auto()
    DELAYED = auto()
    LEASED = auto()
    GONE = auto()


class Holder(Protocol):
    """A stream, which must know when a message that it holds is released."""

    def released(self, entry: "Entry") -> None: ...


class Lane:
    """Messages with one ordering key, in order. While some are held, the others wait.

    https://cloud.google.com/pubsub/docs/ordering: a message is delivered after those before it,
    and when one is redelivered, so is everything behind it.
    """

    def __init__(self, key: str) -> None:
        self.key = key
        self.waiting: deque[Entry] = deque()
        self._held: dict[int, Entry] = {}

    @property
    def is_free(self) -> bool:
        """Whether none of its messages is held."""
        return not self._held

    @property
    def is_empty(self) -> bool:
        return not (self._held or self.waiting)

    def take(self) -> None:
        """Hold the first message that waits."""
        entry = self.waiting.popleft()
        self._held[entry.message.id] = entry

    def drop(self, entry: "Entry") -> bool:
        """Drop it. Returns whether this freed the lane."""
        if self._held.pop(entry.message.id, None) is None:
            self.waiting.remove(entry)  # given back, and then acknowledged late
            return False
        return self.is_free

    def put_back(self, entry: "Entry") -> list["Entry"]:
        """Let `entry` and those held behind it wait again, in order. Returns all of them."""
        back = [held for number, held in self._held.items() if number >= entry.message.id]
        for each in reversed(back):
            del self._held[each.message.id]
            self.waiting.appendleft(each)
        return back


class Entry:
    """An unacked message of a subscription, after `attempts` failed deliveries.

    `serial` is the number of the delivery that holds it, or 0.
    """

    __slots__ = ("attempts", "deadline", "holder", "lane", "message", "serial", "state")

    def __init__(self, message: NumberedMessage, attempts: int) -> None:
        self.message = message
        self.attempts = attempts
        self.state = State.READY
        self.serial = 0
        self.deadline = 0.0
        self.holder: Holder | None = None
        self.lane: Lane | None = None
