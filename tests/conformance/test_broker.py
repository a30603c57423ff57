"""One suite for both brokers as real processes: Google's emulator and the embedded one.

Where they differ, the documentation of Pub/Sub decides, and the test says where it is written. What
the emulator has wrong is marked with `wrong_in_emulator`.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import grpc
import pytest
from google.api_core import exceptions as gcp
from google.protobuf.field_mask_pb2 import FieldMask
from google.pubsub_v1.types import (
    DeadLetterPolicy,
    ExpirationPolicy,
    RetryPolicy,
    StreamingPullRequest,
    Subscription,
    Topic,
)

from botdel.local.embedded_broker import EmbeddedBroker
from botdel.local.emulator import PubSubEmulator
from deletion.errors import ConfigurationError
from tests.conformance.brokers import CALL, Calls, calls_to, data

ACK_DEADLINE = 10
"""Seconds; the shortest that Pub/Sub allows."""
WEEK = timedelta(days=7)
Test = Callable[..., Awaitable[None]]


def _google() -> PubSubEmulator:
    try:
        return PubSubEmulator()
    except ConfigurationError as error:
        pytest.skip(str(error).partition("\n")[0])


@pytest.fixture(scope="module", params=["google", "embedded"])
async def host(request: pytest.FixtureRequest) -> AsyncIterator[str]:
    server = _google() if request.param == "google" else EmbeddedBroker()
    async with server:
        yield server.host


WRONG: dict[str, str] = {}


def wrong_in_emulator(why: str) -> Callable[[Test], Test]:
    """The emulator (0.8.20) fails this test: the run says so should that ever change."""

    def marked(test: Test) -> Test:
        WRONG[test.__name__] = why
        return test

    return marked


@pytest.fixture
async def broker(request: pytest.FixtureRequest, host: str) -> AsyncIterator[Calls]:
    name = request.function.__name__
    if name in WRONG and "google" in request.node.callspec.id:
        request.node.add_marker(pytest.mark.xfail(reason=WRONG[name], strict=True))
    async with calls_to(host) as calls:
        yield calls


@pytest.fixture
async def calls(broker: Calls) -> Calls:
    """With a topic, `events`."""
    await broker.create_topic()
    return broker


@pytest.fixture
def is_google(request: pytest.FixtureRequest) -> bool:
    return "google" in request.node.callspec.id


# --- publishing and pulling


async def test_a_message_arrives_as_it_was_with_an_id_and_a_time(calls: Calls) -> None:
    await calls.subscribe()
    before = datetime.now(UTC) - timedelta(seconds=1)
    [number] = await calls.publish({"data": b"\x00\xff", "attributes": {"kind": "chat"}})
    [received] = await calls.receive(1)
    assert received.message.data == b"\x00\xff"
    assert dict(received.message.attributes) == {"kind": "chat"}
    assert received.message.message_id == number
    published: Any = received.message.publish_time
    assert before <= published <= datetime.now(UTC) + timedelta(seconds=1)
    assert received.delivery_attempt == 0  # filled only where there is a dead-letter policy
    await calls.ack(received)


async def test_ids_are_in_the_order_of_the_messages_and_unique(calls: Calls) -> None:
    await calls.subscribe()
    ids = await calls.publish(*(f"{n}".encode() for n in range(50)))
    received = await calls.receive(50)
    assert len(set(ids)) == 50
    assert {r.message.message_id: r.message.data for r in received} == {
        number: f"{n}".encode() for n, number in enumerate(ids)
    }


async def test_an_id_that_a_publisher_sets_is_replaced(calls: Calls) -> None:
    await calls.subscribe()
    [number] = await calls.publish({"data": b"x", "message_id": "mine"})
    [received] = await calls.receive(1)
    assert received.message.message_id == number != "mine"


async def test_a_message_of_attributes_alone_is_published(calls: Calls) -> None:
    await calls.subscribe()
    await calls.publish({"attributes": {"only": "this"}})
    [received] = await calls.receive(1)
    assert dict(received.message.attributes) == {"only": "this"}


async def test_a_message_of_nothing_is_refused(calls: Calls) -> None:
    with pytest.raises(gcp.InvalidArgument):
        await calls.publish({})


@wrong_in_emulator("it takes attributes of any size, number and key")
@pytest.mark.parametrize(
    "message",
    [
        {"data": b"x", "attributes": {"": "v"}},
        {"data": b"x", "attributes": {"k" * 257: "v"}},
        {"data": b"x", "attributes": {"k": "v" * 1025}},
        {"data": b"x", "attributes": {str(n): "v" for n in range(101)}},
        {"data": b"x", "attributes": {"goog-mine": "v"}},
    ],
    ids=["no-key", "long-key", "long-value", "many-attributes", "goog"],
)
async def test_a_message_that_breaks_a_limit_is_refused(
    calls: Calls, message: dict[str, Any]
) -> None:
    """https://cloud.google.com/pubsub/quotas#resource_limits"""
    with pytest.raises(gcp.InvalidArgument):
        await calls.publish(message)


