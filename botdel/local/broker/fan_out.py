"""Messages for one topic, and which of its subscriptions get each."""

from collections.abc import Sequence
from typing import NamedTuple

from botdel.local.broker import filters
from botdel.local.broker.journal import Journal, NumberedMessage
from botdel.local.broker.subscription import Subscription
from botdel.local.broker.topic import Topic
from botdel.local.broker.wire import Proto


class FanOut(NamedTuple):
    """Messages of a topic, and those that each subscription gets. Call `write`, then `deliver`."""

    topic: Topic
    messages: Sequence[NumberedMessage]
    shares: Sequence[tuple[Subscription, Sequence[NumberedMessage]]]

    def write(self, journal: Journal) -> None:
        """Write what somebody gets, or everything if the topic retains messages. Call it in a
        transaction.
        """
        deliveries = [(each.id, to.id) for to, share in self.shares for each in share]
        messages = self.messages
        if not self.topic.retention:
            wanted = {number for number, _ in deliveries}
            messages = [message for message in messages if message.id in wanted]
        journal.add(messages, deliveries)

    def deliver(self) -> None:
        for subscription, share in self.shares:
            subscription.add((message, 0) for message in share)


def fan_out(topic: Topic, messages: Sequence[Proto], numbered: Sequence[NumberedMessage]) -> FanOut:
    """Return which subscriptions get each of `messages`. `numbered` are the same messages, in the
    same order.
    """
    subscriptions = topic.subscriptions.values()
    shares = [(each, _share(each, messages, numbered)) for each in subscriptions]
    return FanOut(topic, numbered, shares)


def _share(
    subscription: Subscription, messages: Sequence[Proto], numbered: Sequence[NumberedMessage]
) -> Sequence[NumberedMessage]:
    if subscription.matches is filters.everything:
        return numbered
    pairs = zip(messages, numbered, strict=True)
    return [each for message, each in pairs if subscription.matches(message.attributes)]
