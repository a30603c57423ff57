"""The topology: topic, dead-letter topic, and one subscription for each service.

Names derive from the topic's (docs/decisions/0003): `T.dead-letter` is both the dead-letter
topic and the subscription that keeps what arrives there; `T.<service>` are the services'.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from functools import partial

import structlog
from google.api_core.exceptions import AlreadyExists, NotFound
from google.protobuf.duration_pb2 import Duration
from google.pubsub_v1.services.publisher import PublisherAsyncClient
from google.pubsub_v1.services.subscriber import SubscriberAsyncClient
from google.pubsub_v1.types import (
    DeadLetterPolicy,
    ExpirationPolicy,
    RetryPolicy,
    Subscription,
)

from deletion.adapters.pubsub.connection import BOUNDED_RETRY, CALL_SECONDS, translated
from deletion.adapters.pubsub.names import Names
from deletion.errors import BusUnavailable

log = structlog.get_logger(__name__)

MAX_DELIVERY_ATTEMPTS = 5
ACK_DEADLINE_SECONDS = 60
RETENTION = timedelta(days=7)
BACK_OFF = RetryPolicy(
    minimum_backoff=timedelta(seconds=10), maximum_backoff=timedelta(seconds=600)
)


@dataclass(frozen=True, slots=True)
class Difference:
    """One setting of a subscription that is not as it should be."""

    subscription: str
    setting: str
    found: object
    expected: object

    def __str__(self) -> str:
        return f"{self.setting} is {_shown(self.found)}, expected {_shown(self.expected)}"


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

    async def apply(self, services: Iterable[str] = ()) -> list[Difference]:
        """Create what is missing, and answer with what exists and differs.

        Safe to repeat and to race. Raises `BusUnavailable`.
        """
        differences = []
        for topic in (self.names.topic, self.names.dead_letter_topic):
            await self._create_topic(topic)
        for wanted in self.wanted(services):
            differences += await self._create_subscription(wanted)
        return differences

    async def require(self, services: Iterable[str] = ()) -> None:
        """Raise `TopologyMissing` with the first name that does not exist."""
        await self.require_topic(self.names.topic)
        for service in services:
            await self._get_subscription(self.names.subscription(service))

    async def require_topic(self, topic: str) -> None:
        """Raise `TopologyMissing` when there is no such topic."""
        with translated(topic):
            await self._publisher.get_topic(topic=topic, retry=BOUNDED_RETRY, timeout=CALL_SECONDS)

    async def compare(self, wanted: Subscription) -> list[Difference]:
        """How what exists differs. Raises `TopologyMissing` when nothing does."""
        return _differences(wanted, await self._get_subscription(wanted.name))

    async def services(self) -> list[str]:
        """Those that have a subscription on the topic. Raises `TopologyMissing`."""
        with translated(self.names.topic):
            attached = await self._publisher.list_topic_subscriptions(
                topic=self.names.topic, retry=BOUNDED_RETRY, timeout=CALL_SECONDS
            )
            found = [self.names.service_of(subscription) async for subscription in attached]
        return sorted(service for service in found if service)

    @asynccontextmanager
    async def canary(self, service: str) -> AsyncIterator[str]:
        """The path of a subscription for one canary: a service's, but it gets nothing else.

        It is deleted at the end, and expires by itself should this process be killed before.
        """
        wanted = self._of(service)
        wanted.filter = f'attributes.service = "{service}"'
        wanted.ack_deadline_seconds = 10  # these three are the least that Pub/Sub allows
        wanted.message_retention_duration = Duration(seconds=600)
        wanted.expiration_policy = ExpirationPolicy(ttl=timedelta(days=1))
        del wanted.retry_policy  # again at once
        try:
            await self._create_subscription(wanted)
            yield wanted.name
        finally:
            with translated(wanted.name), suppress(NotFound):
                await self._subscriber.delete_subscription(
                    subscription=wanted.name, retry=BOUNDED_RETRY, timeout=CALL_SECONDS
                )

    def wanted(self, services: Iterable[str]) -> list[Subscription]:
        """How every subscription should be: that of the dead letters, and the services'."""
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

    async def _create_topic(self, topic: str) -> None:
        with translated(topic), suppress(AlreadyExists):
            await self._publisher.create_topic(
                name=topic, retry=BOUNDED_RETRY, timeout=CALL_SECONDS
            )

    async def _create_subscription(self, wanted: Subscription) -> list[Difference]:
        with translated(f"the topic of {wanted.name}"):
            try:
                await self._subscriber.create_subscription(
                    wanted, retry=BOUNDED_RETRY, timeout=CALL_SECONDS
                )
            except AlreadyExists:
                return await self.compare(wanted)
        return []

    async def _get_subscription(self, path: str) -> Subscription:
        with translated(path):
            return await self._subscriber.get_subscription(
                subscription=path, retry=BOUNDED_RETRY, timeout=CALL_SECONDS
            )


def _differences(wanted: Subscription, found: Subscription) -> list[Difference]:
    """In every setting this pipeline cares for."""
    expected, was = _settings(wanted), _settings(found)
    return [
        Difference(wanted.name, setting, was[setting], expected[setting])
        for setting in expected
        if was[setting] != expected[setting]
    ]


def _shown(value: object) -> str:
    return repr(value) if isinstance(value, str) else str(value)


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
