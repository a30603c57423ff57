"""Dead letters: messages that failed too often go to the topic of the dead-letter policy.

https://cloud.google.com/pubsub/docs/handling-failures#dead_letter_topic
"""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from botdel.local.broker.entry import Entry
from botdel.local.broker.names import parts
from botdel.local.broker.subscription import Subscription
from botdel.local.broker.topic import Topic
from botdel.local.broker.wire import Proto, PubsubMessage

if TYPE_CHECKING:
    from botdel.local.broker.broker import Broker

PREFIX: Final = "CloudPubSubDeadLetterSource"


def target(broker: "Broker", subscription: Subscription) -> Topic | None:
    """The dead-letter topic; None without a policy, when it does not exist any more, or while a
    subscription there owes too much to get more.
    """
    topic = broker.topics.get(subscription.settings.dead_letter_policy.dead_letter_topic)
    return topic if topic is not None and broker.full(topic) is None else None


def is_dead(subscription: Subscription, entry: Entry) -> bool:
    """Whether one more failure is the last that the policy allows."""
    return 0 < subscription.max_attempts <= entry.attempts + 1


def forward(
    broker: "Broker", source: Subscription, dead: Sequence[Entry], to: Topic
) -> Callable[[], None]:
    """Keep them as messages of topic `to`, and owe them no more at their `source`.

    In a transaction; what is returned delivers them once that is committed.
    """
    messages = [letter(source, entry) for entry in dead]
    kept = [broker.numbered(to, message) for message in messages]
    receivers = [
        (each, [k for k, m in zip(kept, messages, strict=True) if each.matches(m.attributes)])
        for each in to.subscriptions.values()
    ]
    broker.keep(to, kept, receivers)
    retain = bool(source.settings.retain_acked_messages)
    broker.journal.ack(source.id, [each.message.id for each in dead], retain=retain)

    def deliver() -> None:
        for subscription, some in receivers:
            subscription.add((message, 0) for message in some)

    return deliver


def letter(source: Subscription, entry: Entry) -> Proto:
    """The message as it was, with the attributes that say where it comes from."""
    message = PubsubMessage.FromString(entry.message.body)
    project, name = parts(source.name, "subscriptions")
    published = datetime.fromtimestamp(entry.message.published, UTC)
    for key, value in {
        "DeliveryCount": str(entry.attempts + 1),
        "Subscription": name,
        "SubscriptionProject": project,
        "TopicPublishTime": published.isoformat(timespec="milliseconds"),
    }.items():
        message.attributes[PREFIX + key] = value
    return message
