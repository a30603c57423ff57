"""One suite for every bus: the one in memory in virtual time, and Google's Pub/Sub emulator."""

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, timedelta
from typing import Protocol

import pytest
from google.pubsub_v1.types import DeadLetterPolicy, RetryPolicy
from google.pubsub_v1.types import Subscription as Settings

from botdel.local.processes import free_port
from botdel.local.server import LocalBroker
from deletion.adapters.pubsub.connection import PubSub
from deletion.adapters.pubsub.publisher import GroupingPublisher
from deletion.adapters.pubsub.subscription import PullSubscription
from deletion.bus import Delivery, Message, Publisher, Subscription
from deletion.clock import Clock, SystemClock
from deletion.errors import BusUnavailable, TopologyMissing
from tests.support.clock import VirtualClock
from tests.support.memory_bus import MemoryBus

ACK_DEADLINE = 10
"""Seconds; the shortest that Pub/Sub allows."""
A_FEW_SECONDS = 5.0
DELIVERED_WITHIN = 30.0


class Bus(Protocol):
    """What the suite needs of an implementation."""

    @property
    def clock(self) -> Clock: ...

    @property
    def publisher(self) -> Publisher: ...

    async def subscribe(self) -> Subscription: ...


class InMemory:
    def __init__(self) -> None:
        clock = VirtualClock()
        self.clock, self.publisher = clock, MemoryBus(clock)

    async def subscribe(self) -> Subscription:
        return self.publisher.subscribe(ack_deadline=ACK_DEADLINE, back_off=1)


@dataclass
class Emulated:
    clock: Clock
    publisher: Publisher
    pubsub: PubSub
    project: str
    subscriptions: int = 0

    @classmethod
    async def on(cls, pubsub: PubSub, project: str) -> "Emulated":
        client, topic = pubsub.publisher(), f"projects/{project}/topics/events"
        for name in (topic, f"{topic}.dead-letter"):
            await client.create_topic(name=name, timeout=10)
        return cls(SystemClock(), GroupingPublisher(client, topic), pubsub, project)

    async def subscribe(self) -> Subscription:
        self.subscriptions += 1
        client = self.pubsub.subscriber()
        topic = f"projects/{self.project}/topics/events"
        path = f"projects/{self.project}/subscriptions/events.{self.subscriptions}"
        settings = Settings(
            name=path,
            topic=topic,
            ack_deadline_seconds=ACK_DEADLINE,
            retry_policy=RetryPolicy(
                minimum_backoff=timedelta(seconds=1), maximum_backoff=timedelta(seconds=1)
            ),
            dead_letter_policy=DeadLetterPolicy(
                dead_letter_topic=f"{topic}.dead-letter", max_delivery_attempts=100
            ),
        )
        await client.create_subscription(settings, timeout=10)
        return PullSubscription(client, path)


@pytest.fixture
async def pubsub(broker: LocalBroker) -> AsyncIterator[PubSub]:
    pubsub = PubSub(broker.host)
    yield pubsub
    await pubsub.close()


@pytest.fixture(params=[pytest.param("memory", marks=pytest.mark.virtual_time), "emulator"])
async def bus(request: pytest.FixtureRequest, pubsub: PubSub, project: str) -> Bus:
    return InMemory() if request.param == "memory" else await Emulated.on(pubsub, project)


@pytest.fixture
async def subscription(bus: Bus) -> Subscription:
    return await bus.subscribe()


def message(number: int = 0) -> Message:
    return Message(f"event {number}".encode(), {"event_id": str(number), "service": "chat"})


async def receive(bus: Bus, subscription: Subscription, number: int) -> list[Delivery]:
    """The next `number` deliveries, over as many pulls as it takes."""
    deadline = bus.clock.now() + timedelta(seconds=DELIVERED_WITHIN)
    found: list[Delivery] = []
    while len(found) < number:
        assert bus.clock.now() < deadline, f"{len(found)} of {number} were delivered"
        found += await subscription.pull(number - len(found))
    return found


async def nothing_comes(bus: Bus, subscription: Subscription, seconds: float) -> None:
    deadline = bus.clock.now() + timedelta(seconds=seconds)
    while bus.clock.now() < deadline:
        assert await subscription.pull(10) == []


async def test_what_is_published_is_delivered_as_it_was(
    bus: Bus, subscription: Subscription
) -> None:
    await bus.publisher.publish(message())
    [delivery] = await receive(bus, subscription, 1)
    assert delivery.message.data == message().data
    assert dict(delivery.message.attributes) == dict(message().attributes)
    assert delivery.message_id
    assert delivery.ack_id
    assert delivery.attempt == 1


async def test_a_delivery_says_when_it_was_published(bus: Bus, subscription: Subscription) -> None:
    before = bus.clock.now()
    await bus.publisher.publish(message())
    [delivery] = await receive(bus, subscription, 1)
    assert delivery.published_at.tzinfo is UTC
    margin = timedelta(seconds=1)
    assert before - margin <= delivery.published_at <= bus.clock.now() + margin


async def test_each_subscription_gets_each_message(bus: Bus) -> None:
    first, second = await bus.subscribe(), await bus.subscribe()
    await bus.publisher.publish(message())
    for subscription in (first, second):
        [delivery] = await receive(bus, subscription, 1)
        await subscription.ack([delivery])


