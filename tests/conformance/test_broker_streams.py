"""Streaming pull, and order, over both brokers."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
from google.api_core import exceptions as gcp
from google.pubsub_v1.types import (
    StreamingPullRequest,
)

from tests.conformance.brokers import (
    ACK_DEADLINE,
    Calls,
    data,
    wrong_in_emulator,
)


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


async def test_two_streams_share_the_messages(calls: Calls, is_google: bool) -> None:
    if is_google:
        pytest.skip("it ignores max_outstanding_messages (see above), so one may get all of them")
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
