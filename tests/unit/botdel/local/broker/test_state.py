"""The broker's state over a journal in memory, in moved time: retention, seek, dead letters."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.field_mask_pb2 import FieldMask
from google.pubsub_v1 import types

from botdel.local.broker.refusals import Refused
from botdel.local.broker.wire import PubsubMessage, whole_microseconds
from tests.unit.botdel.local.broker.world import (
    ALL,
    CHAT,
    DEAD,
    DEAD_CHAT,
    HOUR,
    MINUTE,
    TOPIC,
    World,
    data,
)


@pytest.fixture(params=["memory", "disk"])
def world(request: pytest.FixtureRequest, tmp_path: Path) -> World:
    return World(None if request.param == "memory" else tmp_path)


@pytest.fixture
def kept(tmp_path: Path) -> World:
    """A world that can be restarted."""
    return World(tmp_path)


# --- what is on disk


@pytest.mark.proves("broker-keeps")
def test_everything_unacked_is_there_after_a_restart_and_nothing_is_held(kept: World) -> None:
    kept.create_topic()
    kept.subscribe(ack_deadline_seconds=600)
    kept.publish(b"1", b"2", b"3")
    first, *_ = kept.take()
    kept.ack([first])
    kept.restart()
    assert data(kept.take()) == [b"2", b"3"]
    assert kept.chat.deadline_seconds == 600


@pytest.mark.proves("broker-keeps")
def test_attempts_outlast_a_restart(kept: World) -> None:
    kept.create_topic()
    kept.create_topic(DEAD)
    kept.subscribe(dead_letter_policy={"dead_letter_topic": DEAD})
    kept.publish(b"x")
    for _ in range(2):
        kept.nack(kept.take())
    kept.restart()
    [entry] = kept.take()
    assert entry.attempts == 2


def test_a_message_is_in_memory_once_also_after_a_restart(kept: World) -> None:
    kept.create_topic()
    kept.subscribe()
    kept.subscribe(DEAD_CHAT)
    kept.publish(b"1", b"2")
    kept.restart()
    other = kept.broker.subscriptions[DEAD_CHAT]
    for number, entry in kept.chat.entries.items():
        assert entry.message is other.entries[number].message


def test_an_ack_id_from_before_a_restart_still_counts_and_a_nack_does_not(kept: World) -> None:
    kept.create_topic()
    kept.subscribe()
    kept.publish(b"1", b"2")
    ids = [kept.chat.ack_id(entry) for entry in kept.take()]
    kept.restart()
    held = kept.take()
    kept.broker.modify(kept.chat, ids[1:], 0)
    assert kept.take() == []
    kept.broker.acknowledge(kept.chat, ids[:1])
    assert list(kept.chat.entries.values()) == held[1:]


def test_a_number_is_never_used_again(kept: World) -> None:
    kept.create_topic()
    kept.subscribe()
    kept.publish(b"x")
    [before] = kept.take()
    kept.ack([before])
    kept.collect()
    kept.time -= 100  # a clock that was set back
    kept.restart()
    kept.publish(b"y")
    [after] = kept.take()
    assert after.message.id > before.message.id


def test_what_no_subscription_and_no_topic_keeps_is_removed_from_the_disk(world: World) -> None:
    world.create_topic()
    world.publish(b"to nobody")
    assert world.on_disk() == 0
    world.subscribe()
    world.publish(b"1", b"2")
    world.ack(world.take(most=1))
    assert world.on_disk() == 1
    world.subscriptions.delete(CHAT)
    assert world.on_disk() == 0


@pytest.mark.proves("broker-keeps")
def test_what_is_refused_has_not_happened(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.create_topic()
    world.subscribe()
    world.publish(b"1")
    held = world.take()
    size = world.journal._db.execute("PRAGMA page_count").fetchone()[0]
    world.journal._db.execute(f"PRAGMA max_page_count = {size}")
    with pytest.raises(Refused, match="full") as error:
        world.publish(*[b"x" * 10_000] * 100)
    assert error.value.code is grpc.StatusCode.UNAVAILABLE
    assert list(world.chat.entries.values()) == held
    world.journal._db.execute("PRAGMA max_page_count = 100000")
    world.publish(b"2")
    assert data(world.take()) == [b"2"]


# --- retention


def test_what_is_older_than_its_subscription_keeps_it_is_dropped(world: World) -> None:
    world.create_topic()
    world.subscribe(message_retention_duration=timedelta(minutes=10))
    world.publish(b"old")
    world.time += 5 * MINUTE
    world.publish(b"new")
    world.time += 6 * MINUTE
    world.broker.expire_messages()
    assert data(world.take()) == [b"new"]
    assert world.on_disk() == 1


def test_a_topic_that_keeps_longer_decides(world: World) -> None:
    """https://cloud.google.com/pubsub/docs/replay-overview#topic_message_retention"""
    world.create_topic(message_retention_duration=timedelta(days=1))
    world.subscribe(message_retention_duration=timedelta(minutes=10))
    world.publish(b"x")
    world.time += HOUR
    world.broker.expire_messages()
    assert data(world.take()) == [b"x"]


