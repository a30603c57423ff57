"""What the suites over both brokers share: the clients, and waiting for deliveries."""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import grpc
from google.pubsub_v1.services.publisher import PublisherAsyncClient
from google.pubsub_v1.services.publisher.transports import PublisherGrpcAsyncIOTransport
from google.pubsub_v1.services.subscriber import SubscriberAsyncClient
from google.pubsub_v1.services.subscriber.transports import SubscriberGrpcAsyncIOTransport
from google.pubsub_v1.types import (
    DeadLetterPolicy,
    PubsubMessage,
    PullRequest,
    ReceivedMessage,
    Subscription,
    Topic,
)

CALL = 20.0
"""Seconds for one call, on a machine that does other things as well."""
DELIVERED = 30.0
ACK_DEADLINE = 10
"""Seconds; the shortest that Pub/Sub allows."""
WEEK = timedelta(days=7)
PAUSE = 0.05
"""Seconds between two pulls that are answered at once."""


@dataclass(frozen=True)
class Calls:
    """Both services of one broker, with names that no other test has."""

    publisher: PublisherAsyncClient
    subscriber: SubscriberAsyncClient
    project: str

    @property
    def topic(self) -> str:
        return f"projects/{self.project}/topics/events"

    def path(self, name: str = "chat") -> str:
        return f"projects/{self.project}/subscriptions/{name}"

    async def create_topic(self, name: str = "events", **settings: Any) -> Topic:
        path = f"projects/{self.project}/topics/{name}"
        wanted = Topic(name=path, **settings)
        return await self.publisher.create_topic(wanted, timeout=CALL, retry=None)

    async def subscribe(self, name: str = "chat", **settings: Any) -> Subscription:
        wanted = Subscription({"name": self.path(name), "topic": self.topic, **settings})
        return await self.subscriber.create_subscription(wanted, timeout=CALL)

    async def publish(
        self, *messages: bytes | dict[str, Any], topic: str = "", seconds: float = CALL
    ) -> list[str]:
        wanted = [PubsubMessage({"data": it} if isinstance(it, bytes) else it) for it in messages]
        answer = await self.publisher.publish(
            topic=topic or self.topic, messages=wanted, timeout=seconds, retry=None
        )
        return list(answer.message_ids)

    async def pull(
        self, most: int = 10, name: str = "chat", seconds: float = 0
    ) -> list[ReceivedMessage]:
        """What one pull brings, which may be nothing: at once, or after waiting for `seconds`.

        One that waits is answered shortly before its deadline. On a busy machine the answer may
        come too late, so only tests about waiting wait.
        """
        request = PullRequest(
            subscription=self.path(name), max_messages=most, return_immediately=not seconds
        )
        answer = await self.subscriber.pull(request, timeout=seconds or CALL, retry=None)
        return list(answer.received_messages)

    async def receive(
        self, number: int, name: str = "chat", within: float = DELIVERED
    ) -> list[ReceivedMessage]:
        """The next `number` deliveries, over as many pulls as it takes `within` seconds."""
        found: list[ReceivedMessage] = []
        deadline = time.monotonic() + within
        while len(found) < number:
            assert time.monotonic() < deadline, f"{len(found)} of {number} were delivered"
            if came := await self.pull(number - len(found), name):
                found += came
            else:
                await asyncio.sleep(PAUSE)
        return found

    async def nothing_comes(self, seconds: float, name: str = "chat") -> None:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            assert await self.pull(10, name) == []
            await asyncio.sleep(PAUSE)

    async def ack(self, *received: ReceivedMessage, name: str = "chat") -> None:
        ids = [each.ack_id for each in received]
        await self.subscriber.acknowledge(
            subscription=self.path(name), ack_ids=ids, timeout=CALL, retry=None
        )

    async def modify(self, seconds: int, *received: ReceivedMessage, name: str = "chat") -> None:
        await self.subscriber.modify_ack_deadline(
            subscription=self.path(name),
            ack_ids=[each.ack_id for each in received],
            ack_deadline_seconds=seconds,
            timeout=CALL,
            retry=None,
        )


@asynccontextmanager
async def calls_to(host: str) -> AsyncIterator[Calls]:
    """Clients without retries of their own where it matters, in a project of their own."""
    options = [("grpc.max_receive_message_length", -1)]
    async with grpc.aio.insecure_channel(host, options=options) as channel:
        yield Calls(
            PublisherAsyncClient(transport=PublisherGrpcAsyncIOTransport(channel=channel)),
            SubscriberAsyncClient(transport=SubscriberGrpcAsyncIOTransport(channel=channel)),
            f"test-{uuid4().hex[:16]}",
        )


def data(received: Sequence[ReceivedMessage]) -> list[bytes]:
    return [each.message.data for each in received]


def moment(seconds: float) -> datetime:
    """So many seconds from now."""
    return datetime.now(UTC) + timedelta(seconds=seconds)


async def with_dead_letters(calls: Calls, attempts: int = 5) -> None:
    """The subscription `chat` with a policy, and `dead` on the topic that it names."""
    dead = await calls.create_topic("dead")
    await calls.subscriber.create_subscription(
        name=calls.path("dead"), topic=dead.name, timeout=CALL
    )
    policy = DeadLetterPolicy(dead_letter_topic=dead.name, max_delivery_attempts=attempts)
    await calls.subscribe(dead_letter_policy=policy)
