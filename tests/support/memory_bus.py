"""A topic and its subscriptions in memory, for tests, with at-least-once delivery as in Pub/Sub."""

import asyncio
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import count

from deletion.bus import Delivery, Message
from deletion.clock import Clock
from deletion.errors import BusUnavailable


@dataclass
class Copy:
    """One message on one subscription."""

    message: Message
    message_id: str
    published_at: datetime
    due: datetime
    attempts: int = 0
    ack_id: str = ""


class MemorySubscription:
    """`deletion.bus.Subscription` in memory: at-least-once delivery, ack deadlines and back-off.

    `ack_deadline`, `back_off` and `pull_wait` are seconds. While `down`, every call raises
    `BusUnavailable`; `ack_faults` are raised by the next acks, one each.
    """

    def __init__(
        self,
        clock: Clock,
        *,
        ack_deadline: float = 60,
        back_off: float = 10,
        pull_wait: float = 3,
        journal: list[str] | None = None,
    ) -> None:
        self._clock = clock
        self._ack_deadline = timedelta(seconds=ack_deadline)
        self._back_off = timedelta(seconds=back_off)
        self._pull_wait = timedelta(seconds=pull_wait)
        self._copies: list[Copy] = []
        self._ack_ids = count(1)
        self._arrived = asyncio.Event()
        self.journal = journal if journal is not None else []
        self.down = False
        self.ack_faults: deque[BaseException] = deque()
        self.pulls: list[int] = []
        self.acked: list[str] = []
        self.nacked: list[str] = []

    @property
    def unacked(self) -> list[str]:
        """The ids of the messages that will be delivered, or delivered again."""
        return [copy.message_id for copy in self._copies]

    def put(self, message: Message, message_id: str) -> None:
        """Add a message that was published."""
        now = self._clock.now()
        self._copies.append(Copy(message, message_id, published_at=now, due=now))
        self._arrived.set()

    async def pull(self, limit: int) -> list[Delivery]:
        """See the port."""
        self._answer()
        self.pulls.append(limit)
        deadline = self._clock.now() + self._pull_wait
        while True:
            now = self._clock.now()
            due = self._due(now)[:limit]
            if due or now >= deadline:
                return [self._deliver(copy) for copy in due]
            await self._arrival(min([deadline, *(copy.due for copy in self._copies)]) - now)

    async def ack(self, deliveries: Sequence[Delivery]) -> None:
        """See the port. A late ack counts if the message was not delivered again since."""
        self._answer()
        if self.ack_faults:
            raise self.ack_faults.popleft()
        for copy in self._held(deliveries):
            self._copies.remove(copy)
            self.acked.append(copy.message_id)
            self.journal.append(f"ack {copy.message_id}")

    async def nack(self, deliveries: Sequence[Delivery]) -> None:
        """See the port. The first redelivery is immediate, as measured on the emulator."""
        self._answer()
        for copy in self._held(deliveries):
            copy.due = self._clock.now() + self._wait(copy)
            self.nacked.append(copy.message_id)
            self.journal.append(f"nack {copy.message_id}")
        self._arrived.set()

    def _due(self, now: datetime) -> list[Copy]:
        """The messages that may be delivered, in order."""
        return [copy for copy in self._copies if copy.due <= now]

    def _wait(self, copy: Copy) -> timedelta:
        """Seconds between a nack and the next delivery."""
        return self._back_off * min(1, copy.attempts - 1)

    def _answer(self) -> None:
        if self.down:
            raise BusUnavailable("the subscription is down")

    def _deliver(self, copy: Copy) -> Delivery:
        copy.attempts += 1
        copy.ack_id = f"{copy.message_id}#{next(self._ack_ids)}"
        copy.due = self._clock.now() + self._ack_deadline
        return Delivery(
            copy.message, copy.message_id, copy.ack_id, copy.attempts, copy.published_at
        )

    def _held(self, deliveries: Sequence[Delivery]) -> list[Copy]:
        held = {delivery.ack_id for delivery in deliveries}
        return [copy for copy in self._copies if copy.ack_id in held]

    async def _arrival(self, wait: timedelta) -> None:
        self._arrived.clear()
        tasks = [
            asyncio.create_task(self._clock.sleep(wait.total_seconds())),
            asyncio.create_task(self._arrived.wait()),
        ]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            for task in tasks:
                task.cancel()


class MemoryBus:
    """`deletion.bus.Publisher` of one topic, and its subscriptions. While `down` it raises."""

    def __init__(self, clock: Clock, journal: list[str] | None = None) -> None:
        self._clock = clock
        self._ids = count(1)
        self._subscriptions: list[MemorySubscription] = []
        self.journal = journal if journal is not None else []
        self.down = False
        self.published: list[Message] = []

    def subscribe(
        self, *, ack_deadline: float = 60, back_off: float = 10, pull_wait: float = 3
    ) -> MemorySubscription:
        """A new subscription, which gets what is published from now on. All times are seconds."""
        subscription = MemorySubscription(
            self._clock,
            ack_deadline=ack_deadline,
            back_off=back_off,
            pull_wait=pull_wait,
            journal=self.journal,
        )
        self.attach(subscription)
        return subscription

    def attach(self, subscription: MemorySubscription) -> None:
        """Add a subscription, which gets what is published from now on."""
        self._subscriptions.append(subscription)

    async def publish(self, message: Message) -> None:
        """See the port."""
        if self.down:
            raise BusUnavailable("the topic is down")
        self.put(message)

    def put(self, message: Message) -> None:
        """Deliver a message with a new id to every subscription."""
        message_id = str(next(self._ids))
        self.published.append(message)
        for subscription in self._subscriptions:
            subscription.put(message, message_id)