async def test_more_than_a_thousand_messages_are_refused(calls: Calls) -> None:
    with pytest.raises(gcp.InvalidArgument):
        await calls.publish(*[b"x"] * 1001)


@wrong_in_emulator("it does not answer at all")
async def test_a_request_of_more_than_10_megabytes_is_refused(calls: Calls) -> None:
    with pytest.raises(gcp.InvalidArgument):
        await calls.publish(b"x" * 5_500_000, b"x" * 5_500_000)


async def test_a_large_message_arrives(calls: Calls) -> None:
    await calls.subscribe()
    await calls.publish(b"x" * 9_000_000)
    [received] = await calls.receive(1)
    assert len(received.message.data) == 9_000_000


async def test_every_subscription_gets_every_message(calls: Calls) -> None:
    for name in ("chat", "billing"):
        await calls.subscribe(name)
    await calls.publish(b"x")
    for name in ("chat", "billing"):
        [received] = await calls.receive(1, name)
        await calls.ack(received, name=name)


async def test_a_subscription_has_nothing_of_the_time_before_it(calls: Calls) -> None:
    await calls.publish(b"before")
    await calls.subscribe()
    await calls.nothing_comes(1)


async def test_a_pull_brings_at_most_what_it_asks_for(calls: Calls) -> None:
    await calls.subscribe()
    await calls.publish(*[b"x"] * 5)
    assert len(await calls.receive(1)) == 1
    assert len(await calls.pull(2)) <= 2


async def test_an_empty_pull_is_answered_before_its_deadline(calls: Calls) -> None:
    await calls.subscribe()
    asked = time.monotonic()
    assert await calls.pull(seconds=3) == []
    assert time.monotonic() - asked < 3


async def test_a_pull_can_be_answered_at_once(calls: Calls) -> None:
    await calls.subscribe()
    asked = time.monotonic()
    answer = await calls.subscriber.pull(
        {"subscription": calls.path(), "max_messages": 1, "return_immediately": True}, timeout=CALL
    )
    assert not answer.received_messages
    assert time.monotonic() - asked < 2


async def test_a_pull_that_waits_is_woken(calls: Calls) -> None:
    await calls.subscribe()
    pulling = asyncio.create_task(calls.pull(seconds=10))
    await asyncio.sleep(0.5)
    assert not pulling.done()
    await calls.publish(b"x")
    published = time.monotonic()
    assert data(await pulling) == [b"x"]
    assert time.monotonic() - published < 2


async def test_a_pull_of_no_messages_is_refused(calls: Calls) -> None:
    await calls.subscribe()
    with pytest.raises(gcp.InvalidArgument):
        await calls.pull(0)


# --- acknowledging and deadlines


async def test_what_is_acknowledged_never_comes_again(calls: Calls) -> None:
    await calls.subscribe()
    await calls.publish(b"1", b"2", b"3")
    await calls.ack(*await calls.receive(3))
    await calls.nothing_comes(ACK_DEADLINE + 3)


async def test_an_ack_may_be_repeated(calls: Calls) -> None:
    await calls.subscribe()
    await calls.publish(b"x")
    [received] = await calls.receive(1)
    for _ in range(2):
        await calls.ack(received)


async def test_what_is_not_acknowledged_comes_again_after_the_deadline(calls: Calls) -> None:
    await calls.subscribe(ack_deadline_seconds=ACK_DEADLINE)
    await calls.publish(b"x")
    [first] = await calls.receive(1)
    held = time.monotonic()
    [second] = await calls.receive(1)
    assert ACK_DEADLINE - 2 < time.monotonic() - held < ACK_DEADLINE + 5
    assert second.message.message_id == first.message.message_id
    assert second.ack_id != first.ack_id