def test_what_a_topic_keeps_goes_in_its_time(world: World) -> None:
    world.create_topic(message_retention_duration=timedelta(hours=1))
    world.publish(b"x")
    world.time += 59 * MINUTE
    assert world.on_disk() == 1
    world.time += 2 * MINUTE
    assert world.on_disk() == 0


def test_what_was_acknowledged_and_retained_goes_in_its_time(world: World) -> None:
    world.create_topic()
    world.subscribe(retain_acked_messages=True, message_retention_duration=timedelta(minutes=10))
    world.publish(b"x")
    world.ack(world.take())
    world.broker.expire_messages()
    assert world.on_disk() == 1
    world.time += 11 * MINUTE
    world.broker.expire_messages()
    assert world.on_disk() == 0


def test_what_was_retained_goes_when_that_is_turned_off(world: World) -> None:
    world.create_topic()
    world.subscribe(retain_acked_messages=True)
    world.publish(b"acked", b"unacked")
    world.ack(world.take(most=1))
    update(world, types.Subscription(name=CHAT), "retain_acked_messages")
    assert world.on_disk() == 1
    retaining = types.Subscription(name=CHAT, retain_acked_messages=True)
    update(world, retaining, "retain_acked_messages")
    world.seek(0)
    assert data(world.take()) == [b"unacked"]


# --- seek


def test_a_seek_forward_acknowledges_what_is_older(world: World) -> None:
    world.create_topic()
    world.subscribe()
    world.publish(b"1")
    world.time += 10
    world.publish(b"2")
    world.seek(world.time - 5)
    assert data(world.take()) == [b"2"]
    assert world.on_disk() == 1


@pytest.mark.parametrize("micros", [0.4, 0.5, 0.6])
def test_a_seek_to_the_time_of_a_message_leaves_it(world: World, micros: float) -> None:
    """https://cloud.google.com/pubsub/docs/reference/rest/v1/projects.subscriptions/seek"""
    world.create_topic()
    world.subscribe()
    world.time = 1_764_380_000.123456 + micros / 1e6
    world.publish(b"1")
    [entry] = world.chat.take(world.time, 1, ALL)
    told = PubsubMessage.FromString(entry.message.body).publish_time
    world.seek(whole_microseconds(told.ToNanoseconds() / 1e9))
    assert data(world.take()) == [b"1"]


def test_a_seek_back_without_retention_brings_nothing_again(world: World) -> None:
    world.create_topic()
    world.subscribe()
    world.publish(b"1", b"2")
    world.ack(world.take(most=1))
    world.seek(0)
    assert data(world.take()) == [b"2"]


@pytest.mark.proves("broker-as-documented")
def test_a_seek_back_brings_what_was_acknowledged_in_order_and_only_what_matches(
    kept: World,
) -> None:
    kept.create_topic(message_retention_duration=timedelta(hours=1))
    kept.subscribe(filter='attributes.kind = "chat"')
    kept.publish(b"1", kind="chat")
    kept.publish(b"2", kind="other")
    kept.publish(b"3", kind="chat")
    kept.ack(kept.take())
    kept.seek(0)
    assert data(kept.take()) == [b"1", b"3"]
    kept.restart()
    assert data(kept.take()) == [b"1", b"3"]


def test_a_seek_back_reaches_no_further_than_the_topic_keeps(world: World) -> None:
    world.create_topic(message_retention_duration=timedelta(minutes=10))
    world.publish(b"old")
    world.time += 8 * MINUTE
    world.publish(b"new")
    world.time += 5 * MINUTE
    world.subscribe()
    world.seek(0)
    assert data(world.take()) == [b"new"]


