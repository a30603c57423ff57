"""The topology: topic, dead-letter topic, and one subscription for each service.

Names derive from the topic's (docs/decisions/0003): `T.dead-letter` is both the dead-letter
topic and the subscription that keeps what arrives there; `T.<service>` are the services'.
"""

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import partial

import structlog
from google.api_core.exceptions import AlreadyExists
from google.pubsub_v1.services.publisher import PublisherAsyncClient
from google.pubsub_v1.services.subscriber import SubscriberAsyncClient
from google.pubsub_v1.types import (
    DeadLetterPolicy,
    ExpirationPolicy,
    RetryPolicy,
    Subscription,
)

from deletion.adapters.pubsub import BOUNDED_RETRY, CALL_SECONDS, translated
from deletion.errors import BusUnavailable

log = structlog.get_logger(__name__)

MAX_DELIVERY_ATTEMPTS = 5
ACK_DEADLINE_SECONDS = 60
RETENTION = timedelta(days=7)
BACK_OFF = RetryPolicy(
    minimum_backoff=timedelta(seconds=10), maximum_backoff=timedelta(seconds=600)
)


@dataclass(frozen=True, slots=True)
class Names:
    """Full resource names, all derived from the project's id and the topic's."""

    project: str
    topic_id: str

    @property
    def topic(self) -> str:
        """Where events are published."""
        return f"projects/{self.project}/topics/{self.topic_id}"

    @property
    def dead_letter_topic(self) -> str:
        """Where Pub/Sub moves what was delivered too often."""
        return f"{self.topic}.dead-letter"

    @property
    def dead_letter_subscription(self) -> str:
        """Keeps it: a topic without a subscription loses what it is given."""
        return self.subscription("dead-letter")

    def subscription(self, service: str) -> str:
        """The subscription of one service."""
        return f"projects/{self.project}/subscriptions/{self.topic_id}.{service}"


class Topology:
    """Creates what is missing and reports what differs; it never changes what exists."""

    def __init__(
        self,
        publisher: PublisherAsyncClient,
        subscriber: SubscriberAsyncClient,
        names: Names,
        *,
        emulated: bool,
    ) -> None:
        self._publisher = publisher
        self._subscriber = subscriber
        self._emulated = emulated
        self.names = names

    async def ready_for(self, services: Sequence[str] = ()) -> None:
        """At a process's start: create what an emulator lacks, look for it on real Pub/Sub.

        Raises `TopologyMissing` there. A bus that does not answer is left to be waited for.
        """
        try:
            await (self.apply(services) if self._emulated else self.require(services))
        except BusUnavailable as error:
            log.warning("topology not checked", reason=str(error))

    def recreating(self, services: Sequence[str] = ()) -> Callable[[], Awaitable[object]] | None:
        """Puts the topology back where it can be lost: an emulator forgets it in a restart."""
        return partial(self.apply, services) if self._emulated else None

    async def apply(self, services: Iterable[str] = ()) -> list[str]:
        """Create what is missing, one line each for what exists with other settings.

        Safe to repeat and to race. Raises `BusUnavailable`.
        """
        differences = []
        for topic in (self.names.topic, self.names.dead_letter_topic):
            await self._create_topic(topic)
        for wanted in self._wanted(services):
            differences += await self._create_subscription(wanted)
        return differences

    async def require(self, services: Iterable[str] = ()) -> None:
        """Raise `TopologyMissing` with the first name that does not exist."""
        with translated(self.names.topic):
            await self._publisher.get_topic(
                topic=self.names.topic, retry=BOUNDED_RETRY, timeout=CALL_SECONDS
            )
        for service in services:
            with translated(self.names.subscription(service)):
                await self._subscriber.get_subscription(
                    subscription=self.names.subscription(service),
                    retry=BOUNDED_RETRY,
                    timeout=CALL_SECONDS,
                )

    async def _create_topic(self, topic: str) -> None:
        with translated(topic):
            try:
                await self._publisher.create_topic(
                    name=topic, retry=BOUNDED_RETRY, timeout=CALL_SECONDS
                )
            except AlreadyExists:
                return

    async def _create_subscription(self, wanted: Subscription) -> list[str]:
        with translated(wanted.name):
            try:
                await self._subscriber.create_subscription(
                    wanted, retry=BOUNDED_RETRY, timeout=CALL_SECONDS
                )
            except AlreadyExists:
                found = await self._subscriber.get_subscription(
                    subscription=wanted.name, retry=BOUNDED_RETRY, timeout=CALL_SECONDS
                )
                return _differences(wanted, found)
        return []

    def _wanted(self, services: Iterable[str]) -> list[Subscription]:
        keeper = Subscription(
            name=self.names.dead_letter_subscription,
            topic=self.names.dead_letter_topic,
            ack_deadline_seconds=ACK_DEADLINE_SECONDS,
            message_retention_duration=RETENTION,
            expiration_policy=ExpirationPolicy(),
            retry_policy=BACK_OFF,
        )
        return [keeper, *(self._of(service) for service in services)]

    def _of(self, service: str) -> Subscription:
        return Subscription(
            name=self.names.subscription(service),
            topic=self.names.topic,
            filter=f'NOT attributes:service OR attributes.service = "{service}"',
            ack_deadline_seconds=ACK_DEADLINE_SECONDS,
            message_retention_duration=RETENTION,
            expiration_policy=ExpirationPolicy(),
            retry_policy=BACK_OFF,
            dead_letter_policy=DeadLetterPolicy(
                dead_letter_topic=self.names.dead_letter_topic,
                max_delivery_attempts=MAX_DELIVERY_ATTEMPTS,
            ),
        )


def _differences(wanted: Subscription, found: Subscription) -> list[str]:
    """One line for each setting that is not as wanted."""
    return [
        f"{wanted.name}: {setting} is {was!r}, expected {expected!r}"
        for setting, expected in _settings(wanted).items()
        if (was := _settings(found)[setting]) != expected
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
    }
