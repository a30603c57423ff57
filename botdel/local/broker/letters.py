"""Dead letters: messages that failed too often go to the topic of the dead-letter policy.

https://cloud.google.com/pubsub/docs/handling-failures#dead_letter_topic
"""

from datetime import UTC, datetime
from typing import Final

from botdel.local.broker.entry import Entry
from botdel.local.broker.names import parts
from botdel.local.broker.subscription import Subscription
from botdel.local.broker.wire import Proto, PubsubMessage

PREFIX: Final = "CloudPubSubDeadLetterSource"


def is_dead(subscription: Subscription, entry: Entry) -> bool:
    """Whether one more failure is the last that the policy allows."""
    return 0 < subscription.max_attempts <= entry.attempts + 1


def letter(source: Subscription, entry: Entry) -> Proto:
    """Return the message as it was, with attributes that say where it comes from."""
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
