"""Publishing, acknowledging and expiry, over all topics and subscriptions.

Every change is written to the journal first and made in memory after it, in one step of the event
loop: what is confirmed is kept, and what could not be kept has not happened.
"""

from collections.abc import Callable, Sequence
from typing import Final

import structlog

from botdel.local.broker import filters, letters
from botdel.local.broker.entry import Entry
from botdel.local.broker.journal import Journal, Kept
from botdel.local.broker.limits import check_publish
from botdel.local.broker.refusals import Refused, exhausted, invalid, not_found, precondition
from botdel.local.broker.subscription import Subscription
from botdel.local.broker.topic import Topic
from botdel.local.broker.wire import Proto, stored, whole_microseconds
from botdel.local.broker.wire import Subscription as SubscriptionSettings
from botdel.local.broker.wire import Topic as TopicSettings

MAX_OWED_BYTES: Final = 1024**3
"""Of messages that one subscription owes, all in memory. More are refused."""
MAX_DEADLINE: Final = 600
COLLECTED: Final = 5_000
"""Messages on disk that one `collect` looks at, which takes some milliseconds."""

log = structlog.get_logger(__name__)


class Broker:
    """`now` returns seconds since 1970 and never goes back."""

    def __init__(
        self,
        journal: Journal,
        now: Callable[[], float],
        max_owed_bytes: int = MAX_OWED_BYTES,
    ) -> None:
        self.journal = journal
        self.now = now
        self.topics: dict[str, Topic] = {}
        self.subscriptions: dict[str, Subscription] = {}
        self.on_ready: Callable[[Subscription], None] = lambda _: None
        """Called with a subscription that may have something to deliver."""
        self.max_owed_bytes = max_owed_bytes
        self.last_message = 0
        """The highest number that a message has."""
        self.fault: BaseException | None = None
        """What broke a seek off, so that memory lacks what is on disk: the broker must end."""
        self._collected = 0

    def load(self) -> None:
        """Read back what the journal has. Nothing is held. Raises ConfigurationError."""
        with self.journal.usable():
            self._load()

    def _load(self) -> None:
        for number, body in self.journal.topics():
            topic = Topic(number, TopicSettings.FromString(body))
            self.topics[topic.name] = topic
        for number, body, epoch in self.journal.subscriptions():
            self.attach(number, SubscriptionSettings.FromString(body), epoch)
        by_number = {each.id: each for each in self.subscriptions.values()}
        shared: Kept | None = None
        for owed in self.journal.owed():  # the rows of one message follow each other
            if shared is None or shared.id != owed.message.id:
                shared = owed.message
            by_number[owed.subscription].add([(shared, owed.attempts)])
        # Microseconds: a number that a message without a subscription had is not used again.
        self.last_message = max(self.journal.last_message(), int(self.now() * 1e6))

    def attach(self, number: int, settings: Proto, epoch: int = 0) -> Subscription:
        """Have a subscription, and let it get what its topic publishes."""
        subscription = Subscription(number, settings, filters.parse(settings.filter), epoch)
        subscription.used = self.now()
        subscription.on_ready = lambda: self.on_ready(subscription)
        self.subscriptions[subscription.name] = subscription
        if not settings.detached and (topic := self.topics.get(settings.topic)):
            topic.subscriptions[subscription.name] = subscription
        return subscription

    def topic(self, name: str) -> Topic:
        """Raises `Refused` when there is none."""
        if name not in self.topics:
            raise not_found(name)
        return self.topics[name]

    def subscription(self, name: str) -> Subscription:
        """Raises `Refused` when there is none."""
        if name not in self.subscriptions:
            raise not_found(name)
        return self.subscriptions[name]

    def used(self, name: str) -> Subscription:
        """One that is used now, so that it does not expire. Raises `Refused` when there is none, or
        it is detached.
        """
        subscription = self.subscription(name)
        if subscription.settings.detached:
            raise precondition(f"The subscription {name} is detached from its topic.")
        subscription.used = self.now()
        return subscription

    def publish(self, request: Proto) -> list[str]:
        """The ids of the messages, in their order, once all of them are kept."""
        topic = self.topic(request.topic)
        check_publish(request)
        if (full := self.full(topic)) is not None:
            raise exhausted(f"{full.name} owes {full.bytes} bytes already")
        kept = [self.numbered(topic, message) for message in request.messages]
        receivers = [
            (subscription, _matching(subscription, kept, request.messages))
            for subscription in topic.subscriptions.values()
        ]
        with self.journal.transaction():
            self.keep(topic, kept, receivers)
        for subscription, messages in receivers:
            subscription.add((message, 0) for message in messages)
        return [str(message.id) for message in kept]

    def full(self, topic: Topic) -> Subscription | None:
        """A subscription of the topic that owes too much to get more."""
        receivers = topic.subscriptions.values()
        return next((each for each in receivers if each.bytes > self.max_owed_bytes), None)

    def numbered(self, topic: Topic, message: Proto) -> Kept:
        """A message with its number and the time, before anything is kept."""
        self.last_message += 1
        published = whole_microseconds(self.now())
        body = stored(message, self.last_message, published)
        return Kept(self.last_message, topic.id, published, body)

    def keep(
        self,
        topic: Topic,
        messages: Sequence[Kept],
        receivers: Sequence[tuple[Subscription, Sequence[Kept]]],
    ) -> None:
        """Keep what is owed to `receivers`, and all when the topic retains it. In a transaction."""
        owed = [(each.id, to.id) for to, some in receivers for each in some]
        if not topic.retention:
            wanted = {number for number, _ in owed}
            messages = [message for message in messages if message.id in wanted]
        self.journal.add(messages, owed)

    def acknowledge(self, subscription: Subscription, ack_ids: Sequence[str]) -> None:
        """Raises `Refused` when an id is none, or the change cannot be kept."""
        self._acknowledged(subscription, subscription.owed(ack_ids))

    def modify(self, subscription: Subscription, ack_ids: Sequence[str], seconds: int) -> None:
        """Move deadlines to `seconds` from now; 0 gives the messages back as failed.

        What is not held any more is left alone. Raises `Refused`.
        """
        if not 0 <= seconds <= MAX_DEADLINE:
            raise invalid(f"ack_deadline_seconds: expected 0 to {MAX_DEADLINE}, found {seconds}")
        held = subscription.held(ack_ids)
        if seconds:
            subscription.extend(held, self.now() + seconds)
        else:
            self.fail(subscription, held)

    def fail(self, subscription: Subscription, entries: Sequence[Entry]) -> None:
        """Count a failed delivery of each: it is delivered again, or forwarded as a dead letter.

        A message goes on being delivered while its dead-letter topic is missing, or a subscription
        there owes too much. Raises `Refused`.
        """
        if not entries:
            return
        target, counts = letters.target(self, subscription), _counts(subscription)
        dead: list[Entry] = []
        failed: list[Entry] = []
        for each in entries:
            is_dead = target is not None and letters.is_dead(subscription, each)
            (dead if is_dead else failed).append(each)
        with self.journal.transaction():
            if counts:
                counted = ((each.message.id, each.attempts + 1) for each in failed)
                self.journal.count_attempts(subscription.id, counted)
            deliver = letters.forward(self, subscription, dead, target) if target and dead else None
        subscription.give_back(failed, self.now(), failed=counts)
        subscription.remove(dead)
        if deliver is not None:
            deliver()

    def fail_or_give_back(self, subscription: Subscription, entries: Sequence[Entry]) -> None:
        """`fail`, where no client waits for an answer: what the disk does not take is delivered
        again, uncounted.
        """
        try:
            self.fail(subscription, entries)
        except Refused as error:
            log.warning("failed deliveries were not counted", reason=str(error))
            subscription.give_back(entries, self.now(), failed=False)

    def expire_leases(self) -> None:
        """Give back what is held beyond its deadline, and make ready what was delayed until now.

        Raises `fault`.
        """
        if self.fault is not None:
            raise self.fault
        now = self.now()
        for subscription in list(self.subscriptions.values()):
            if expired := subscription.expired(now):
                self.fail_or_give_back(subscription, expired)
            if subscription.wake(now):
                subscription.on_ready()

    def expire_messages(self) -> None:
        """Drop what is older than its subscription keeps it."""
        now = self.now()
        for subscription in self.subscriptions.values():
            oldest = now - self.retention(subscription)
            old = subscription.older_than(oldest)
            if old or self._retains(subscription):
                with self.journal.transaction():
                    numbers = [each.message.id for each in old]
                    self.journal.ack(subscription.id, numbers, retain=False)
                    self.journal.forget_acked(subscription.id, oldest)
                subscription.remove(old)

    def collect(self) -> bool:
        """Remove some of what nobody is owed from the disk. Returns whether there may be more."""
        with self.journal.transaction():
            self._collected = self.journal.collect(self._collected, COLLECTED, self.now())
        return self._collected > 0

    def retention(self, subscription: Subscription) -> float:
        """Seconds for which it keeps a message: its own, or its topic's if that is longer."""
        own = float(subscription.settings.message_retention_duration.ToNanoseconds() / 1e9)
        topic = self.topics.get(subscription.settings.topic)
        return max(own, topic.retention if topic else 0.0)

    def _acknowledged(self, subscription: Subscription, entries: Sequence[Entry]) -> None:
        if not entries:
            return
        with self.journal.transaction():
            numbers = [each.message.id for each in entries]
            self.journal.ack(subscription.id, numbers, retain=self._retains(subscription))
        subscription.remove(entries)

    @staticmethod
    def _retains(subscription: Subscription) -> bool:
        return bool(subscription.settings.retain_acked_messages)


def _counts(subscription: Subscription) -> bool:
    """Whether it matters how often a message has failed."""
    settings = subscription.settings
    return bool(settings.HasField("dead_letter_policy") or settings.HasField("retry_policy"))


def _matching(
    subscription: Subscription, kept: Sequence[Kept], messages: Sequence[Proto]
) -> Sequence[Kept]:
    if subscription.matches is filters.everything:
        return kept
    pairs = zip(kept, messages, strict=True)
    return [each for each, message in pairs if subscription.matches(message.attributes)]
