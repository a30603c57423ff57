"""One suite for both brokers as real processes: Google's emulator and the embedded one.

Where they differ, the documentation of Pub/Sub decides, and the test says where it is written. What
the emulator has wrong is marked with `wrong_in_emulator`. Here: publishing and pulling. Deadlines
and dead letters, resources, and streams have files of their own.
"""

import asyncio
import time
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from google.api_core import exceptions as gcp

from tests.conformance.brokers import CALL, Calls, data
from tests.support.polling import SLACK


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


@pytest.mark.wrong_in_emulator("it takes attributes of any size, number and key")
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


@pytest.mark.wrong_in_emulator("it does not answer at all")
async def test_a_request_of_more_than_10_megabytes_is_refused(calls: Calls) -> None:
    with pytest.raises(gcp.InvalidArgument):
        await calls.publish(b"x" * 5_500_000, b"x" * 5_500_000, seconds=5)


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


@pytest.mark.proves("broker-as-documented")
@pytest.mark.wrong_in_emulator("it stores filters and ignores them")
async def test_a_filter_is_obeyed(calls: Calls) -> None:
    """https://cloud.google.com/pubsub/docs/subscription-message-filter"""
    await calls.subscribe(filter='attributes.kind = "chat"')
    await calls.publish(
        {"data": b"1", "attributes": {"kind": "x"}}, {"data": b"2", "attributes": {"kind": "chat"}}
    )
    assert data(await calls.receive(1)) == [b"2"]
    await calls.nothing_comes(1)


@pytest.mark.wrong_in_emulator("it takes any text")
async def test_a_filter_that_cannot_be_parsed_is_refused(calls: Calls) -> None:
    with pytest.raises(gcp.InvalidArgument):
        await calls.subscribe(filter="attributes:")


async def test_a_subscription_has_nothing_of_the_time_before_it(calls: Calls) -> None:
    await calls.publish(b"before")
    await calls.subscribe()
    await calls.nothing_comes(1)


async def test_a_pull_brings_at_most_what_it_asks_for(calls: Calls) -> None:
    await calls.subscribe()
    await calls.publish(*[b"x"] * 5)
    assert len(await calls.receive(1)) == 1
    assert len(await calls.pull(2)) <= 2


async def test_a_pull_that_waits_brings_at_most_what_it_asks_for(calls: Calls) -> None:
    await calls.subscribe()
    pulling = asyncio.create_task(calls.pull(2, seconds=CALL))
    await asyncio.sleep(0.5)  # until it waits
    await calls.publish(*[b"x"] * 5)
    assert 1 <= len(await pulling) <= 2


async def test_an_empty_pull_is_answered_before_its_deadline(calls: Calls) -> None:
    await calls.subscribe()
    for _ in range(5):  # a busy machine may be late
        with suppress(gcp.DeadlineExceeded):
            assert await calls.pull(seconds=3) == []
            return
    pytest.fail("no pull was answered before its deadline")


async def test_a_pull_can_be_answered_at_once(calls: Calls) -> None:
    await calls.subscribe()
    asked = time.monotonic()
    assert await calls.pull() == []
    assert time.monotonic() - asked < SLACK


async def test_a_pull_that_waits_is_woken(calls: Calls) -> None:
    await calls.subscribe()
    pulling = asyncio.create_task(calls.pull(seconds=10))
    await asyncio.sleep(0.5)  # no answer comes meanwhile
    assert not pulling.done()
    await calls.publish(b"x")
    published = time.monotonic()
    assert data(await pulling) == [b"x"]
    assert time.monotonic() - published < SLACK


async def test_a_pull_of_no_messages_is_refused(calls: Calls) -> None:
    await calls.subscribe()
    with pytest.raises(gcp.InvalidArgument):
        await calls.pull(0)