async def test_a_nack_gives_back_only_what_it_names(calls: Calls) -> None:
    await calls.subscribe()
    await calls.publish(b"1", b"2")
    first, _ = await calls.receive(2)
    await calls.modify(0, first)
    [again] = await calls.receive(1)
    assert again.message.message_id == first.message.message_id
    assert await calls.pull() == []


async def test_a_deadline_can_be_moved_later(calls: Calls) -> None:
    await calls.subscribe(ack_deadline_seconds=ACK_DEADLINE)
    await calls.publish(b"x")
    [received] = await calls.receive(1)
    await calls.modify(30, received)
    await calls.nothing_comes(ACK_DEADLINE + 3)
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
    assert await calls.pull() == []


async def test_a_deadline_in_the_past_is_refused(calls: Calls) -> None:
    await calls.subscribe()
    await calls.publish(b"x")
    [received] = await calls.receive(1)
    with pytest.raises(gcp.InvalidArgument):
        await calls.modify(-1, received)


@wrong_in_emulator("it takes any")
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
    await asyncio.sleep(3)
    await calls.ack(received)
    await calls.nothing_comes(2)


async def test_an_ack_of_nothing_is_refused(calls: Calls) -> None:
    await calls.subscribe()
    with pytest.raises(gcp.InvalidArgument):
        await calls.ack()


# --- retry policy and dead letters


async def test_a_retry_policy_delays_what_failed(calls: Calls, is_google: bool) -> None:
    """`minimum_backoff`: "the minimum delay between consecutive deliveries of a given message".
    https://cloud.google.com/pubsub/docs/reference/rest/v1/projects.subscriptions#RetryPolicy
    The emulator delivers the second time at once, and only then keeps to it.
    """
    policy = RetryPolicy(minimum_backoff=timedelta(seconds=3), maximum_backoff=timedelta(seconds=3))
    await calls.subscribe(retry_policy=policy)
    await calls.publish(b"x")
    for wait in (0.0 if is_google else 3.0, 3.0):
        [received] = await calls.receive(1)
        failed = time.monotonic()
        await calls.modify(0, received)
        [again] = await calls.receive(1)
        assert wait - 0.5 < time.monotonic() - failed < wait + 3
        await calls.modify(0, again) if is_google and not wait else None


async def _with_dead_letters(calls: Calls, attempts: int = 5) -> None:
    dead = await calls.create_topic("dead")
    await calls.subscriber.create_subscription(
        name=calls.path("dead"), topic=dead.name, timeout=CALL
    )
    policy = DeadLetterPolicy(dead_letter_topic=dead.name, max_delivery_attempts=attempts)
    await calls.subscribe(dead_letter_policy=policy)


async def test_what_failed_too_often_is_a_dead_letter(calls: Calls) -> None:
    """https://cloud.google.com/pubsub/docs/handling-failures#dead_letter_topic"""
    await _with_dead_letters(calls)
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
    await _with_dead_letters(calls, 6)
    await calls.publish(b"x")
    for _ in range(5):
        [received] = await calls.receive(1)
        await calls.modify(0, received)
    [received] = await calls.receive(1)
    assert received.delivery_attempt == 6
    await calls.ack(received)
    await calls.nothing_comes(1, "dead")


# --- seeking


async def test_a_seek_to_now_leaves_nothing(calls: Calls) -> None:
    await calls.subscribe()
    await calls.publish(b"1", b"2")
    await calls.subscriber.seek({"subscription": calls.path(), "time": _in(5)}, timeout=CALL)
    await calls.nothing_comes(2)
    await calls.publish(b"3")  # published before that time as well, but after the seek


async def test_a_seek_back_brings_what_was_acknowledged_and_retained(calls: Calls) -> None:
    await calls.subscribe(retain_acked_messages=True, message_retention_duration=WEEK)
    await calls.publish(b"1", b"2")
    await calls.ack(*await calls.receive(2))
    await calls.subscriber.seek({"subscription": calls.path(), "time": _in(-60)}, timeout=CALL)
    assert set(data(await calls.receive(2))) == {b"1", b"2"}


