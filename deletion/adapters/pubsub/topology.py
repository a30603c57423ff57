"""The topology: the topics, one subscription for each service, and the pipeline's own two.

Names derive from the topic's (docs/decisions/0003): `T.dead-letter` is both the dead-letter topic
and the subscription that keeps what arrives there; `T.completed` is the topic on which the request
ledger announces what is settled, and `T.ledger` its subscription; each `T.<service>` is a service's
subscription.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial

import structlog
from google.api_core.exceptions import AlreadyExists, MethodNotImplemented, NotFound
from google.pubsub_v1.services.publisher import PublisherAsyncClient
from google.pubsub_v1.services.subscriber import SubscriberAsyncClient
from google.pubsub_v1.types import Subscription, Topic

from deletion.adapters.pubsub.attachment import AttachmentCheck, detached
from deletion.adapters.pubsub.connection import BOUNDED_RETRY, CALL_SECONDS, translated
from deletion.adapters.pubsub.names import Names
from deletion.adapters.pubsub.seeking import seek, seek_back
from deletion.adapters.pubsub.wanted import (
    DELETED_TOPIC,
    SEEK_LABEL,
    SEEK_PENDING,
    Difference,
    subscription_differences,
    topic_differences,
    wanted_canary,
    wanted_keeper,
    wanted_ledger,
    wanted_subscription,
    wanted_topics,
)
from deletion.errors import BusUnavailable, TopologyMissing

CONSUME = "pubsub.subscriptions.consume"

log = structlog.get_logger(__name__)


@dataclass(slots=True)
class Applied:
    """What `Topology.apply` did and found.

    `created` has the paths of topics and subscriptions, `sought` those of subscriptions that were
    sought back, and `differences` how existing ones differ.
    """

    differences: list[Difference] = field(default_factory=list)
    sought: list[str] = field(default_factory=list)
    created: list[str] = field(default_factory=list)


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

    async def ready_for(self, services: Sequence[str] = (), *, recovery: bool = False) -> None:
        """Create what is missing on an emulator; on real Pub/Sub raise `TopologyMissing` for it.

        When Pub/Sub does not answer, that is only logged.
        """
        try:
            if self._emulated:
                await self._set_up(services)
            else:
                await self.require(services, recovery=recovery)
        except BusUnavailable as error:
            log.warning("topology not checked", reason=str(error))

    def recreating(self, services: Sequence[str] = ()) -> Callable[[], Awaitable[object]] | None:
        """Return a function that creates the topology again; None for real Pub/Sub.

        An emulator forgets its topology in a restart.
        """
        return partial(self.apply, services) if self._emulated else None

    async def apply(self, services: Iterable[str] = (), *, only_services: bool = False) -> Applied:
        """Create what is missing. Returns how what exists differs.

        A subscription that this call creates gets the messages that the topic still keeps
        (docs/decisions/0023). With `only_services`, looks at the subscriptions of `services` alone.
        Safe to repeat and to race. Raises `BusUnavailable`, and `TopologyMissing` for a topic that
        it would not create.
        """
        applied = Applied()
        for topic in () if only_services else wanted_topics(self.names):
            is_missing = await _is_missing(self._get_topic(topic.name))
            if is_missing and await self._create_topic(topic):
                applied.created.append(topic.name)
            else:
                applied.differences += await self.compare_topic(topic)
        for wanted in self._of(services) if only_services else self.wanted(services):
            await self._apply(wanted, applied)
        return applied

    async def require(self, services: Iterable[str] = (), *, recovery: bool = False) -> None:
        """Raise `TopologyMissing` for the first thing that keeps this identity from working.

        Checks that the topic exists, and that the subscriptions of `services` exist, belong to the
        topic, and may be pulled. With `recovery`, checks the same of the subscriptions of dead
        letters and of the ledger, and that there is a topic for what is completed.
        """
        await self._get_topic(self.names.topic)
        for service in services:
            await self._require_subscription(self.names.subscription(service), self.names.topic)
        if recovery:
            path, topic = self.names.dead_letter_subscription, self.names.dead_letter_topic
            await self._require_subscription(path, topic)
            await self._require_subscription(self.names.ledger_subscription, self.names.topic)
            await self._get_topic(self.names.completed_topic)

    async def require_attached(self, service: str) -> None:
        """Raise `TopologyMissing` unless the subscription of `service` belongs to the topic.

        Messages for the service then arrive there. Who may pull them is not checked.
        """
        await self._require_attached(self.names.subscription(service), self.names.topic)

    def attachment(self, service: str) -> AttachmentCheck:
        """Whether the subscription of `service` belongs to the topic, for `/readyz`."""
        return AttachmentCheck(self._subscriber, self.names.subscription(service), self.names.topic)

    def keeper_attachment(self) -> AttachmentCheck:
        """The same for the dead-letter subscription."""
        path, topic = self.names.dead_letter_subscription, self.names.dead_letter_topic
        return AttachmentCheck(self._subscriber, path, topic)

    def ledger_attachment(self) -> AttachmentCheck:
        """The same for the ledger's subscription."""
        return AttachmentCheck(self._subscriber, self.names.ledger_subscription, self.names.topic)

    async def compare(self, wanted: Subscription) -> list[Difference]:
        """How the existing subscription differs. Raises `TopologyMissing` without one."""
        return self._differences(wanted, await self._get_subscription(wanted.name))

    async def compare_topic(self, wanted: Topic) -> list[Difference]:
        """How the existing topic differs. Raises `TopologyMissing` without one."""
        return topic_differences(wanted, await self._get_topic(wanted.name))

    async def services(self) -> list[str]:
        """The services that have a subscription on the topic. Raises `TopologyMissing`."""
        with translated(self.names.topic):
            attached = await self._publisher.list_topic_subscriptions(
                topic=self.names.topic, retry=BOUNDED_RETRY, timeout=CALL_SECONDS
            )
            found = [self.names.service_of(subscription) async for subscription in attached]
        return sorted(service for service in found if service)

    @asynccontextmanager
    async def canary(self, service: str) -> AsyncIterator[str]:
        """Create a subscription for one canary, with a service's settings, and yield its path.

        It gets no other messages. It is deleted at the end, and expires by itself if this process
        is killed before.
        """
        wanted = wanted_canary(self.names, service, emulated=self._emulated)
        creation = asyncio.create_task(self._create_subscription(wanted))
        try:
            await asyncio.shield(creation)
            if self._emulated:  # it ignores filters: skip everything the topic keeps
                await seek(self._subscriber, wanted.name, datetime.now(UTC))
            yield wanted.name
        finally:
            # Wait: Pub/Sub might carry out a cancelled creation after the deletion below.
            await asyncio.gather(creation, return_exceptions=True)
            await self._delete_subscription(wanted.name)

    def wanted(self, services: Iterable[str]) -> list[Subscription]:
        """All subscriptions as they should be: for dead letters, the ledger, and `services`."""
        return [
            wanted_keeper(self.names, emulated=self._emulated),
            wanted_ledger(self.names, emulated=self._emulated),
            *self._of(services),
        ]

    def _of(self, services: Iterable[str]) -> list[Subscription]:
        emulated = self._emulated
        return [wanted_subscription(self.names, each, emulated=emulated) for each in services]

    async def _set_up(self, services: Sequence[str]) -> None:
        """Apply on an emulator, and create a subscription again if its topic was deleted."""
        differences = (await self.apply(services)).differences
        lost = [each.resource for each in differences if each.found == DELETED_TOPIC]
        for path in lost:
            log.warning("subscription created again", subscription=path, topic=DELETED_TOPIC)
            await self._delete_subscription(path)
        if lost:
            await self.apply(services)

    async def _apply(self, wanted: Subscription, applied: Applied) -> None:
        made = Subscription(wanted)
        made.labels[SEEK_LABEL] = SEEK_PENDING
        is_missing = await _is_missing(self._get_subscription(wanted.name))
        is_new = is_missing and await self._create_subscription(made)
        if is_new:
            applied.created.append(wanted.name)
        found = made if is_new else await self._get_subscription(wanted.name)
        is_asked = SEEK_LABEL in found.labels
        if is_asked and await seek_back(self._subscriber, found, emulated=self._emulated):
            del found.labels[SEEK_LABEL]
            applied.sought.append(wanted.name)
        applied.differences += self._differences(wanted, found)

    def _differences(self, wanted: Subscription, found: Subscription) -> list[Difference]:
        if self._emulated:  # Google's emulator cannot remove the label, which means nothing there
            found.labels.pop(SEEK_LABEL, None)
        return subscription_differences(wanted, found)

    async def _create_topic(self, wanted: Topic) -> bool:
        """Whether this call created it."""
        with translated(wanted.name):
            try:
                await self._publisher.create_topic(
                    wanted, retry=BOUNDED_RETRY, timeout=CALL_SECONDS
                )
            except AlreadyExists:
                return False
        return True

    async def _create_subscription(self, wanted: Subscription) -> bool:
        """Whether this call created it."""
        with translated(f"the topic of {wanted.name}"):
            try:
                await self._subscriber.create_subscription(
                    wanted, retry=BOUNDED_RETRY, timeout=CALL_SECONDS
                )
            except AlreadyExists:
                return False
        return True

    async def _delete_subscription(self, path: str) -> None:
        with translated(path), suppress(NotFound):
            await self._subscriber.delete_subscription(
                subscription=path, retry=BOUNDED_RETRY, timeout=CALL_SECONDS
            )

    async def _require_attached(self, path: str, topic: str) -> None:
        if problem := detached(await self._get_subscription(path), topic):
            raise problem

    async def _require_subscription(self, path: str, topic: str) -> None:
        await self._require_attached(path, topic)
        with translated(path), suppress(MethodNotImplemented):  # not on an emulator
            held = await self._subscriber.test_iam_permissions(
                {"resource": path, "permissions": [CONSUME]},
                retry=BOUNDED_RETRY,
                timeout=CALL_SECONDS,
            )
            if CONSUME not in held.permissions:
                raise TopologyMissing(
                    f"{path} may not be pulled by this identity", f"grant {CONSUME}"
                )

    async def _get_topic(self, topic: str) -> Topic:
        with translated(topic):
            return await self._publisher.get_topic(
                topic=topic, retry=BOUNDED_RETRY, timeout=CALL_SECONDS
            )

    async def _get_subscription(self, path: str) -> Subscription:
        with translated(path):
            return await self._subscriber.get_subscription(
                subscription=path, retry=BOUNDED_RETRY, timeout=CALL_SECONDS
            )


async def _is_missing(looking: Awaitable[object]) -> bool:
    """Whether what `looking` reads does not exist. Raises any other error of it.

    A call that creates needs a right on the whole project, even if it only finds that something
    exists. So `apply` looks first, and needs no such right if nothing is missing.
    """
    try:
        await looking
    except TopologyMissing as error:
        if isinstance(error.__cause__, NotFound):
            return True
        raise
    return False
