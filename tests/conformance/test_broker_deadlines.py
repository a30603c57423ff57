"""Acknowledging, deadlines, retry policies, dead letters and seeking, over both brokers."""

import asyncio
import time
from datetime import datetime, timedelta

import pytest
from google.api_core import exceptions as gcp
from google.pubsub_v1.types import ReceivedMessage, RetryPolicy

from tests.conformance.brokers import (
    ACK_DEADLINE,
    CALL,
    WEEK,
    Calls,
    data,
    moment,
    with_dead_letters,
)
from tests.support.polling import SLACK

BACK_OFF = timedelta(seconds=2)


async def test_what_is_acknowledged_never_comes_again(calls: Calls) -> None:
    await calls.subscribe()
    await calls.publish(b"1", b"2", b"3")
    received = await calls.receive(3)
    await calls.modify(2, *received)
    await calls.ack(*received)
    await calls.nothing_comes(4)


async def test_an_ack_may_be_repeated(calls: Calls) -> None:
    await calls.subscribe()
    await calls.publish(b"x")
    [received] = await calls.receive(1)
    for _ in range(2):
        await calls.ack(received)


async def test_what_is_not_acknowledged_comes_again_after_the_deadline(calls: Calls) -> None:
    await calls.subscribe(ack_deadline_seconds=ACK_DEADLINE)
    await calls.publish(b"x")
    held = time.monotonic()
    [first] = await calls.receive(1)
    [second] = await calls.receive(1)
    assert ACK_DEADLINE - 2 < time.monotonic() - held < ACK_DEADLINE + 2 * SLACK
    assert second.message.message_id == first.message.message_id
    assert second.ack_id != first.ack_id


async def test_a_nack_gives_back_only_what_it_names(calls: Calls) -> None:
    await calls.subscribe()
    await calls.publish(b"1", b"2")
    first, _ = await calls.receive(2)
    await calls.modify(0, first)
    [again] = await calls.receive(1)
    assert again.message.message_id == first.message.message_id
    await calls.nothing_comes(1)


async def test_a_deadline_can_be_moved_later(calls: Calls) -> None:
    await calls.subscribe()
    await calls.publish(b"x")
    [received] = await calls.receive(1)
    await calls.modify(2, received)
    await calls.modify(30, received)
    await calls.nothing_comes(4)
    await calls.ack(received)


async def test_a_deadline_can_be_moved_earlier(calls: Calls) -> None:
    await calls.subscribe(ack_deadline_seconds=60)
    await calls.publish(b"x")
    [received] = await calls.receive(1)
    await calls.modify(1, received)
    assert data(await calls.receive(1)) == [b"x"]


async def test_a_late_nack_does_not_end_the_lease_after_it(calls: Calls) -> None:
    await calls.subscribe()
    await calls.publish(b"x")
    [first] = await calls.receive(1)
    await calls.modify(0, first)
    await calls.receive(1)
    await calls.modify(0, first)
    await calls.nothing_comes(1)


async def test_a_deadline_in_the_past_is_refused(calls: Calls) -> None:
    await calls.subscribe()
    await calls.publish(b"x")
    [received] = await calls.receive(1)
    with pytest.raises(gcp.InvalidArgument):
        await calls.modify(-1, received)


@pytest.mark.wrong_in_emulator("it takes any")
async def test_a_deadline_in_more_than_ten_minutes_is_refused(calls: Calls) -> None:
    """https://cloud.google.com/pubsub/docs/reference/rest/v1/projects.subscriptions/modifyAckDeadline"""
    await calls.subscribe()
    await calls.publish(b"x")
    [received] = await calls.receive(1)
    with pytest.raises(gcp.InvalidArgument):
        await calls.modify(601, received)


async def test_an_ack_id_that_is_none_is_refused(calls: Calls) -> None:
    await calls.subscribe()
    with pytest.raises(gcp.InvalidArgument):
        await calls.subscriber.acknowledge(
            subscription=calls.path(), ack_ids=["nonsense"], timeout=CALL
        )


async def test_a_late_ack_counts(calls: Calls) -> None:
    """It "may succeed", until the message was delivered again.
    https://cloud.google.com/pubsub/docs/reference/rest/v1/projects.subscriptions/acknowledge
    """
    await calls.subscribe()
    await calls.publish(b"x")
    [received] = await calls.receive(1)
    await calls.modify(1, received)
    await asyncio.sleep(3)  # longer than its deadline
    await calls.ack(received)
    await calls.nothing_comes(2)


async def test_an_ack_of_nothing_is_refused(calls: Calls) -> None:
    await calls.subscribe()
    with pytest.raises(gcp.InvalidArgument):
        await calls.ack()


# --- retry policy and dead letters


