"""What one subscription still has to deliver: leases, deadlines, back-off and order.

It is synchronous and in memory. Time comes in as `now`, in seconds. The broker writes the journal
before it calls these methods.

Every unacked message is an `Entry` in `entries`, in the order of the numbers. Its state says where
else it is:

READY    in `_ready` or, if it has an ordering key, waiting in its lane
DELAYED  in `_delayed`, until its back-off is over
LEASED   in `_leases`; if it has an ordering key, its lane holds it
GONE     nowhere: it is not in `entries` either

A lane with messages is in `_lanes`. It is also in `_ready`, or in `_delayed` until its back-off is
over, unless it holds a message; while it holds one, the others wait.

`_ready`, `_delayed` and `_leases` are only read from the front. What ends, moves or goes is left in
them, and dropped when it comes to the front: its state (of a lease, its serial number and deadline)
no longer fits. When too much of that has gathered, `_trim_ready` and `_trim_leases` remove it.
"""

import heapq
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import count
from time import time_ns
from typing import Final

from botdel.local.broker.entry import Entry, Holder, Lane, State
from botdel.local.broker.filters import Predicate
from botdel.local.broker.journal import NumberedMessage
from botdel.local.broker.refusals import invalid
from botdel.local.broker.wire import Proto, PubsubMessage, received, seconds_in

ENDED_LEASES: Final = 10_000
ENDED_BYTES: Final = 64 * 1024 * 1024
"""Ended leases, and bytes of their messages, that may stay in `_leases`: with long deadlines, they
would otherwise fill the memory."""
GONE_READY: Final = 1_000
"""Entries that are gone and may stay in `_ready`: without pulls, they would otherwise fill the
memory."""
ENTRY_BYTES: Final = 300
"""Bytes that each message takes in memory beside its own."""


