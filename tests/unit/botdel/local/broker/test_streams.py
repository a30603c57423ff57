"""Pulls and streams that wait for one subscription, without a network."""

import asyncio
from datetime import timedelta
from typing import Any

import grpc
import pytest
from google.pubsub_v1 import types

from botdel.local.broker.feed import Feed, pull
from botdel.local.broker.refusals import Refused, not_found, stopping
from botdel.local.broker.streams import Stream
from botdel.local.broker.wire import StreamingPullResponse
from tests.unit.botdel.local.broker.world import CHAT, TOPIC, World, data

LARGE = b"x" * 900_000


class Served(World):
    """A world with a topic, a subscription and its feed."""

    def __init__(self, **settings: Any) -> None:
        super().__init__()
        self.create_topic()
        self.subscribe(ack_deadline_seconds=600, **settings)
        self.feed = Feed(self.chat, lambda: self.time)
        self.broker.on_ready = lambda _: self.feed.wake()

    def stream(self, **first: Any) -> Stream:
        settings = {"subscription": CHAT, "stream_ack_deadline_seconds": 10, **first}
        stream = Stream(self.broker, self.feed, request(**settings))
        self.feed.add(stream)
        return stream


def request(**fields: Any) -> Any:
    return types.StreamingPullRequest.pb(types.StreamingPullRequest(fields))


async def read(stream: Stream) -> list[Any]:
    async with asyncio.timeout(5):
        answer = await stream.answer()
    assert answer is not None
    return list(StreamingPullResponse.FromString(answer).received_messages)


async def settled() -> None:
    """Let everything run that is due in the loop."""
    for _ in range(5):
        await asyncio.sleep(0)


async def test_a_stream_takes_no_more_than_it_said_and_a_unary_ack_makes_room() -> None:
    served = Served()
    served.publish(*(b"%d" % n for n in range(5)))
    stream = served.stream(max_outstanding_messages=2)
    held = await read(stream)
    stream.sent()
    await settled()
    assert [each.message.data for each in held] == [b"0", b"1"]
    assert stream.room[0] == 0
    assert len(served.chat.entries) == 5
    served.broker.acknowledge(served.chat, [held[0].ack_id])
    assert [each.message.data for each in await read(stream)] == [b"2"]


async def test_a_stream_is_bounded_in_bytes_too() -> None:
    served = Served()
    served.publish(b"x" * 100, b"y" * 100)
    stream = served.stream(max_outstanding_bytes=50)
    [first] = await read(stream)
    stream.sent()
    await settled()
    assert stream.room[1] <= 0
    stream.request(request(ack_ids=[first.ack_id]))
    assert len(await read(stream)) == 1


async def test_while_an_answer_waits_to_be_written_a_stream_takes_nothing_more() -> None:
    served = Served()
    served.stream()
    served.publish(b"1")
    await settled()
    served.publish(b"2")
    await settled()
    assert data(served.take()) == [b"2"]


async def test_a_stream_that_closes_gives_back_what_it_held_as_failed() -> None:
    """Or a client that dies of a message would get it again and again, and at once."""
    served = Served(retry_policy={"minimum_backoff": timedelta()})
    served.publish(b"1", b"2")
    stream = served.stream()
    assert len(await read(stream)) == 2
    assert served.take() == []
    stream.close()
    entries = served.take()
    assert data(entries) == [b"1", b"2"]
    assert [entry.attempts for entry in entries] == [1, 1]
    assert served.feed.is_idle


@pytest.mark.parametrize("error", [stopping(), not_found(CHAT)], ids=["stopped", "deleted"])
async def test_a_stream_that_the_broker_ends_gives_back_what_it_held_and_nobody_failed(
    error: Refused,
) -> None:
    served = Served(dead_letter_policy={"dead_letter_topic": TOPIC, "max_delivery_attempts": 5})
    served.publish(b"x")
    for _ in range(4):
        served.nack(served.take())
    stream = served.stream()
    [held] = await read(stream)
    assert held.delivery_attempt == 5
    served.feed.end(error)
    stream.close()
    [again] = served.take()
    assert (data([again]), again.attempts) == ([b"x"], 4)