@pytest.mark.proves("broker-as-documented")
@pytest.mark.wrong_in_emulator("it delivers at once what failed for the first time")
async def test_a_retry_policy_delays_what_failed(calls: Calls) -> None:
    """`minimum_backoff`: "the minimum delay between consecutive deliveries of a given message".
    https://cloud.google.com/pubsub/docs/reference/rest/v1/projects.subscriptions#RetryPolicy
    """
    await _delayed(calls, await _received_with_back_off(calls))


async def test_a_retry_policy_delays_what_failed_again(calls: Calls) -> None:
    await calls.modify(0, await _received_with_back_off(calls))
    [received] = await calls.receive(1)
    await _delayed(calls, received)


async def _received_with_back_off(calls: Calls) -> ReceivedMessage:
    policy = RetryPolicy(minimum_backoff=BACK_OFF, maximum_backoff=BACK_OFF)
    await calls.subscribe(retry_policy=policy)
    await calls.publish(b"x")
    [received] = await calls.receive(1)
    return received


async def _delayed(calls: Calls, received: ReceivedMessage) -> None:
    """Nack it, and see it come again after the back-off and not before."""
    failed = time.monotonic()
    await calls.modify(0, received)
    assert data(await calls.receive(1)) == [received.message.data]
    assert time.monotonic() - failed > BACK_OFF.total_seconds() - 0.5


@pytest.mark.proves("broker-as-documented")
async def test_what_failed_too_often_is_a_dead_letter(calls: Calls) -> None:
    """https://cloud.google.com/pubsub/docs/handling-failures#dead_letter_topic"""
    await with_dead_letters(calls)
    [number] = await calls.publish({"data": b"x", "attributes": {"kind": "chat"}})
    for attempt in range(1, 6):
        [received] = await calls.receive(1)
        assert received.delivery_attempt == attempt
        published = received.message.publish_time
        await calls.modify(0, received)
    await calls.nothing_comes(1)  # the emulator forwards it no earlier than at the next pull
    [letter] = await calls.receive(1, "dead")
    assert letter.message.data == b"x"
    assert letter.message.message_id != number
    attributes = dict(letter.message.attributes)
    at = datetime.fromisoformat(attributes.pop("CloudPubSubDeadLetterSourceTopicPublishTime"))
    assert abs(at - published) < timedelta(seconds=1)
    assert attributes == {
        "kind": "chat",
        "CloudPubSubDeadLetterSourceDeliveryCount": "5",
        "CloudPubSubDeadLetterSourceSubscription": "chat",
        "CloudPubSubDeadLetterSourceSubscriptionProject": calls.project,
    }


async def test_what_failed_less_often_is_no_dead_letter(calls: Calls) -> None:
    await with_dead_letters(calls, 6)
    await calls.publish(b"x")
    for _ in range(5):
        [received] = await calls.receive(1)
        await calls.modify(0, received)
    [received] = await calls.receive(1)
    assert received.delivery_attempt == 6
    await calls.ack(received)
    await calls.nothing_comes(1, "dead")


# --- seeking


async def test_a_seek_into_the_future_drops_what_is_there_and_nothing_that_comes(
    calls: Calls,
) -> None:
    """https://cloud.google.com/pubsub/docs/reference/rest/v1/projects.subscriptions/seek"""
    await calls.subscribe()
    await calls.publish(b"1", b"2")
    await calls.subscriber.seek({"subscription": calls.path(), "time": moment(5)}, timeout=CALL)
    await calls.nothing_comes(2)
    await calls.publish(b"3")  # published before that time as well, but after the seek
    assert data(await calls.receive(1)) == [b"3"]


async def test_a_seek_back_brings_what_was_acknowledged_and_retained(calls: Calls) -> None:
    await calls.subscribe(retain_acked_messages=True, message_retention_duration=WEEK)
    await calls.publish(b"1", b"2")
    await calls.ack(*await calls.receive(2))
    await calls.subscriber.seek({"subscription": calls.path(), "time": moment(-60)}, timeout=CALL)
    assert set(data(await calls.receive(2))) == {b"1", b"2"}


@pytest.mark.wrong_in_emulator("it delivers what the topic kept by itself")
async def test_a_new_subscription_has_nothing_of_what_its_topic_keeps_before_a_seek(
    on_broker: Calls,
) -> None:
    """https://cloud.google.com/pubsub/docs/replay-overview, docs/decisions/0023"""
    await on_broker.create_topic(message_retention_duration=WEEK)
    await on_broker.publish(b"before")
    await on_broker.subscribe()
    await on_broker.nothing_comes(1)


async def test_a_new_subscription_can_be_sought_back_to_what_its_topic_keeps(
    on_broker: Calls,
) -> None:
    """https://cloud.google.com/pubsub/docs/replay-overview#topic_message_retention"""
    await on_broker.create_topic(message_retention_duration=WEEK)
    await on_broker.publish(b"before")
    await on_broker.subscribe()
    await on_broker.subscriber.seek(
        {"subscription": on_broker.path(), "time": moment(-60)}, timeout=CALL
    )
    assert data(await on_broker.receive(1)) == [b"before"]