async def test_a_pull_brings_at_most_what_was_asked_for(
    bus: Bus, subscription: Subscription
) -> None:
    for number in range(5):
        await bus.publisher.publish(message(number))
    first = await receive(bus, subscription, 1)
    assert len(first) == 1
    assert len(await subscription.pull(2)) <= 2


async def test_every_message_comes_once_while_it_is_held(
    bus: Bus, subscription: Subscription
) -> None:
    for number in range(20):
        await bus.publisher.publish(message(number))
    deliveries = await receive(bus, subscription, 20)
    assert {d.message.data for d in deliveries} == {message(n).data for n in range(20)}
    assert len({d.ack_id for d in deliveries}) == len({d.message_id for d in deliveries}) == 20


async def test_an_empty_pull_answers_within_a_few_seconds(
    bus: Bus, subscription: Subscription
) -> None:
    took = []
    for _ in range(3):  # a busy machine may be late
        asked = bus.clock.now()
        assert await subscription.pull(10) == []
        took.append(bus.clock.now() - asked)
    assert min(took) < timedelta(seconds=A_FEW_SECONDS)


async def test_a_pull_that_waits_is_woken_by_a_message(
    bus: Bus, subscription: Subscription
) -> None:
    took = []
    for _ in range(5):  # a busy machine may be late
        pulling = asyncio.create_task(receive(bus, subscription, 1))
        await bus.clock.sleep(0.5)
        await bus.publisher.publish(message())
        asked = bus.clock.now()
        await subscription.ack(await pulling)
        took.append(bus.clock.now() - asked)
    assert min(took) < timedelta(seconds=1)


async def test_what_was_acked_never_comes_again(bus: Bus, subscription: Subscription) -> None:
    for number in range(3):
        await bus.publisher.publish(message(number))
    await subscription.ack(await receive(bus, subscription, 3))
    await nothing_comes(bus, subscription, ACK_DEADLINE + 4)


async def test_what_was_nacked_comes_again_and_is_counted(
    bus: Bus, subscription: Subscription
) -> None:
    await bus.publisher.publish(message())
    [first] = await receive(bus, subscription, 1)
    await subscription.nack([first])
    [second] = await receive(bus, subscription, 1)
    assert second.message_id == first.message_id
    assert second.message.data == first.message.data
    assert second.ack_id != first.ack_id
    assert (first.attempt, second.attempt) == (1, 2)
    await subscription.nack([second])
    [third] = await receive(bus, subscription, 1)
    assert third.attempt == 3


async def test_a_nack_gives_back_only_what_it_names(bus: Bus, subscription: Subscription) -> None:
    for number in range(3):
        await bus.publisher.publish(message(number))
    first, *others = await receive(bus, subscription, 3)
    await subscription.ack(others)
    await subscription.nack([first])
    [again] = await receive(bus, subscription, 1)
    assert again.message_id == first.message_id
    await subscription.ack([again])


async def test_what_is_neither_acked_nor_nacked_comes_again_after_the_deadline(
    bus: Bus, subscription: Subscription
) -> None:
    await bus.publisher.publish(message())
    held = bus.clock.now()
    [first] = await receive(bus, subscription, 1)
    [second] = await receive(bus, subscription, 1)
    assert bus.clock.now() - held > timedelta(seconds=ACK_DEADLINE - 2)
    assert second.message_id == first.message_id
    assert second.attempt == 2


async def test_an_ack_may_be_repeated_and_nothing_may_be_acked(
    bus: Bus, subscription: Subscription
) -> None:
    await bus.publisher.publish(message())
    deliveries = await receive(bus, subscription, 1)
    for _ in range(2):
        await subscription.ack(deliveries)
    await subscription.ack([])
    await subscription.nack([])


async def test_a_subscription_has_nothing_of_the_time_before_it(bus: Bus) -> None:
    await bus.publisher.publish(message())
    await nothing_comes(bus, await bus.subscribe(), 2)


# What only Pub/Sub can lack.


async def test_a_topic_or_subscription_that_does_not_exist_is_named(
    pubsub: PubSub, project: str
) -> None:
    publisher = GroupingPublisher(pubsub.publisher(), f"projects/{project}/topics/none")
    with pytest.raises(TopologyMissing, match="topics/none"):
        await publisher.publish(message())
    path = f"projects/{project}/subscriptions/none"
    with pytest.raises(TopologyMissing, match="subscriptions/none"):
        await PullSubscription(pubsub.subscriber(), path).pull(1)


async def test_a_bus_that_is_away_says_so_in_bounded_time(project: str) -> None:
    pubsub = PubSub(f"127.0.0.1:{free_port()}")
    began = time.monotonic()
    try:
        publisher = GroupingPublisher(
            pubsub.publisher(), f"projects/{project}/topics/events", confirm_seconds=2
        )
        with pytest.raises(BusUnavailable):
            await publisher.publish(message())
        with pytest.raises(BusUnavailable):
            await PullSubscription(
                pubsub.subscriber(), f"projects/{project}/subscriptions/events"
            ).pull(1)
    finally:
        await pubsub.close()
    assert time.monotonic() - began < 10


async def test_a_large_message_arrives(pubsub: PubSub, project: str) -> None:
    """gRPC's own limit of 4 MB would keep it back silently."""
    bus = await Emulated.on(pubsub, project)
    subscription = await bus.subscribe()
    await bus.publisher.publish(Message(b"x" * 6_000_000, {}))
    [delivery] = await receive(bus, subscription, 1)
    assert len(delivery.message.data) == 6_000_000
    await subscription.ack([delivery])