@wrong_in_emulator("it delivers what the topic kept by itself")
async def test_a_new_subscription_has_nothing_of_what_its_topic_keeps_before_a_seek(
    broker: Calls,
) -> None:
    """https://cloud.google.com/pubsub/docs/replay-overview, docs/decisions/0023"""
    await broker.create_topic(message_retention_duration=WEEK)
    await broker.publish(b"before")
    await broker.subscribe()
    await broker.nothing_comes(1)


async def test_a_new_subscription_can_be_sought_back_to_what_its_topic_keeps(
    broker: Calls,
) -> None:
    """https://cloud.google.com/pubsub/docs/replay-overview#topic_message_retention"""
    await broker.create_topic(message_retention_duration=WEEK)
    await broker.publish(b"before")
    await broker.subscribe()
    await broker.subscriber.seek({"subscription": broker.path(), "time": _in(-60)}, timeout=CALL)
    assert data(await broker.receive(1)) == [b"before"]


def _in(seconds: float) -> datetime:
    return datetime.now(UTC) + timedelta(seconds=seconds)


# --- topics and subscriptions


async def test_a_topic_is_created_once_and_found(calls: Calls) -> None:
    found = await calls.publisher.get_topic(topic=calls.topic, timeout=CALL)
    assert found.name == calls.topic
    with pytest.raises(gcp.AlreadyExists):
        await calls.create_topic()


def _to_topic(calls: Calls, path: str) -> list[Awaitable[object]]:
    return [
        calls.publisher.get_topic(topic=path, timeout=CALL),
        calls.publisher.delete_topic(topic=path, timeout=CALL),
        calls.publish(b"x", topic=path),
        calls.subscriber.create_subscription(name=calls.path(), topic=path, timeout=CALL),
    ]


def _to_subscription(calls: Calls, path: str) -> list[Awaitable[object]]:
    return [
        calls.subscriber.get_subscription(subscription=path, timeout=CALL),
        calls.subscriber.delete_subscription(subscription=path, timeout=CALL),
        calls.subscriber.seek({"subscription": path, "time": _in(0)}, timeout=CALL),
        calls.subscriber.pull(subscription=path, max_messages=1, timeout=CALL),
        calls.subscriber.acknowledge(subscription=path, ack_ids=["1"], timeout=CALL),
        calls.subscriber.modify_ack_deadline(
            subscription=path, ack_ids=["1"], ack_deadline_seconds=10, timeout=CALL
        ),
    ]


async def test_a_topic_that_does_not_exist_is_not_found(calls: Calls) -> None:
    answers = _to_topic(calls, f"projects/{calls.project}/topics/none")
    for answer in await asyncio.gather(*answers, return_exceptions=True):
        assert isinstance(answer, gcp.NotFound)


@wrong_in_emulator("it has none")
async def test_the_subscriptions_of_a_topic_that_does_not_exist_are_not_found(
    calls: Calls,
) -> None:
    with pytest.raises(gcp.NotFound):
        await calls.publisher.list_topic_subscriptions(
            topic=f"projects/{calls.project}/topics/none", timeout=CALL
        )


async def test_a_subscription_that_does_not_exist_is_not_found(calls: Calls) -> None:
    answers = _to_subscription(calls, calls.path("none"))
    for answer in await asyncio.gather(*answers, return_exceptions=True):
        assert isinstance(answer, gcp.NotFound)


@pytest.mark.parametrize("name", ["ab", "1abc", "goog-mine", "a b c", "a/b", "x" * 256])
async def test_a_name_that_breaks_the_rules_is_refused(calls: Calls, name: str) -> None:
    """https://cloud.google.com/pubsub/docs/pubsub-basics#resource_names"""
    with pytest.raises(gcp.InvalidArgument):
        await calls.create_topic(name)
    with pytest.raises(gcp.InvalidArgument):
        await calls.subscribe(name)


async def test_a_subscription_is_found_as_it_was_created(calls: Calls) -> None:
    await calls.create_topic("dead")
    wanted = Subscription(
        name=calls.path(),
        topic=calls.topic,
        ack_deadline_seconds=60,
        message_retention_duration=timedelta(days=3),
        retain_acked_messages=True,
        labels={"team": "chat"},
        filter='attributes.kind = "chat"',
        expiration_policy=ExpirationPolicy(ttl=timedelta(days=2)),
        retry_policy=RetryPolicy(
            minimum_backoff=timedelta(seconds=1), maximum_backoff=timedelta(seconds=20)
        ),
        dead_letter_policy=DeadLetterPolicy(
            dead_letter_topic=f"projects/{calls.project}/topics/dead", max_delivery_attempts=7
        ),
    )
    await calls.subscriber.create_subscription(wanted, timeout=CALL)
    found = await calls.subscriber.get_subscription(subscription=calls.path(), timeout=CALL)
    del found.state
    del found.push_config  # there, and empty, on the emulator
    assert found == wanted