def test_a_seek_ends_what_is_held_and_forgets_attempts(kept: World) -> None:
    kept.create_topic()
    kept.create_topic(DEAD)
    kept.subscribe(dead_letter_policy={"dead_letter_topic": DEAD})
    kept.publish(b"x")
    kept.nack(kept.take())
    [held] = kept.take()
    ack_id = kept.chat.ack_id(held)
    kept.seek(0)
    kept.broker.acknowledge(kept.chat, [ack_id])
    [again] = kept.take()
    assert (again.message.id, again.attempts) == (held.message.id, 0)
    kept.restart()
    assert [entry.attempts for entry in kept.take()] == [0]


# --- deadlines and dead letters


def with_dead_letters(world: World, attempts: int = 5) -> None:
    world.create_topic()
    world.create_topic(DEAD)
    world.subscribe(DEAD_CHAT, DEAD)
    world.subscribe(
        dead_letter_policy={"dead_letter_topic": DEAD, "max_delivery_attempts": attempts}
    )


def test_deadlines_that_pass_count_towards_a_dead_letter(kept: World) -> None:
    with_dead_letters(kept)
    kept.publish(b"x")
    for _ in range(5):
        assert kept.take()
        kept.time += 10
        kept.broker.expire_leases()
    assert kept.take() == []
    assert data(kept.take(DEAD_CHAT)) == [b"x"]
    kept.restart()
    assert kept.take() == []
    assert data(kept.take(DEAD_CHAT)) == [b"x"]


def test_a_message_stays_while_its_dead_letter_topic_is_missing(world: World) -> None:
    """https://cloud.google.com/pubsub/docs/handling-failures"""
    with_dead_letters(world)
    world.publish(b"x")
    world.topics.delete(DEAD)
    for _ in range(7):
        world.nack(world.take())
    world.create_topic(DEAD)
    world.subscribe("projects/p/subscriptions/dead-2", DEAD)
    world.nack(world.take())
    assert data(world.take("projects/p/subscriptions/dead-2")) == [b"x"]


def test_a_deadline_that_passes_while_the_disk_is_full_loses_nothing(world: World) -> None:
    with_dead_letters(world)
    world.publish(b"x")
    for _ in range(4):
        world.nack(world.take())
    world.take()
    world.journal._db.execute("PRAGMA query_only = 1")
    world.time += 10
    world.broker.expire_leases()
    assert data(world.take()) == [b"x"]
    world.journal._db.execute("PRAGMA query_only = 0")
    world.time += 10
    world.broker.expire_leases()
    assert data(world.take(DEAD_CHAT)) == [b"x"]


def test_failures_in_a_lane_count_alike_in_memory_and_on_disk(kept: World) -> None:
    kept.create_topic()
    kept.create_topic(DEAD)
    kept.subscribe(enable_message_ordering=True, dead_letter_policy={"dead_letter_topic": DEAD})
    kept.publish(b"1", b"2", b"3", key="bot")
    held = kept.take()
    kept.nack([held[0], held[2]])  # the second comes again with them, and did not fail
    assert [entry.attempts for entry in kept.take()] == [1, 0, 1]
    kept.restart()
    assert [entry.attempts for entry in kept.take()] == [1, 0, 1]


def test_failures_that_nothing_asks_for_are_counted_nowhere(kept: World) -> None:
    kept.create_topic()
    kept.subscribe()
    kept.publish(b"x")
    kept.nack(kept.take())
    assert [entry.attempts for entry in kept.take()] == [0]


def test_a_dead_letter_waits_until_its_receivers_have_room(kept: World) -> None:
    with_dead_letters(kept)
    kept.broker.max_unacked_bytes = 1_000
    kept.publish(b"x" * 2_000, topic=DEAD)
    kept.publish(b"dead")
    for _ in range(6):
        kept.nack(kept.take())
    [large] = kept.take(DEAD_CHAT)
    kept.ack([large], DEAD_CHAT)
    kept.nack(kept.take())
    assert data(kept.take(DEAD_CHAT)) == [b"dead"]


def test_one_subscription_has_only_so_much_unacked(kept: World) -> None:
    kept.broker.max_unacked_bytes = 1_000
    kept.create_topic()
    kept.subscribe()
    kept.publish(b"x" * 2_000)
    with pytest.raises(Refused) as error:
        kept.publish(b"y")
    assert error.value.code is grpc.StatusCode.RESOURCE_EXHAUSTED
    kept.ack(kept.take())
    kept.publish(b"y")


# --- topics, subscriptions and masks


