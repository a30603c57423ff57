"""Topics and subscriptions over both brokers: creating, updating, listing and deleting."""

import asyncio
from collections.abc import Awaitable
from datetime import timedelta
from typing import Any

import pytest
from google.api_core import exceptions as gcp
from google.protobuf.field_mask_pb2 import FieldMask
from google.pubsub_v1.types import (
    DeadLetterPolicy,
    ExpirationPolicy,
    RetryPolicy,
    Subscription,
    Topic,
)

from tests.conformance.brokers import (
    CALL,
    WEEK,
    Calls,
    data,
    moment,
    with_dead_letters,
)


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
        calls.subscriber.seek({"subscription": path, "time": moment(0)}, timeout=CALL),
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


@pytest.mark.wrong_in_emulator("it has none")
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


@pytest.mark.wrong_in_emulator("it takes less")
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
        await with_dead_letters(calls, attempts)


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


@pytest.mark.wrong_in_emulator("labels cannot be updated there")
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


@pytest.mark.wrong_in_emulator("it begins anew")
async def test_a_page_token_that_is_none_is_refused(calls: Calls) -> None:
    project = f"projects/{calls.project}"
    with pytest.raises(gcp.InvalidArgument):
        await calls.publisher.list_topics({"project": project, "page_token": "!"}, timeout=CALL)


async def test_a_subscription_outlives_its_topic_with_what_is_unacked(calls: Calls) -> None:
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


@pytest.mark.wrong_in_emulator("it has no DetachSubscription")
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
