"""The topology on the real broker: made where it may be, named where it must be there already."""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import suppress
from datetime import timedelta
from typing import Any
from unittest.mock import patch

import pytest
from google.pubsub_v1.services.publisher import PublisherAsyncClient
from google.pubsub_v1.services.subscriber import SubscriberAsyncClient
from google.pubsub_v1.types import PubsubMessage, Subscription

from botdel.local.server import LocalBroker
from deletion.adapters.pubsub.connection import PubSub
from deletion.adapters.pubsub.names import Names
from deletion.adapters.pubsub.subscription import PullSubscription
from deletion.adapters.pubsub.topology import Applied, Topology
from deletion.adapters.pubsub.wanted import DELETED_TOPIC, MAX_DELIVERY_ATTEMPTS, RETENTION
from deletion.errors import TopologyMissing
from tests.support.polling import SOON

Clients = tuple[PublisherAsyncClient, SubscriberAsyncClient]
CANARY = "doctor.0123456789abcdef"


@pytest.fixture
async def clients(broker: LocalBroker) -> AsyncIterator[Clients]:
    pubsub = PubSub(broker.host)
    yield pubsub.publisher(), pubsub.subscriber()
    await pubsub.close()


@pytest.fixture
def topology(clients: Clients, project: str) -> Topology:
    return Topology(*clients, Names(project, "bot-deletion"), emulated=True)


async def test_an_emulator_gets_what_it_lacks_and_real_pubsub_is_told_what_to_apply(
    clients: Clients, topology: Topology
) -> None:
    real = Topology(*clients, topology.names, emulated=False)
    with pytest.raises(TopologyMissing, match=r"topics/bot-deletion .*botdel topology apply"):
        await real.ready_for(["conversations"])
    await topology.ready_for(["conversations"])
    await real.ready_for(["conversations"])
    with pytest.raises(TopologyMissing, match=r"subscriptions/bot-deletion.analytics"):
        await real.ready_for(["conversations", "analytics"])
    assert real.recreating() is None


async def test_what_exists_is_not_changed_and_each_difference_is_told(
    clients: Clients, topology: Topology
) -> None:
    assert len((await topology.apply(["conversations"])).created) == 6
    assert await topology.apply(["conversations"]) == Applied(), "applying twice is harmless"
    path = topology.names.subscription("conversations")
    await clients[1].delete_subscription(subscription=path)
    await clients[1].create_subscription(name=path, topic=topology.names.topic)
    differences = (await topology.apply(["conversations"])).differences
    assert {difference.resource for difference in differences} == {path}
    told = {difference.setting: str(difference) for difference in differences}
    assert told["filter"].startswith("filter is '', expected 'NOT attributes:service OR ")
    assert told["retry_policy.minimum_backoff"].endswith("is 0:00:00, expected 0:00:10")
    assert "dead_letter_policy.max_delivery_attempts" in told
    found = await clients[1].get_subscription(subscription=path)
    assert found.filter == ""


@pytest.mark.proves("sought-back")
async def test_topics_keep_messages_for_31_days_and_one_that_does_not_is_told_of(
    clients: Clients, topology: Topology
) -> None:
    await clients[0].create_topic(name=topology.names.topic)
    [difference] = (await topology.apply(["conversations"])).differences
    assert difference.resource == topology.names.topic
    assert str(difference).endswith("is 0:00:00, expected 31 days, 0:00:00")
    dead = await clients[0].get_topic(topic=topology.names.dead_letter_topic)
    assert dead.message_retention_duration == RETENTION == timedelta(days=31)
    path = topology.names.subscription("conversations")
    found = await clients[1].get_subscription(subscription=path)
    assert found.message_retention_duration == timedelta(days=7), "the emulator takes no more"


@pytest.mark.proves("sought-back")
async def test_a_service_that_comes_later_gets_what_was_published_before(
    clients: Clients, topology: Topology
) -> None:
    await topology.apply(["conversations"])
    await clients[0].publish(topic=topology.names.topic, messages=[PubsubMessage(data=b"before")])
    path = topology.names.subscription("analytics")
    applied = await topology.apply(["analytics"])
    assert applied.created == [path]
    assert await topology.apply(["analytics"]) == Applied(), "nothing is left to do"
    subscription = PullSubscription(clients[1], topology.names.subscription("analytics"))
    assert [delivery.message.data for delivery in await subscription.pull(10)] == [b"before"]


async def test_a_canary_gets_nothing_that_was_published_before(
    clients: Clients, topology: Topology
) -> None:
    await topology.apply()
    await clients[0].publish(topic=topology.names.topic, messages=[PubsubMessage(data=b"before")])
    async with topology.canary(CANARY) as path:
        assert await PullSubscription(clients[1], path).pull(10) == []


