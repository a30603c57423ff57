"""However large messages are, an answer to a pull takes a bounded amount of memory."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import grpc
import pytest
from google.pubsub_v1.types import PubsubMessage, PullRequest, PullResponse, ReceivedMessage

from deletion.adapters.pubsub.connection import MAX_ANSWER_BYTES, PubSub
from deletion.adapters.pubsub.subscription import PULL_LIMIT, PullSubscription
from deletion.errors import BusUnavailable

PATH = "projects/a-project/subscriptions/bot-deletion.conversations"
LARGEST = 10_000_000
"""Bytes of data that Pub/Sub takes in one message."""


class Server(grpc.GenericRpcHandler):
    """A server whose pulls are answered with as many messages of `size` bytes as are asked for."""

    def __init__(self) -> None:
        self.size = LARGEST
        self.available = 10**6
        self.asked: list[int] = []

    def service(self, _: grpc.HandlerCallDetails) -> "grpc.RpcMethodHandler[bytes, bytes]":
        return grpc.unary_unary_rpc_method_handler(self.answer)

    async def answer(self, data: bytes, _: object) -> bytes:
        most = PullRequest.deserialize(data).max_messages
        self.asked.append(most)
        message = ReceivedMessage(ack_id="a", message=PubsubMessage(data=b"x" * self.size))
        sent = [message] * min(most, self.available)
        answer: bytes = PullResponse.serialize(PullResponse(received_messages=sent))
        return answer


@asynccontextmanager
async def connected(handler: Server) -> AsyncIterator[PullSubscription]:
    server = grpc.aio.server(options=[("grpc.max_send_message_length", -1)])
    server.add_generic_rpc_handlers([handler])
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    pubsub = PubSub(f"127.0.0.1:{port}")
    try:
        yield PullSubscription(pubsub.subscriber(), PATH)
    finally:
        await pubsub.close()
        await server.stop(0)


@pytest.mark.proves("recorded-in-seconds")
async def test_an_answer_that_is_too_large_is_refused_and_the_next_pulls_ask_for_less() -> None:
    server = Server()
    async with connected(server) as subscription:
        server.available = 4  # 40 MB
        with pytest.raises(BusUnavailable, match="ResourceExhausted"):
            await subscription.pull(PULL_LIMIT)
        server.available = 10**6
        for _ in range(3):
            pulled = await subscription.pull(PULL_LIMIT)
            assert 0 < sum(len(each.message.data) for each in pulled) <= MAX_ANSWER_BYTES
    assert server.asked == [PULL_LIMIT, 1, 2, 2]


async def test_small_messages_are_soon_pulled_by_the_group_again() -> None:
    server = Server()
    async with connected(server) as subscription:
        server.available = 4
        with pytest.raises(BusUnavailable):
            await subscription.pull(PULL_LIMIT)
        server.size, server.available = 200, 10**6
        while len(await subscription.pull(PULL_LIMIT)) < PULL_LIMIT:
            assert len(server.asked) < 10


async def test_a_trickle_of_large_messages_does_not_make_the_next_pulls_larger() -> None:
    """Nothing shows that more of them would fit."""
    server = Server()
    async with connected(server) as subscription:
        server.available = 4
        with pytest.raises(BusUnavailable):
            await subscription.pull(PULL_LIMIT)
        server.available = 1
        for _ in range(6):
            assert len(await subscription.pull(PULL_LIMIT)) == 1
    assert max(server.asked[1:]) == 2


async def test_a_group_of_events_is_far_from_the_bound() -> None:
    server = Server()
    server.size = 64 * 1024
    async with connected(server) as subscription:
        assert len(await subscription.pull(PULL_LIMIT)) == PULL_LIMIT