async def test_a_subscription_has_defaults(calls: Calls) -> None:
    found = await calls.subscribe()
    assert found.ack_deadline_seconds == 10
    assert found.message_retention_duration == WEEK


async def test_a_subscription_that_never_expires_says_so(calls: Calls) -> None:
    await calls.subscribe(expiration_policy=ExpirationPolicy())
    found = await calls.subscriber.get_subscription(subscription=calls.path(), timeout=CALL)
    assert "expiration_policy" in found
    assert not found.expiration_policy.ttl


@pytest.mark.parametrize(
    "settings",
    [
        {"ack_deadline_seconds": 601},
        {"message_retention_duration": timedelta(minutes=9)},
        {"message_retention_duration": timedelta(days=32)},
        {"retry_policy": {"minimum_backoff": timedelta(seconds=601)}},
    ],
    ids="-".join,
)
async def test_a_setting_out_of_bounds_is_refused(calls: Calls, settings: dict[str, Any]) -> None:
    with pytest.raises(gcp.InvalidArgument):
        await calls.subscribe(**settings)


@wrong_in_emulator("it takes less")
@pytest.mark.parametrize(
    "settings",
    [{"ack_deadline_seconds": 9}, {"expiration_policy": {"ttl": timedelta(hours=1)}}],
    ids="-".join,
)
async def test_the_shortest_times_are_10_seconds_and_a_day(
    calls: Calls, settings: dict[str, Any]
) -> None:
    """https://cloud.google.com/pubsub/docs/reference/rest/v1/projects.subscriptions#Subscription"""
    with pytest.raises(gcp.InvalidArgument):
        await calls.subscribe(**settings)


@pytest.mark.parametrize("attempts", [4, 101])
async def test_a_number_of_attempts_out_of_bounds_is_refused(calls: Calls, attempts: int) -> None:
    """The emulator calls it OUT_OF_RANGE; no code is documented."""
    with pytest.raises((gcp.InvalidArgument, gcp.OutOfRange)):
        await _with_dead_letters(calls, attempts)


async def test_a_dead_letter_topic_that_does_not_exist_is_not_found(calls: Calls) -> None:
    none = f"projects/{calls.project}/topics/none"
    with pytest.raises(gcp.NotFound):
        await calls.subscribe(dead_letter_policy=DeadLetterPolicy(dead_letter_topic=none))


async def test_an_update_changes_what_its_mask_names_and_nothing_else(calls: Calls) -> None:
    await calls.subscribe(ack_deadline_seconds=20, retain_acked_messages=True)
    changed = Subscription(name=calls.path(), topic=calls.topic, ack_deadline_seconds=30)
    await calls.subscriber.update_subscription(
        subscription=changed, update_mask=FieldMask(paths=["ack_deadline_seconds"]), timeout=CALL
    )
    found = await calls.subscriber.get_subscription(subscription=calls.path(), timeout=CALL)
    assert found.ack_deadline_seconds == 30
    assert found.retain_acked_messages


@wrong_in_emulator("labels cannot be updated there")
async def test_an_update_of_labels_replaces_all_of_them(calls: Calls) -> None:
    await calls.subscribe(labels={"a": "1", "b": "2"})
    changed = Subscription(name=calls.path(), topic=calls.topic, labels={"b": "3"})
    await calls.subscriber.update_subscription(
        subscription=changed, update_mask=FieldMask(paths=["labels"]), timeout=CALL
    )
    found = await calls.subscriber.get_subscription(subscription=calls.path(), timeout=CALL)
    assert dict(found.labels) == {"b": "3"}