async def test_acks_and_deadlines_on_a_stream_count() -> None:
    served = Served()
    served.publish(b"1", b"2", b"3")
    stream = served.stream()
    first, second, third = await read(stream)
    stream.request(
        request(
            ack_ids=[first.ack_id],
            modify_deadline_ack_ids=[second.ack_id, third.ack_id],
            modify_deadline_seconds=[0, 60],
        )
    )
    [again] = await read(stream)
    assert again.message.message_id == second.message.message_id
    served.time += 20
    served.broker.expire_leases()
    stream.sent()
    [expired] = await read(stream)
    assert expired.message.message_id == second.message.message_id
    assert len(served.chat.entries) == 2


@pytest.mark.parametrize(
    "fields",
    [
        {"subscription": CHAT},
        {"stream_ack_deadline_seconds": 9},
        {"modify_deadline_ack_ids": ["1:2:3:4"]},
        {"ack_ids": ["nonsense"]},
    ],
    ids=lambda fields: next(iter(fields)),
)
async def test_a_request_that_is_wrong_is_refused(fields: dict[str, Any]) -> None:
    stream = Served().stream()
    with pytest.raises(Refused) as error:
        stream.request(request(**fields))
    assert error.value.code is grpc.StatusCode.INVALID_ARGUMENT


async def test_a_client_that_asks_whether_the_server_is_alive_is_answered_once_at_a_time() -> None:
    stream = Served().stream(protocol_version=1)
    for _ in range(100):
        stream.request(request())
    assert await read(stream) == []
    assert not stream._pending
    silent = Served().stream()
    silent.request(request())
    assert not silent._pending


async def test_streams_and_pulls_take_turns() -> None:
    served = Served()
    streams = [served.stream(max_outstanding_messages=1) for _ in range(3)]
    waiting = asyncio.create_task(pull(served.feed, 1, 5))
    await settled()
    served.publish(*(b"%d" % n for n in range(4)))
    found = [(await read(stream))[0].message.data for stream in streams]
    assert {*found, *data(await waiting)} == {b"0", b"1", b"2", b"3"}


async def test_a_pull_brings_at_most_3_megabytes_whether_it_waited_or_not() -> None:
    served = Served()
    waiting = asyncio.create_task(pull(served.feed, 10, 5))
    await settled()
    served.publish(*[LARGE] * 7)
    assert len(await waiting) == 3
    assert len(await pull(served.feed, 10, 5)) == 3


async def test_an_answer_on_a_stream_has_at_most_3_megabytes() -> None:
    served = Served()
    served.publish(*[LARGE] * 4)
    stream = served.stream()
    assert len(await read(stream)) == 3
    stream.sent()
    assert len(await read(stream)) == 1


async def test_a_message_of_more_than_3_megabytes_comes_alone() -> None:
    served = Served()
    served.publish(b"1", b"x" * 4_000_000, b"3")
    found = [data(await pull(served.feed, 10, 5)) for _ in range(3)]
    assert [len(each) for each in found] == [1, 1, 1]


async def test_a_pull_that_is_cancelled_gives_back_what_it_was_just_given() -> None:
    served = Served()
    waiting = asyncio.create_task(pull(served.feed, 1, 5))
    await settled()
    served.publish(b"x")
    served.feed._give()
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert data(served.take()) == [b"x"]
    assert served.feed.is_idle


async def test_a_pull_ends_with_its_time_or_with_its_subscription() -> None:
    served = Served()
    assert list(await pull(served.feed, 1, 0.01)) == []
    waiting = asyncio.create_task(pull(served.feed, 1, 5))
    stream = served.stream()
    await settled()
    served.feed.end(not_found(CHAT))
    for ended in (waiting, asyncio.create_task(stream.answer())):
        with pytest.raises(Refused, match="not found"):
            await ended


async def test_a_subscription_in_order_says_so_on_its_streams() -> None:
    served = Served(enable_message_ordering=True)
    stream = served.stream()
    served.publish(b"x")
    answer = await stream.answer()
    assert answer is not None
    found = StreamingPullResponse.FromString(answer)
    assert found.subscription_properties.message_ordering_enabled
    assert [each.message.data for each in found.received_messages] == [b"x"]
