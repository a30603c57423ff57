"""Publishing, acknowledging and expiry, over all topics and subscriptions.

Every change is first written to the journal and then made in memory, in one step of the event loop:
what is confirmed is on disk, and what could not be written has not happened.
"""

from collections.abc import Callable, Sequence
from typing import Final

import structlog

from botdel.local.broker import filters, letters
from botdel.local.broker.entry import Entry
from botdel.local.broker.fan_out import FanOut, fan_out
from botdel.local.broker.journal import Journal, NumberedMessage
from botdel.local.broker.limits import check_publish
from botdel.local.broker.refusals import Refused, exhausted, invalid, not_found, precondition
from botdel.local.broker.subscription import Subscription
from botdel.local.broker.topic import Topic
from botdel.local.broker.wire import Proto, seconds_in, stored, whole_microseconds
from botdel.local.broker.wire import Subscription as SubscriptionSettings
from botdel.local.broker.wire import Topic as TopicSettings

MAX_UNACKED_BYTES: Final = 1024**3
"""Bytes of unacked messages of one subscription, all in memory. Further messages are refused."""
MAX_DEADLINE: Final = 600
"""Seconds."""
COLLECTED: Final = 5_000
"""Messages on disk that one `collect` looks at, which takes a few milliseconds."""

log = structlog.get_logger(__name__)


