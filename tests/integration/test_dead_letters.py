"""Poison and undeliverable messages on the real broker and database: recorded, and told once."""

import asyncio

import pytest
from google.pubsub_v1.types import DeadLetterPolicy, Subscription

from deletion.adapters.pubsub.subscription import PullSubscription
from deletion.adapters.pubsub.wanted import MAX_DELIVERY_ATTEMPTS
from deletion.adapters.unproxied import unproxied
from deletion.events import MAX_EVENT_BYTES
from tests.support.alerts import webhook
from tests.support.pipeline import (
    SERVICE,
    THOUSAND,
    WITHIN,
    Pipeline,
    letters,
    listening,
    publish,
    publish_raw,
    pubsub,
    request_placed,
    until,
)

OTHER_SERVICE = "billing"


@pytest.mark.proves("quarantine")
async def test_poison_is_recorded_and_what_comes_behind_it_is_deleted(pipeline: Pipeline) -> None:
    (bot,) = await pipeline.fill(5)
    async with pipeline.consumer() as consumer:
        url = await listening(consumer)
        await publish_raw(
            pipeline, b"\xff\xff", b"\x00" * (MAX_EVENT_BYTES + 1), b"\x18\x01", colour="green"
        )
        await publish(pipeline, request_placed(bot))

        async def done() -> bool:
            return await pipeline.status_of(bot) == "complete" and len(await letters(pipeline)) == 3

        await until(done)
        async with unproxied(timeout=WITHIN) as http:
            metrics = (await http.get(f"{url}/metrics")).text
    labels = f'outcome="quarantined",service="{SERVICE}"'
    assert f"botdel_consumer_messages_total{{{labels}}} 3.0" in metrics
    by_reason = {letter["reason"]: letter for letter in await letters(pipeline)}
    assert set(by_reason) == {"undecodable", "too_large", "invalid"}
    letter = by_reason["undecodable"]
    assert (letter["service"], bytes(letter["data"])) == (SERVICE, b"\xff\xff")
    assert (letter["attributes"], letter["status"]) == ({"colour": "green"}, "new")
    assert letter["count"] == 1


@pytest.mark.proves("one-alert")
async def test_a_thousand_poison_messages_are_one_alert_with_their_number(
    pipeline: Pipeline,
) -> None:
    async with webhook() as (url, sent):
        pipeline.settings |= {"BOTDEL_ALERT_WEBHOOK_URL": url, "BOTDEL_CONSUMER_SLOTS": "100"}
        async with pipeline.consumer() as consumer:
            await listening(consumer)
            await publish_raw(pipeline, *(b"\xff%d" % number for number in range(THOUSAND)))

            async def told() -> bool:
                return bool(sent)

            await until(told)
        assert len(await letters(pipeline)) == THOUSAND
    [alert] = sent
    assert (alert["kind"], alert["count"]) == ("dead_letter", THOUSAND)
    assert (alert["service"], alert["reason"]) == (SERVICE, "undecodable")
    assert alert["text"].startswith(f"1,000 new dead letters of {SERVICE} (undecodable)")


@pytest.mark.proves("given-up-by-pubsub")
async def test_what_is_delivered_too_often_is_recorded_by_recovery_with_its_service(
    pipeline: Pipeline,
) -> None:
    """No consumer runs, as when each of them dies of the message."""
    event = request_placed("65f0a1b2c3d4e5f607182930")
    async with pubsub(pipeline) as (_, subscriber), webhook() as (url, sent):
        path = pipeline.names.subscription(OTHER_SERVICE)
        policy = DeadLetterPolicy(
            dead_letter_topic=pipeline.names.dead_letter_topic,
            max_delivery_attempts=MAX_DELIVERY_ATTEMPTS,
        )
        await subscriber.create_subscription(
            Subscription(name=path, topic=pipeline.names.topic, dead_letter_policy=policy)
        )
        await publish(pipeline, event)
        subscription = PullSubscription(subscriber, path)
        attempts = [0]
        async with asyncio.timeout(WITHIN):
            while attempts[-1] < MAX_DELIVERY_ATTEMPTS:
                for delivery in await subscription.pull(1):
                    attempts.append(delivery.attempt)
                    await subscription.nack([delivery])
        assert attempts == sorted(set(attempts)), "each delivery is counted"
        # The emulator moves a message when it would be delivered once more, and not earlier.
        assert await subscription.pull(1) == []
        pipeline.settings |= {"BOTDEL_ALERT_WEBHOOK_URL": url}
        async with pipeline.process("recovery", "botdel.cli", "recovery", "--port", "0"):

            async def told() -> bool:
                return bool(sent)

            await until(told)
    [letter] = await letters(pipeline)
    assert (letter["service"], letter["reason"]) == (OTHER_SERVICE, "undelivered")
    assert letter["deliveryAttempt"] == MAX_DELIVERY_ATTEMPTS
    assert letter["attributes"]["event_id"] == event.event_id
    assert [(alert["service"], alert["reason"], alert["count"]) for alert in sent] == [
        (OTHER_SERVICE, "undelivered", 1)
    ]