class Subscription:
    """One subscription. `on_ready` is called when there may be something to take."""

    def __init__(
        self,
        id: int,
        settings: Proto,
        matches: Predicate,
        epoch: int = 0,
        on_ready: Callable[[], None] = lambda: None,
    ) -> None:
        self.id = id
        self.settings = settings
        self.matches = matches
        self.epoch = epoch
        self.on_ready = on_ready
        self.last_used = 0.0
        """When it was last pulled, changed or otherwise used, in this process."""
        self.entries: dict[int, Entry] = {}
        self.bytes = 0
        """Bytes that its unacked messages take in memory."""
        self.changes = 0
        """How many messages came during a seek, or went at any time. If it has changed since a
        seek began, that seek has not seen everything.
        """
        self._ready: deque[Entry | Lane] = deque()
        self._delayed: list[tuple[float, int, Entry | Lane]] = []
        self._leases: list[tuple[float, int, Entry]] = []
        self._serials = count(time_ns() // 1000)
        """Numbers that no earlier process has used, so that an old ack id names no lease of this
        one: they begin with the time in microseconds, and a subscription makes fewer than a million
        deliveries a second.
        """
        self._leased = 0
        """How many entries are leased."""
        self._ended_bytes = 0
        """Bytes of the messages whose leases have ended since `_leases` was rebuilt."""
        self._lanes: dict[str, Lane] = {}
        self._deferred: list[tuple[NumberedMessage, int]] | None = None
        """What `add` got during a seek; None without a seek."""

    @property
    def name(self) -> str:
        return str(self.settings.name)

    @property
    def deadline_seconds(self) -> int:
        return int(self.settings.ack_deadline_seconds)

    @property
    def max_attempts(self) -> int:
        """After how many failures a message is a dead letter; 0 without a policy."""
        if not self.settings.HasField("dead_letter_policy"):
            return 0
        return int(self.settings.dead_letter_policy.max_delivery_attempts)

    @property
    def retains_acked(self) -> bool:
        """Whether what it acknowledged is kept on disk, so that a seek can deliver it again."""
        return bool(self.settings.retain_acked_messages)

    def is_expired(self, now: float) -> bool:
        """Whether it was unused for as long as its policy allows; without a ttl it never expires.
        https://cloud.google.com/pubsub/docs/subscription-properties#expiration_period
        """
        return 0 < seconds_in(self.settings.expiration_policy.ttl) <= now - self.last_used

    def add(self, messages: Iterable[tuple[NumberedMessage, int]]) -> None:
        """Add `messages`, in the order of their numbers, each with how often it has failed.

        During a seek they wait for its end, because what it finds has lower numbers.
        """
        if self._deferred is None:
            self.add_now(messages)
            return
        for message, attempts in messages:
            self._deferred.append((message, attempts))
            self.bytes += size(message)
            self.changes += 1

    @contextmanager
    def sought(self, epoch: int) -> Iterator[None]:
        """Drop everything, for a seek that calls `add_now` with what it finds.

        What `add` gets in the meantime follows at the end. Earlier ack ids become void.
        """
        self.clear()
        deferred: list[tuple[NumberedMessage, int]] = []
        self.epoch, self._deferred = epoch, deferred
        try:
            yield
        finally:
            self._deferred = None
            self.bytes -= sum(size(message) for message, _ in deferred)  # `add_now` counts them
            self.add_now(deferred)

    def add_now(self, messages: Iterable[tuple[NumberedMessage, int]]) -> None:
        """`add` that does not wait for the end of a seek."""
        for message, attempts in messages:
            entry = Entry(message, attempts)
            self.entries[message.id] = entry
            self.bytes += size(message)
            self._queue(entry)
        self.on_ready()

    def take(
        self,
        now: float,
        most: int,
        most_bytes: int,
        holder: Holder | None = None,
        seconds: float = 0,
    ) -> list[Entry]:
        """Lease up to `most` messages with `most_bytes` in total, or one message whatever its size.

        The ack deadline is `seconds` or, if that is 0, the subscription's.
        """
        self.wake(now)
        taken: list[Entry] = []
        room, until = most_bytes, now + (seconds or self.deadline_seconds)
        while self._ready and len(taken) < most:
            entry = self._first()
            if entry is None:
                continue
            room -= len(entry.message.body)
            if taken and room < 0:
                break
            self._pop(entry)
            self._lease(entry, until, holder)
            taken.append(entry)
        if taken and self._ready and self._ready[0] is taken[-1].lane:
            self._ready.popleft()  # the others in the lane wait until these are acknowledged
        return taken

    def wake(self, now: float) -> bool:
        """Make ready what was delayed until now. Returns whether something is ready."""
        while self._delayed and self._delayed[0][0] <= now:
            item = heapq.heappop(self._delayed)[2]
            if isinstance(item, Lane):
                self._ready.append(item)
            elif item.state is State.DELAYED:
                item.state = State.READY
                self._ready.append(item)
        return bool(self._ready)

    def overdue(self, now: float) -> list[Entry]:
        """Return what is held after its deadline; each only once. The caller gives it back."""
        found = []
        while self._leases and self._leases[0][0] <= now:
            deadline, serial, entry = heapq.heappop(self._leases)
            if _is_current(deadline, serial, entry):
                found.append(entry)
        return found

    def delivery(self, entry: Entry) -> bytes:
        """Return a delivery of a held message, as an answer to a pull has it."""
        attempt = entry.attempts + 1 if self.max_attempts else 0
        return received(self.ack_id(entry), entry.message.body, attempt)

    def ack_id(self, entry: Entry) -> str:
        return f"{self.id}:{self.epoch}:{entry.message.id}:{entry.serial}"

    def unacked(self, ack_ids: Sequence[str]) -> list[Entry]:
        """Return each entry that `ack_ids` may acknowledge, even late, but not across a seek."""
        return list({entry.message.id: entry for entry, _ in self._named(ack_ids)}.values())

    def held(self, ack_ids: Sequence[str]) -> list[Entry]:
        """Return what is held under `ack_ids` now: a late call must not touch a later lease."""
        held = {}
        for entry, serial in self._named(ack_ids):
            if entry.state is State.LEASED and entry.serial == serial:
                held[entry.message.id] = entry
        return list(held.values())

    def remove(self, entries: Iterable[Entry]) -> None:
        """Drop them: they are acked, too old or dead letters. Calling it again changes nothing."""
        for entry in entries:
            if entry.state is State.GONE:
                continue
            self._release(entry)
            entry.state = State.GONE
            self.bytes -= size(entry.message)
            self.changes += 1
            del self.entries[entry.message.id]
            if entry.lane is not None:
                self._drop(entry.lane, entry)
        self._trim_ready()

    def extend(self, entries: Iterable[Entry], until: float) -> None:
        """Move the ack deadline of what is held."""
        for entry in entries:
            entry.deadline = until
            heapq.heappush(self._leases, (until, entry.serial, entry))
        self._trim_leases()

    def give_back(self, entries: Iterable[Entry], now: float, *, failed: bool) -> None:
        """Deliver them again; if they have `failed`, after the back-off of the retry policy."""
        held = [entry for entry in entries if entry.state is State.LEASED]
        if failed:
            for entry in held:
                entry.attempts += 1
        for entry in held:
            if entry.state is not State.LEASED:
                continue  # it went back into its lane together with an earlier one
            self._release(entry)
            delay = self._back_off(entry.attempts) if failed else 0.0
            if entry.lane is not None:
                self._redeliver(entry.lane, entry, now + delay)
            elif delay:
                entry.state = State.DELAYED
                heapq.heappush(self._delayed, (now + delay, next(self._serials), entry))
            else:
                self._ready.append(entry)
        self.on_ready()

    def older_than(self, published: float) -> list[Entry]:
        """Return what was published before a time. Entries are in the order of publishing."""
        found = []
        for entry in self.entries.values():
            if entry.message.published >= published:
                break
            found.append(entry)
        return found

    def clear(self) -> None:
        """Drop everything, and hold nothing."""
        for *_, entry in self._leases:
            self._release(entry)
            entry.state = State.GONE
        self.entries.clear()
        self.bytes = 0
        self._ready.clear()
        self._delayed.clear()
        self._leases.clear()
        self._lanes.clear()
        if self._deferred is not None:
            self._deferred.clear()

    def _named(self, ack_ids: Sequence[str]) -> list[tuple[Entry, int]]:
        """Return the entries still unacked, with the serials of `ack_ids` from this epoch.

        Raises `Refused` for text that is not an ack id.
        """
        found = []
        for ack_id in ack_ids:
            try:
                mine, epoch, message, serial = map(int, ack_id.split(":"))
            except ValueError:
                raise invalid(
                    f"You have passed an invalid ack ID to the service (ack_id={ack_id})."
                ) from None
            entry = self.entries.get(message)
            if entry is not None and (mine, epoch) == (self.id, self.epoch):
                found.append((entry, serial))
        return found

    def _back_off(self, attempts: int) -> float:
        """Return seconds: doubled with each failure, from the policy's minimum to its maximum."""
        if not self.settings.HasField("retry_policy"):
            return 0.0
        policy = self.settings.retry_policy
        least, most = seconds_in(policy.minimum_backoff), seconds_in(policy.maximum_backoff)
        return float(min(most, least * 2 ** min(attempts - 1, 32)))

    def _lease(self, entry: Entry, until: float, holder: Holder | None) -> None:
        entry.state, entry.holder = State.LEASED, holder
        entry.serial, entry.deadline = next(self._serials), until
        heapq.heappush(self._leases, (until, entry.serial, entry))
        self._leased += 1

    def _release(self, entry: Entry) -> None:
        """End its lease, if there is one."""
        if entry.state is not State.LEASED:
            return
        entry.state, entry.serial = State.READY, 0
        self._leased -= 1
        self._ended_bytes += len(entry.message.body)
        self._trim_leases()
        if entry.holder is not None:
            holder, entry.holder = entry.holder, None
            holder.released(entry)

    def _trim_leases(self) -> None:
        """Remove the leases that have ended once they are most of all, or of many bytes."""
        are_many = len(self._leases) > 2 * self._leased + ENDED_LEASES
        if are_many or self._ended_bytes > ENDED_BYTES:
            self._leases = [lease for lease in self._leases if _is_current(*lease)]
            heapq.heapify(self._leases)
            self._ended_bytes = 0

    def _trim_ready(self) -> None:
        """Remove what is gone once it is most of `_ready`."""
        if len(self._ready) > 2 * len(self.entries) + GONE_READY:
            self._ready = deque(each for each in self._ready if _is_ready(each))

    # --- order: messages with the same key share a lane

    def _queue(self, entry: Entry) -> None:
        lane = self._lane_of(entry.message)
        if lane is None:
            self._ready.append(entry)
            return
        entry.lane = lane
        lane.waiting.append(entry)
        if lane.is_free and len(lane.waiting) == 1:
            self._ready.append(lane)

    def _lane_of(self, message: NumberedMessage) -> Lane | None:
        if not self.settings.enable_message_ordering:
            return None
        key = PubsubMessage.FromString(message.body).ordering_key
        return self._lanes.setdefault(key, Lane(key)) if key else None

    def _first(self) -> Entry | None:
        """Return the next entry to take. If the first in the queue is not ready any more, drop it
        from the queue and return None.
        """
        first = self._ready[0]
        if not _is_ready(first):
            self._ready.popleft()
            return None
        return first.waiting[0] if isinstance(first, Lane) else first

    def _pop(self, entry: Entry) -> None:
        if entry.lane is None:
            self._ready.popleft()
        else:
            entry.lane.take()

    def _drop(self, lane: Lane, entry: Entry) -> None:
        """Drop the entry, and let its lane continue once none of its messages is held."""
        is_free_now = lane.drop(entry)
        if lane.is_empty:
            self._lanes.pop(lane.key, None)
        elif is_free_now:
            self._ready.append(lane)
            self.on_ready()

    def _redeliver(self, lane: Lane, entry: Entry, when: float) -> None:
        """Put back `entry` and those held behind it, in order."""
        for behind in lane.put_back(entry):
            self._release(behind)
        if lane.is_free:
            heapq.heappush(self._delayed, (when, next(self._serials), lane))


def size(message: NumberedMessage) -> int:
    """Return the bytes that a message takes in memory while it is unacked."""
    return len(message.body) + ENTRY_BYTES


def _is_current(deadline: float, serial: int, entry: Entry) -> bool:
    """Whether the entry is still leased under this number, until this deadline."""
    return entry.serial == serial and entry.deadline == deadline


def _is_ready(queued: Entry | Lane) -> bool:
    """Whether what was queued is ready: a lane if a message waits in it."""
    if isinstance(queued, Lane):
        return bool(queued.waiting)
    return queued.state is State.READY
