"""The wanted settings of topics and subscriptions, and how existing ones differ."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from google.protobuf.duration_pb2 import Duration
from google.pubsub_v1.types import (
    DeadLetterPolicy,
    ExpirationPolicy,
    RetryPolicy,
    Subscription,
    Topic,
)

from deletion.adapters.pubsub.names import Names

MAX_DELIVERY_ATTEMPTS: Final = 5
ACK_DEADLINE_SECONDS: Final = 60
RETENTION: Final = timedelta(days=31)
"""The longest Pub/Sub keeps a message, on a topic and on a subscription."""
EMULATED_RETENTION: Final = timedelta(days=7)
"""The longest retention of a subscription on the emulator (0.8.20); of a topic it is 31 days."""
BACK_OFF: Final = RetryPolicy(
    minimum_backoff=timedelta(seconds=10), maximum_backoff=timedelta(seconds=600)
)
DELETED_TOPIC: Final = "_deleted-topic_"
"""The topic that Pub/Sub shows for a subscription whose topic was deleted. A topic that is
created again under the same name is a different one."""

SEEK_LABEL, SEEK_PENDING = "botdel-seek", "pending"
"""The label of a new subscription until it has been sought back (docs/decisions/0023)."""


@dataclass(frozen=True, slots=True)
class Difference:
    """One setting of `resource`, a topic or subscription, that differs from what is wanted."""

    resource: str
    setting: str
    found: object
    expected: object

    def __str__(self) -> str:
        return f"{self.setting} is {_shown(self.found)}, expected {_shown(self.expected)}"


def wanted_topics(names: Names) -> list[Topic]:
    """The topics of events, dead letters and completions as they should be."""
    return [
        Topic(name=name, message_retention_duration=RETENTION)
        for name in (names.topic, names.dead_letter_topic, names.completed_topic)
    ]


def wanted_keeper(names: Names, *, emulated: bool) -> Subscription:
    """The subscription of the dead-letter topic as it should be."""
    return _lasting(names.dead_letter_subscription, names.dead_letter_topic, emulated=emulated)


def wanted_ledger(names: Names, *, emulated: bool) -> Subscription:
    """The subscription of the request ledger as it should be.

    It gets requests, not the messages addressed to one service. No dead-letter policy: each
    service's own subscription has one, and a request stays here until the ledger has recorded it.
    """
    wanted = _lasting(names.ledger_subscription, names.topic, emulated=emulated)
    wanted.filter = "NOT attributes:service"
    return wanted


def wanted_subscription(names: Names, service: str, *, emulated: bool) -> Subscription:
    """The subscription of a service as it should be."""
    wanted = _lasting(names.subscription(service), names.topic, emulated=emulated)
    wanted.filter = f'NOT attributes:service OR attributes.service = "{service}"'
    wanted.dead_letter_policy = DeadLetterPolicy(
        dead_letter_topic=names.dead_letter_topic, max_delivery_attempts=MAX_DELIVERY_ATTEMPTS
    )
    return wanted


def wanted_canary(names: Names, service: str, *, emulated: bool) -> Subscription:
    """The subscription of a canary: like a service's, but it gets canaries only.

    It expires by itself if nobody deletes it.
    """
    wanted = wanted_subscription(names, service, emulated=emulated)
    wanted.filter = f'attributes.service = "{service}"'
    wanted.ack_deadline_seconds = 10  # Pub/Sub allows no less for these three
    wanted.message_retention_duration = Duration(seconds=600)
    wanted.expiration_policy = ExpirationPolicy(ttl=timedelta(days=1))
    del wanted.retry_policy  # redelivered at once
    return wanted


def subscription_differences(wanted: Subscription, found: Subscription) -> list[Difference]:
    """The differences in every setting that matters to this pipeline."""
    return _differences(wanted.name, _settings(wanted), _settings(found))


def topic_differences(wanted: Topic, found: Topic) -> list[Difference]:
    """The difference in retention; keys and storage policies are the operator's choice."""
    setting = "message_retention_duration"
    expected, was = wanted.message_retention_duration, found.message_retention_duration
    return _differences(wanted.name, {setting: expected}, {setting: was})


def _lasting(name: str, topic: str, *, emulated: bool) -> Subscription:
    """A subscription that never expires and keeps messages for as long as the broker allows."""
    return Subscription(
        name=name,
        topic=topic,
        ack_deadline_seconds=ACK_DEADLINE_SECONDS,
        message_retention_duration=EMULATED_RETENTION if emulated else RETENTION,
        expiration_policy=ExpirationPolicy(),
        retry_policy=BACK_OFF,
    )


def _differences(
    resource: str, expected: Mapping[str, object], found: Mapping[str, object]
) -> list[Difference]:
    return [
        Difference(resource, setting, found[setting], value)
        for setting, value in expected.items()
        if found[setting] != value
    ]


def _settings(subscription: Subscription) -> Mapping[str, object]:
    retry, dead_letter = subscription.retry_policy, subscription.dead_letter_policy
    return {
        "topic": subscription.topic,
        "filter": subscription.filter,
        "ack_deadline_seconds": subscription.ack_deadline_seconds,
        "message_retention_duration": subscription.message_retention_duration,
        "expiration_policy.ttl": subscription.expiration_policy.ttl,
        "retry_policy.minimum_backoff": retry.minimum_backoff,
        "retry_policy.maximum_backoff": retry.maximum_backoff,
        "dead_letter_policy.dead_letter_topic": dead_letter.dead_letter_topic,
        "dead_letter_policy.max_delivery_attempts": dead_letter.max_delivery_attempts,
        f"labels.{SEEK_LABEL}": subscription.labels.get(SEEK_LABEL),
    }


def _shown(value: object) -> str:
    return repr(value) if isinstance(value, str) else str(value)
