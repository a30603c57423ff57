"""The broker delivers as Pub/Sub is documented to; what both buses share is in conformance."""

import asyncio
from datetime import timedelta

import pytest

from deletion.adapters.pubsub.wanted import ACK_DEADLINE_SECONDS, MAX_DELIVERY_ATTEMPTS
from deletion.bus import Delivery, Message
from deletion.dead_letter import SOURCE
from tests.simulation.broker import Broker, Rules
from tests.simulation.schedule import rng
from tests.support.clock import VirtualClock, now
from tests.support.memory_bus import MemorySubscription

pytestmark = pytest.mark.virtual_time

EVENT = Message(b"an event", {"event_id": "1"})
SERVICE = "conversations"


def broker(twice: float = 0.0) -> Broker:
    return Broker(VirtualClock(), Rules(rng("broker"), twice), [SERVICE])


async def receive(subscription: MemorySubscription) -> Delivery:
    while not (deliveries := await subscription.pull(1)):
        pass
    return deliveries[0]


async def test_a_message_that_was_delivered_too_often_is_a_dead_letter() -> None:
    parts = broker()
    await parts.topic.publish(EVENT)
    for attempt in range(1, MAX_DELIVERY_ATTEMPTS + 1):
        delivery = await receive(parts.of[SERVICE])
        assert delivery.attempt == attempt
        await parts.of[SERVICE].nack([delivery])
    giving_up = asyncio.create_task(receive(parts.of[SERVICE]))
    dead = (await receive(parts.dead_letters)).message
    assert dead.data == EVENT.data
    assert dead.attributes["event_id"] == "1"
    assert dead.attributes[f"{SOURCE}Subscription"] == f"bot-deletion.{SERVICE}"
    assert dead.attributes[f"{SOURCE}DeliveryCount"] == str(MAX_DELIVERY_ATTEMPTS)
    assert not parts.of[SERVICE].unacked
    giving_up.cancel()


async def test_after_a_nack_each_wait_is_twice_the_one_before() -> None:
    parts = broker()
    await parts.topic.publish(EVENT)
    waits: list[timedelta] = []
    for _ in range(MAX_DELIVERY_ATTEMPTS):
        before = now()
        delivery = await receive(parts.of[SERVICE])
        waits.append(now() - before)
        await parts.of[SERVICE].nack([delivery])
    assert [round(wait.total_seconds()) for wait in waits] == [0, 0, 10, 20, 40]


async def test_what_nobody_acks_comes_again_after_the_deadline() -> None:
    parts = broker()
    await parts.topic.publish(EVENT)
    await receive(parts.of[SERVICE])
    before = now()
    await receive(parts.of[SERVICE])
    assert (now() - before).total_seconds() == pytest.approx(ACK_DEADLINE_SECONDS)


async def test_a_duplicate_is_no_attempt_of_its_own() -> None:
    parts = broker(twice=1.0)
    await parts.topic.publish(EVENT)
    first, second = await receive(parts.of[SERVICE]), await receive(parts.of[SERVICE])
    assert (first.message_id, first.attempt) == (second.message_id, second.attempt)