@pytest.mark.parametrize("paths", [[], ["nothing_of_it"], ["topic"], ["name"], ["filter"]])
async def test_a_mask_that_is_empty_unknown_or_fixed_is_refused(
    calls: Calls, paths: list[str]
) -> None:
    """A filter cannot be changed: https://cloud.google.com/pubsub/docs/subscription-message-filter"""
    await calls.subscribe()
    changed = Subscription(name=calls.path(), topic=calls.topic, filter="attributes:x")
    with pytest.raises(gcp.InvalidArgument):
        await calls.subscriber.update_subscription(
            subscription=changed, update_mask=FieldMask(paths=paths), timeout=CALL
        )


async def test_a_topic_can_be_updated(calls: Calls) -> None:
    changed = Topic(name=calls.topic, message_retention_duration=WEEK)
    mask = FieldMask(paths=["message_retention_duration"])
    await calls.publisher.update_topic(topic=changed, update_mask=mask, timeout=CALL)
    found = await calls.publisher.get_topic(topic=calls.topic, timeout=CALL)
    assert found.message_retention_duration == WEEK


async def test_lists_have_pages(calls: Calls) -> None:
    names = [f"list-{n}" for n in range(5)]
    for name in names:
        await calls.create_topic(name)
        await calls.subscribe(name)
    project = f"projects/{calls.project}"
    topics = await calls.publisher.list_topics({"project": project, "page_size": 2}, timeout=CALL)
    pages = [len(page.topics) async for page in topics.pages]
    assert sum(pages) == 6
    assert max(pages) <= 2
    subscriptions = await calls.subscriber.list_subscriptions(
        {"project": project, "page_size": 2}, timeout=CALL
    )
    assert {each.name async for each in subscriptions} == {calls.path(name) for name in names}
    of_topic = await calls.publisher.list_topic_subscriptions(
        {"topic": calls.topic, "page_size": 2}, timeout=CALL
    )
    assert {name async for name in of_topic} == {calls.path(name) for name in names}


@wrong_in_emulator("it begins anew")
async def test_a_page_token_that_is_none_is_refused(calls: Calls) -> None:
    project = f"projects/{calls.project}"
    with pytest.raises(gcp.InvalidArgument):
        await calls.publisher.list_topics({"project": project, "page_token": "!"}, timeout=CALL)


async def test_a_subscription_outlives_its_topic_and_what_it_owes(calls: Calls) -> None:
    """https://cloud.google.com/pubsub/docs/reference/rest/v1/projects.topics/delete"""
    await calls.subscribe()
    await calls.publish(b"x")
    await calls.publisher.delete_topic(topic=calls.topic, timeout=CALL)
    found = await calls.subscriber.get_subscription(subscription=calls.path(), timeout=CALL)
    assert found.topic == "_deleted-topic_"
    await calls.create_topic()
    await calls.publish(b"of another topic of that name")
    assert data(await calls.receive(1)) == [b"x"]
    await calls.nothing_comes(1)


async def test_a_subscription_that_is_deleted_and_made_again_is_empty(calls: Calls) -> None:
    await calls.subscribe()
    await calls.publish(b"x")
    await calls.subscriber.delete_subscription(subscription=calls.path(), timeout=CALL)
    await calls.subscribe()
    await calls.nothing_comes(1)


@wrong_in_emulator("it has no DetachSubscription")
async def test_a_detached_subscription_refuses_to_be_pulled(calls: Calls) -> None:
    """https://cloud.google.com/pubsub/docs/detach-subscriptions"""
    await calls.subscribe()
    await calls.publish(b"x")
    await calls.publisher.detach_subscription({"subscription": calls.path()}, timeout=CALL)
    found = await calls.subscriber.get_subscription(subscription=calls.path(), timeout=CALL)
    assert found.detached
    with pytest.raises(gcp.FailedPrecondition):
        await calls.pull()
    attached = await calls.publisher.list_topic_subscriptions(topic=calls.topic, timeout=CALL)
    assert calls.path() not in [name async for name in attached]


# --- streaming pull


