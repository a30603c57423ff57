"""Messages for one topic, and which of its subscriptions get each."""

from collections.abc import Sequence
from typing import NamedTuple

from botdel.local.broker import filters
from botdel.local.broker.journal import Journal, Kept
from botdel.local.broker.subscription import Subscription
from botdel.local.broker.topic import Topic
from botdel.local.broker.wire import Proto


class FanOut(NamedTuple):
    """Numbered messages, and those that each subscription gets. Call `keep`, then `deliver`."""

    topic: Topic
    messages: Sequence[Kept]
    receivers: Sequence[tuple[Subscription, Sequence[Kept]]]

    def keep(self, journal: Journal) -> None:
        """Keep what somebody gets, or all if the topic retains messages. In a transaction."""
        deliveries = [(each.id, to.id) for to, some in self.receivers for each in some]
        messages = self.messages
        if not self.topic.retention:
            wanted = {number for number, _ in deliveries}
            messages = [message for message in messages if message.id in wanted]
        journal.add(messages, deliveries)

    def deliver(self) -> None:
        for subscription, some in self.receivers:
            subscription.add((message, 0) for message in some)


def fan_out(topic: Topic, kept: Sequence[Kept], messages: Sequence[Proto]) -> FanOut:
    """Return who gets each of `messages`, which are `kept` once they are numbered."""
    receivers = [(each, _matching(each, kept, messages)) for each in topic.subscriptions.values()]
    return FanOut(topic, kept, receivers)


def _matching(
    subscription: Subscription, kept: Sequence[Kept], messages: Sequence[Proto]
) -> Sequence[Kept]:
    if subscription.matches is filters.everything:
        return kept
    pairs = zip(kept, messages, strict=True)
    return [each for each, message in pairs if subscription.matches(message.attributes)]
