"""A flow whose packets are swallowed without a word, as by a NAT gateway that has forgotten it."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass

import pytest

from botdel.local.server import LocalBroker
from deletion.adapters.pubsub.connection import Keepalive, PubSub
from deletion.adapters.pubsub.publisher import GroupingPublisher
from deletion.adapters.pubsub.subscription import PULL_SECONDS, PullSubscription
from deletion.bus import Message
from deletion.errors import BusUnavailable
from tests.support.polling import SLACK
from tests.support.proxy import Proxy

PULLING = Keepalive(every=3, within=1)
"""Seconds; longer than the emulator is silent while an empty pull waits."""
PUBLISHING = Keepalive(every=1, within=1)
WITHIN = 20.0
"""Seconds; a flow that nobody finds out takes a quarter of an hour."""


@dataclass
class Line:
    """A topic and its subscription behind a proxy, and a way round it."""

    proxy: Proxy
    publisher: GroupingPublisher
    subscription: PullSubscription
    beside: GroupingPublisher


@pytest.fixture
async def line(broker: LocalBroker, project: str) -> AsyncIterator[Line]:
    topic, path = f"projects/{project}/topics/events", f"projects/{project}/subscriptions/events"
    async with Proxy(broker.port) as proxy:
        direct = PubSub(broker.host)
        through = PubSub(f"127.0.0.1:{proxy.port}", pulling=PULLING, publishing=PUBLISHING)
        beside, subscriber = direct.publisher(), direct.subscriber()
        await beside.create_topic(name=topic)
        await subscriber.create_subscription(name=path, topic=topic)
        try:
            yield Line(
                proxy,
                GroupingPublisher(through.publisher(), topic, confirm_seconds=4),
                PullSubscription(through.subscriber(), path),
                GroupingPublisher(beside, topic),
            )
        finally:
            await through.close()
            await direct.close()


async def persisting(call: Callable[[], Awaitable[object]]) -> object:
    """The first result of `call` that is something, or that came without an error."""
    async with asyncio.timeout(WITHIN):
        while True:
            try:
                if (result := await call()) != []:
                    return result
            except BusUnavailable:
                await asyncio.sleep(0.1)


@pytest.mark.proves("swallowed-packets")
@pytest.mark.parametrize("idle", [False, True], ids=["while messages come", "while none come"])
async def test_a_pull_loop_leaves_a_flow_that_is_swallowed(line: Line, idle: bool) -> None:
    await line.beside.publish(Message(b"before", {}))
    assert await line.subscription.pull(1)
    if idle:
        assert await line.subscription.pull(1) == []
    line.proxy.black_hole()
    await line.beside.publish(Message(b"after", {}))
    pulled = await persisting(lambda: line.subscription.pull(10))
    assert isinstance(pulled, list)
    assert b"after" in [delivery.message.data for delivery in pulled]


@pytest.mark.proves("swallowed-packets")
async def test_publishing_leaves_a_flow_that_is_swallowed(line: Line) -> None:
    await line.publisher.publish(Message(b"before", {}))
    await asyncio.sleep(2 * PUBLISHING.every)  # a flow that nothing is sent on
    line.proxy.black_hole()
    await persisting(lambda: line.publisher.publish(Message(b"after", {})))


@pytest.mark.proves("swallowed-packets")
async def test_a_bus_that_swallows_everything_is_no_empty_subscription(line: Line) -> None:
    line.proxy.black_hole(new=True)
    began = time.monotonic()
    with pytest.raises(BusUnavailable):
        await line.subscription.pull(1)
    assert time.monotonic() - began < PULL_SECONDS + SLACK
    line.proxy.heal()
    await line.beside.publish(Message(b"after", {}))
    await persisting(lambda: line.subscription.pull(1))
