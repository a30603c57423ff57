"""Streaming pull, and order, over both brokers."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
from google.api_core import exceptions as gcp
from google.pubsub_v1.types import ReceivedMessage, StreamingPullRequest

from tests.conformance.brokers import DELIVERED, Calls, data


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

    async def receive(self, number: int) -> list[ReceivedMessage]:
        """The next `number` deliveries. Fails when more come with them."""
        found: list[ReceivedMessage] = []
        async with asyncio.timeout(DELIVERED):
            while len(found) < number:
                found += await self._read()
        assert len(found) == number
        return found

    async def is_silent(self, seconds: float) -> bool:
        """Ends the stream when it is: a read that is cancelled cancels its call."""
        try:
            async with asyncio.timeout(seconds):
                while not await self._read():
                    pass
        except TimeoutError:
            return True
        return False

    async def _read(self) -> list[ReceivedMessage]:
        """The deliveries of the next answer, which may have none."""
        answer = await self.call.read()
        assert answer is not grpc.aio.EOF
        return list(answer.received_messages)


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
        ids = [first.ack_id, second.ack_id]
        stream.send(modify_deadline_ack_ids=ids, modify_deadline_seconds=[2, 0])
        stream.send(ack_ids=[first.ack_id])
        [again] = await stream.receive(1)
        assert again.message.message_id == second.message.message_id
        stream.send(modify_deadline_ack_ids=[again.ack_id], modify_deadline_seconds=[2])
        stream.send(ack_ids=[again.ack_id])
        assert await stream.is_silent(4)


@pytest.mark.wrong_in_emulator("it sends everything that is there")
async def test_a_stream_takes_no_more_than_it_said(calls: Calls) -> None:
    """https://cloud.google.com/pubsub/docs/flow-control-messages"""
    await calls.subscribe()
    await calls.publish(*(b"%d" % n for n in range(5)))
    async with Streaming(calls, max_outstanding_messages=2) as stream:
        held, _ = await stream.receive(2)
        stream.send(ack_ids=[held.ack_id])
        await stream.receive(1)
        assert await stream.is_silent(2)


@pytest.mark.wrong_in_emulator("it sends everything that is there")
async def test_a_unary_ack_makes_room_on_a_stream(calls: Calls) -> None:
    """The clients of Python and others acknowledge so."""
    await calls.subscribe()
    await calls.publish(b"1", b"2")
    async with Streaming(calls, max_outstanding_messages=1) as stream:
        await calls.ack(*await stream.receive(1))
        await stream.receive(1)


async def test_a_stream_with_too_short_a_deadline_is_refused(calls: Calls) -> None:
    await calls.subscribe()
    async with Streaming(calls, stream_ack_deadline_seconds=9) as stream:
        with pytest.raises(gcp.InvalidArgument):
            await stream.receive(1)


@pytest.mark.wrong_in_emulator("it sends everything that is there to one")
async def test_two_streams_share_the_messages(calls: Calls) -> None:
    await calls.subscribe()
    await calls.publish(*(b"%d" % n for n in range(6)))
    async with (
        Streaming(calls, max_outstanding_messages=3) as one,
        Streaming(calls, max_outstanding_messages=3) as other,
    ):
        both = data(await one.receive(3)) + data(await other.receive(3))
        assert len(set(both)) == 6


# --- order: https://cloud.google.com/pubsub/docs/ordering


async def subscribed_to_keys(calls: Calls) -> None:
    """With three messages of one key, published one after the other."""
    await calls.subscribe(enable_message_ordering=True, ack_deadline_seconds=60)
    for n in range(3):
        await calls.publish({"data": b"%d" % n, "ordering_key": "bot"})


async def test_messages_with_one_key_come_in_order_and_wait_for_those_before_them(
    calls: Calls,
) -> None:
    await subscribed_to_keys(calls)
    for n in range(3):
        received = await calls.receive(1)
        assert data(received) == [b"%d" % n]
        await calls.nothing_comes(1)
        await calls.ack(*received)


@pytest.mark.wrong_in_emulator("it waits until those behind it have failed or were acknowledged")
async def test_a_message_that_comes_again_brings_those_of_its_key_behind_it(calls: Calls) -> None:
    await subscribed_to_keys(calls)
    first, *_ = await calls.receive(3)
    await calls.modify(0, first)
    assert data(await calls.receive(3, within=3)) == [b"0", b"1", b"2"]