def test_a_topic_that_is_made_again_is_another(kept: World) -> None:
    kept.create_topic(message_retention_duration=timedelta(hours=1))
    kept.subscribe()
    kept.publish(b"1")
    kept.topics.delete(TOPIC)
    kept.create_topic(message_retention_duration=timedelta(hours=1))
    kept.publish(b"2")
    kept.subscribe("projects/p/subscriptions/new")
    kept.restart()
    new = kept.broker.subscriptions["projects/p/subscriptions/new"]
    kept.seek(0, new.name)
    assert data(kept.take("projects/p/subscriptions/new")) == [b"2"]
    assert kept.chat.settings.topic == "_deleted-topic_"
    assert data(kept.take()) == [b"1"]


def test_a_detached_subscription_stays_detached(kept: World) -> None:
    kept.create_topic()
    kept.subscribe()
    kept.publish(b"1")
    kept.subscriptions.detach(CHAT)
    kept.publish(b"2")
    kept.restart()
    kept.publish(b"3")
    assert kept.chat.entries == {}
    with pytest.raises(Refused) as error:
        kept.broker.use(CHAT)
    assert error.value.code is grpc.StatusCode.FAILED_PRECONDITION


def test_a_policy_can_be_removed_and_a_part_of_it_changed(world: World) -> None:
    with_dead_letters(world, 7)
    changed = types.Subscription(name=CHAT, dead_letter_policy={"max_delivery_attempts": 9})
    found = update(world, changed, "dead_letter_policy.max_delivery_attempts")
    assert found.dead_letter_policy.max_delivery_attempts == 9
    assert found.dead_letter_policy.dead_letter_topic == DEAD
    found = update(world, types.Subscription(name=CHAT), "dead_letter_policy")
    assert not found.HasField("dead_letter_policy")


def test_an_update_out_of_bounds_changes_nothing(world: World) -> None:
    world.create_topic()
    world.subscribe(ack_deadline_seconds=20)
    changed = types.Subscription(name=CHAT, ack_deadline_seconds=5, retain_acked_messages=True)
    with pytest.raises(Refused, match="ack_deadline_seconds"):
        update(world, changed, "ack_deadline_seconds", "retain_acked_messages")
    assert world.chat.deadline_seconds == 20
    assert not world.chat.settings.retain_acked_messages


@pytest.mark.parametrize("path", ["filter", "topic", "name", "enable_message_ordering", "nothing"])
def test_what_is_fixed_or_unknown_cannot_be_updated(world: World, path: str) -> None:
    world.create_topic()
    world.subscribe()
    with pytest.raises(Refused, match=path):
        update(world, types.Subscription(name=CHAT, filter="attributes:x"), path)


def update(world: World, wanted: types.Subscription, *paths: str) -> Any:
    request = types.UpdateSubscriptionRequest(
        subscription=wanted, update_mask=FieldMask(paths=paths)
    )
    return world.subscriptions.update(types.UpdateSubscriptionRequest.pb(request))


@pytest.mark.parametrize(
    "settings",
    [
        {"enable_exactly_once_delivery": True},
        {"push_config": {"push_endpoint": "https://example.com"}},
        {"bigquery_config": {"table": "p.d.t"}},
        {"message_transforms": [{"disabled": True}]},
    ],
    ids=lambda settings: next(iter(settings)),
)
def test_what_is_not_there_is_refused_by_name(world: World, settings: dict[str, Any]) -> None:
    world.create_topic()
    with pytest.raises(Refused, match="embedded broker does not have this") as error:
        world.subscribe(**settings)
    assert error.value.code is grpc.StatusCode.UNIMPLEMENTED
    assert world.broker.subscriptions == {}


@pytest.mark.parametrize(
    "settings",
    [
        {"schema_settings": {"schema": "projects/p/schemas/s"}},
        {"ingestion_data_source_settings": {"cloud_storage": {"bucket": "b"}}},
        {"message_transforms": [{"disabled": True}]},
    ],
    ids=lambda settings: next(iter(settings)),
)
def test_what_a_topic_cannot_have_is_refused_by_name(
    world: World, settings: dict[str, Any]
) -> None:
    [name] = settings
    with pytest.raises(Refused, match=f"^{name}: the embedded broker") as error:
        world.create_topic(**settings)
    assert error.value.code is grpc.StatusCode.UNIMPLEMENTED
    assert world.broker.topics == {}


def test_an_error_quotes_no_more_than_fits_into_an_answer(world: World) -> None:
    with pytest.raises(Refused) as refused:
        world.broker.topic(f"projects/p/topics/{'x' * 100_000}")
    assert len(str(refused.value)) <= 1_000