class Streaming:
    """A stream that the test reads and writes itself."""

    def __init__(self, calls: Calls, **first: Any) -> None:
        self.requests: asyncio.Queue[StreamingPullRequest | None] = asyncio.Queue()
        settings = {"stream_ack_deadline_seconds": 10, **first}
        self.requests.put_nowait(StreamingPullRequest(subscription=calls.path(), **settings))
        self._calls = calls

    async def _sent(self) -> AsyncIterator[StreamingPullRequest]:
        while (request := await self.requests.get()) is not None:
            yield request

    async def __aenter__(self) -> "Streaming":
        self.call: Any = await self._calls.subscriber.streaming_pull(
            requests=self._sent(), timeout=60, retry=None
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        self.call.cancel()
        self.requests.put_nowait(None)

    def send(self, **request: Any) -> None:
        self.requests.put_nowait(StreamingPullRequest(**request))

    async def receive(self, number: int) -> list[Any]:
        found: list[Any] = []
        async with asyncio.timeout(30):
            while len(found) < number:
                answer = await self.call.read()
                assert answer is not grpc.aio.EOF
                found += answer.received_messages
        return found

    async def is_silent(self, seconds: float) -> bool:
        """Ends the stream when it is: a read that is cancelled cancels its call."""
        try:
            async with asyncio.timeout(seconds):
                return not (await self.call.read()).received_messages
        except TimeoutError:
            return True


async def test_a_stream_brings_what_is_there_and_what_comes(calls: Calls) -> None:
    await calls.subscribe()
    await calls.publish(b"1")
    async with Streaming(calls) as stream:
        assert data(await stream.receive(1)) == [b"1"]
        await calls.publish(b"2")
        assert data(await stream.receive(1)) == [b"2"]


async def test_acks_on_a_stream_count(calls: Calls) -> None:
    await calls.subscribe()
    await calls.publish(b"1", b"2")
    async with Streaming(calls) as stream:
        first, second = await stream.receive(2)
        stream.send(ack_ids=[first.ack_id])
        stream.send(modify_deadline_ack_ids=[second.ack_id], modify_deadline_seconds=[0])
        [again] = await stream.receive(1)
        assert again.message.message_id == second.message.message_id
        stream.send(ack_ids=[again.ack_id])
        assert await stream.is_silent(ACK_DEADLINE + 2)


@wrong_in_emulator("it sends everything that is there")
async def test_a_stream_takes_no_more_than_it_said(calls: Calls) -> None:
    """https://cloud.google.com/pubsub/docs/flow-control-messages"""
    await calls.subscribe()
    await calls.publish(*(b"%d" % n for n in range(5)))
    async with Streaming(calls, max_outstanding_messages=2) as stream:
        held = await stream.receive(2)
        assert len(held) == 2
        stream.send(ack_ids=[held[0].ack_id])
        assert len(await stream.receive(1)) == 1
        assert await stream.is_silent(2)


@wrong_in_emulator("it sends everything that is there")
async def test_a_unary_ack_makes_room_on_a_stream(calls: Calls) -> None:
    """The clients of Python and others acknowledge so."""
    await calls.subscribe()
    await calls.publish(b"1", b"2")
    async with Streaming(calls, max_outstanding_messages=1) as stream:
        await calls.ack(*await stream.receive(1))
        assert len(await stream.receive(1)) == 1


async def test_a_stream_without_a_deadline_is_refused(calls: Calls) -> None:
    await calls.subscribe()
    async with Streaming(calls, stream_ack_deadline_seconds=5) as stream:
        with pytest.raises((gcp.InvalidArgument, grpc.aio.AioRpcError)) as error:
            await stream.receive(1)
        assert "INVALID_ARGUMENT" in repr(error.value) or isinstance(
            error.value, gcp.InvalidArgument
        )


async def test_two_streams_share_the_messages(calls: Calls) -> None:
    await calls.subscribe()
    async with (
        Streaming(calls, max_outstanding_messages=3) as one,
        Streaming(calls, max_outstanding_messages=3) as other,
    ):
        await asyncio.sleep(1)  # until both are known to the broker, which tells nobody
        await calls.publish(*(b"%d" % n for n in range(6)))
        both = data(await one.receive(3)) + data(await other.receive(3))
        assert len(set(both)) == 6


# --- order


async def test_messages_with_one_key_come_in_order(calls: Calls) -> None:
    """https://cloud.google.com/pubsub/docs/ordering"""
    await calls.subscribe(enable_message_ordering=True)
    for n in range(20):
        await calls.publish({"data": b"%d" % n, "ordering_key": "bot"})
    found: list[bytes] = []
    while len(found) < 20:
        received = await calls.receive(1)
        found += data(received)
        await calls.ack(*received)
    assert found == [b"%d" % n for n in range(20)]