class Broker:
    """The topics and subscriptions. `now` returns seconds since 1970, and never goes back."""

    def __init__(
        self,
        journal: Journal,
        now: Callable[[], float],
        max_unacked_bytes: int = MAX_UNACKED_BYTES,
    ) -> None:
        self.journal = journal
        self.now = now
        self.topics: dict[str, Topic] = {}
        self.subscriptions: dict[str, Subscription] = {}
        self.on_ready: Callable[[Subscription], None] = lambda _: None
        """Called with a subscription that may have something to deliver."""
        self.max_unacked_bytes = max_unacked_bytes
        self.last_message = 0
        """The highest number of a message so far."""
        self.fault: BaseException | None = None
        """An unexpected error that ended a seek: memory lacks messages that are on disk, so the
        broker must end.
        """
        self._collected_up_to = 0
        """The number of the last message that `collect` has looked at; 0 to begin anew."""

    def load(self) -> None:
        """Read back what the journal has; nothing is held. Raises ConfigurationError if it cannot
        be read.
        """
        with self.journal.usable():
            self._load()

    def _load(self) -> None:
        for number, body in self.journal.topics():
            topic = Topic(number, TopicSettings.FromString(body))
            self.topics[topic.name] = topic
        for number, body, epoch in self.journal.subscriptions():
            self.attach(number, SubscriptionSettings.FromString(body), epoch)
        by_number = {each.id: each for each in self.subscriptions.values()}
        shared: NumberedMessage | None = None
        for unacked in self.journal.unacked():
            if shared is None or shared.id != unacked.message.id:
                shared = unacked.message
            by_number[unacked.subscription].add([(shared, unacked.attempts)])
        # A message that nobody got was never inserted, so its number is unknown after a restart:
        # numbers therefore go on from the current time in microseconds.
        self.last_message = max(self.journal.last_message(), int(self.now() * 1e6))

    def attach(self, number: int, settings: Proto, epoch: int = 0) -> Subscription:
        """Add a subscription, and let it get what its topic publishes unless it is detached."""
        subscription = Subscription(number, settings, filters.parse(settings.filter), epoch)
        subscription.last_used = self.now()
        subscription.on_ready = lambda: self.on_ready(subscription)
        self.subscriptions[subscription.name] = subscription
        if not settings.detached and (topic := self.topics.get(settings.topic)):
            topic.subscriptions[subscription.name] = subscription
        return subscription

    def topic(self, name: str) -> Topic:
        """Return the topic. Raises `Refused` if there is none."""
        if name not in self.topics:
            raise not_found(name)
        return self.topics[name]

    def subscription(self, name: str) -> Subscription:
        """Return the subscription. Raises `Refused` if there is none."""
        if name not in self.subscriptions:
            raise not_found(name)
        return self.subscriptions[name]

    def use(self, name: str) -> Subscription:
        """Return a subscription, and record that it is used now, so that it does not expire.

        Raises `Refused` if there is none, or it is detached.
        """
        subscription = self.subscription(name)
        if subscription.settings.detached:
            raise precondition(f"The subscription {name} is detached from its topic.")
        subscription.last_used = self.now()
        return subscription

    def publish(self, request: Proto) -> list[str]:
        """Keep all messages, and return their ids in order. Raises `Refused`."""
        topic = self.topic(request.topic)
        check_publish(request)
        if (full := self._full_subscription(topic)) is not None:
            raise exhausted(f"{full.name} has {full.bytes} bytes to acknowledge already")
        sent = self._fan_out(topic, request.messages)
        with self.journal.transaction():
            sent.write(self.journal)
        sent.deliver()
        return [str(message.id) for message in sent.messages]

    def acknowledge(self, subscription: Subscription, ack_ids: Sequence[str]) -> None:
        """Acknowledge messages. Raises `Refused` for an invalid id, or if it cannot be kept."""
        if not (entries := subscription.unacked(ack_ids)):
            return
        with self.journal.transaction():
            self._ack(subscription, entries)
        subscription.remove(entries)

    def modify(self, subscription: Subscription, ack_ids: Sequence[str], seconds: int) -> None:
        """Move deadlines to `seconds` from now; 0 gives the messages back as failed.

        A message that is no longer held is left alone. Raises `Refused`.
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

        While its dead-letter topic is missing or full, a message is delivered again. Raises
        `Refused` if the change cannot be kept.
        """
        if not entries:
            return
        target = self._dead_letter_topic(subscription)
        counts_failures = _counts_failures(subscription)
        dead: list[Entry] = []
        again: list[Entry] = []
        for each in entries:
            is_dead = target is not None and letters.is_dead(subscription, each)
            (dead if is_dead else again).append(each)
        dead_letters = [letters.letter(subscription, each) for each in dead]
        sent = self._fan_out(target, dead_letters) if target and dead else None
        with self.journal.transaction():
            if counts_failures:
                attempts = ((each.message.id, each.attempts + 1) for each in again)
                self.journal.count_attempts(subscription.id, attempts)
            if sent is not None:
                sent.write(self.journal)
                self._ack(subscription, dead)
        subscription.give_back(again, self.now(), failed=counts_failures)
        subscription.remove(dead)
        if sent is not None:
            sent.deliver()

    def fail_or_give_back(self, subscription: Subscription, entries: Sequence[Entry]) -> None:
        """`fail` for when no client waits for an answer: if the disk does not take the change, the
        messages are delivered again, uncounted.
        """
        try:
            self.fail(subscription, entries)
        except Refused as error:
            log.warning("failed deliveries were not counted", reason=str(error))
            subscription.give_back(entries, self.now(), failed=False)

    def expire_leases(self) -> None:
        """Give back what is held after its deadline, and make ready what was delayed until now.

        Raises `fault`.
        """
        if self.fault is not None:
            raise self.fault
        now = self.now()
        for subscription in list(self.subscriptions.values()):
            if overdue := subscription.overdue(now):
                self.fail_or_give_back(subscription, overdue)
            if subscription.wake(now):
                subscription.on_ready()

    def expire_messages(self) -> None:
        """Drop messages that are older than their subscription keeps them."""
        now = self.now()
        for subscription in self.subscriptions.values():
            oldest = now - self.retention(subscription)
            old = subscription.older_than(oldest)
            if old or subscription.retains_acked:
                with self.journal.transaction():
                    numbers = [each.message.id for each in old]
                    self.journal.ack(subscription.id, numbers, retain=False)
                    self.journal.forget_acked(subscription.id, oldest)
                subscription.remove(old)

    def collect(self) -> bool:
        """Remove from disk some messages that no subscription keeps and no topic retains.

        Returns whether there may be more.
        """
        with self.journal.transaction():
            self._collected_up_to = self.journal.collect(
                self._collected_up_to, COLLECTED, self.now()
            )
        return self._collected_up_to > 0

    def retention(self, subscription: Subscription) -> float:
        """Return the seconds for which it keeps a message: its own or its topic's, if longer."""
        own = seconds_in(subscription.settings.message_retention_duration)
        topic = self.topics.get(subscription.settings.topic)
        return max(own, topic.retention if topic else 0.0)

    def _full_subscription(self, topic: Topic) -> Subscription | None:
        """Return a subscription of the topic with too much unacked to get more, or None."""
        for subscription in topic.subscriptions.values():
            if subscription.bytes > self.max_unacked_bytes:
                return subscription
        return None

    def _dead_letter_topic(self, subscription: Subscription) -> Topic | None:
        """Return None without a policy, and while the topic does not exist or is full."""
        topic = self.topics.get(subscription.settings.dead_letter_policy.dead_letter_topic)
        if topic is None or self._full_subscription(topic) is not None:
            return None
        return topic

    def _fan_out(self, topic: Topic, messages: Sequence[Proto]) -> FanOut:
        """Number the messages, and choose who gets each. Nothing is kept yet."""
        return fan_out(topic, messages, [self._numbered(topic, each) for each in messages])

    def _numbered(self, topic: Topic, message: Proto) -> NumberedMessage:
        self.last_message += 1
        published = whole_microseconds(self.now())
        body = stored(message, self.last_message, published)
        return NumberedMessage(self.last_message, topic.id, published, body)

    def _ack(self, subscription: Subscription, entries: Sequence[Entry]) -> None:
        """Acknowledge on disk, in a transaction."""
        numbers = [each.message.id for each in entries]
        self.journal.ack(subscription.id, numbers, retain=subscription.retains_acked)


def _counts_failures(subscription: Subscription) -> bool:
    """Whether the subscription's policies need to know how often a message has failed."""
    settings = subscription.settings
    return bool(settings.HasField("dead_letter_policy") or settings.HasField("retry_policy"))