@pytest.mark.proves("lost-topic")
async def test_a_subscription_whose_topic_was_made_again_is_told_of_with_what_to_do(
    clients: Clients, topology: Topology
) -> None:
    """It exists, answers every pull, and gets nothing."""
    await topology.apply(["conversations"])
    path = topology.names.subscription("conversations")
    await clients[0].delete_topic(topic=topology.names.topic)
    of_ledger, difference = (await topology.apply(["conversations"])).differences
    assert (difference.resource, difference.found) == (path, DELETED_TOPIC)
    assert (of_ledger.resource, of_ledger.found) == (
        topology.names.ledger_subscription,
        DELETED_TOPIC,
    )
    assert await topology.compare(topology.wanted(["conversations"])[-1]) == [difference]
    real = Topology(*clients, topology.names, emulated=False)
    remedy = r"_deleted-topic_.* delete bot-deletion.conversations .*`botdel topology apply`"
    with pytest.raises(TopologyMissing, match=remedy):
        await real.ready_for(["conversations"])
    assert re.search(remedy, str(await topology.attachment("conversations")()))
    await topology.ready_for(["conversations"])  # on an emulator the set-up replaces it
    await real.ready_for(["conversations"], recovery=True)
    assert await topology.attachment("conversations")() is None


@pytest.mark.proves("letters-recorded")
async def test_recovery_does_not_start_without_a_sound_subscription_of_dead_letters(
    clients: Clients, topology: Topology
) -> None:
    await topology.apply()
    real = Topology(*clients, topology.names, emulated=False)
    await clients[0].delete_topic(topic=topology.names.dead_letter_topic)
    await topology.apply()
    await real.ready_for()
    with pytest.raises(TopologyMissing, match=r"bot-deletion.dead-letter belongs to _deleted"):
        await real.ready_for(recovery=True)
    assert "_deleted-topic_" in str(await topology.keeper_attachment()())
    await clients[1].delete_subscription(subscription=topology.names.dead_letter_subscription)
    with pytest.raises(TopologyMissing, match=r"dead-letter does not exist"):
        await real.ready_for(recovery=True)


async def test_comparing_creates_nothing_and_finds_what_applying_would(
    clients: Clients, topology: Topology
) -> None:
    keeper, ledger, wanted = topology.wanted(["conversations"])
    with pytest.raises(TopologyMissing, match=r"subscriptions/bot-deletion.conversations"):
        await topology.compare(wanted)
    await topology.apply(["conversations"])
    for each in (keeper, ledger, wanted):
        assert await topology.compare(each) == []
    await clients[1].delete_subscription(subscription=wanted.name)
    await clients[1].create_subscription(name=wanted.name, topic=topology.names.topic)
    assert await topology.compare(wanted) != []
    assert await topology.compare(wanted) == (await topology.apply(["conversations"])).differences


async def test_services_are_those_with_a_subscription_named_after_the_topic(
    clients: Clients, topology: Topology
) -> None:
    with suppress(TopologyMissing):  # an emulator may find nothing instead
        assert await topology.services() == []
    await topology.apply(["conversations", "analytics"])
    others = topology.names.topic.replace("/topics/bot-deletion", "/subscriptions/somebodys")
    await clients[1].create_subscription(name=others, topic=topology.names.topic)
    async with topology.canary(CANARY):
        assert await topology.services() == ["analytics", "conversations"]


async def test_a_canarys_subscription_has_the_same_policy_and_goes_whatever_happens(
    clients: Clients, topology: Topology
) -> None:
    await topology.apply()
    seen: list[Subscription] = []

    async def flight() -> None:
        async with topology.canary(CANARY) as path:
            seen.append(await clients[1].get_subscription(subscription=path))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await flight()
    with pytest.raises(TopologyMissing):
        await topology.require([CANARY])
    [found] = seen
    assert found.name == topology.names.subscription(CANARY)
    assert found.filter == f'attributes.service = "{CANARY}"'
    assert found.dead_letter_policy.dead_letter_topic == topology.names.dead_letter_topic
    assert found.dead_letter_policy.max_delivery_attempts == MAX_DELIVERY_ATTEMPTS
    assert not found.retry_policy
    assert found.expiration_policy.ttl == timedelta(days=1), "should nobody delete it"


async def test_a_canary_that_is_given_up_while_its_subscription_is_created_leaves_nothing(
    clients: Clients, topology: Topology
) -> None:
    """Cancelling a call does not take back a request that Pub/Sub has already got."""
    await topology.apply()
    publisher, subscriber = clients
    asked: asyncio.Future[asyncio.Task[Subscription]] = asyncio.Future()
    carried_out = asyncio.Event()
    create = subscriber.create_subscription

    async def slow(*args: Any, **options: Any) -> Subscription:
        async def creation() -> Subscription:
            await carried_out.wait()
            return await create(*args, **options)

        asked.set_result(asyncio.create_task(creation()))
        return await asyncio.shield(asked.result())

    async def flight() -> None:
        async with topology.canary(CANARY):
            pytest.fail("its creation was not answered")

    with patch.object(subscriber, "create_subscription", slow):
        flying = asyncio.create_task(flight())
        under_way = await asyncio.wait_for(asyncio.shield(asked), 5)
        flying.cancel()
        await asyncio.wait({flying}, timeout=0.2)
        carried_out.set()
        await asyncio.wait({under_way, flying}, timeout=SOON)
    assert flying.cancelled()
    left = await publisher.list_topic_subscriptions(topic=topology.names.topic)
    assert topology.names.subscription(CANARY) not in [path async for path in left]


async def test_a_canary_is_not_sent_where_a_topic_is_missing(
    clients: Clients, topology: Topology
) -> None:
    await topology.apply()
    await clients[0].delete_topic(topic=topology.names.dead_letter_topic)
    with pytest.raises(TopologyMissing, match=r"the topic of .* does not exist"):
        async with topology.canary(CANARY):
            pytest.fail("there is no subscription")
