"""A seek that is asked for again while an equal one is under way."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from google.pubsub_v1 import types

from botdel.local.broker import seeking
from botdel.local.broker.service import Service
from tests.unit.botdel.local.broker.world import CHAT, DAY, World, data

CONTEXT: Any = None
OLD = [b"%d" % number for number in range(7)]


class Seeking(World):
    """A topic that keeps its messages, a subscription with some unacked, and the service."""

    def __init__(self) -> None:
        super().__init__()
        self.service = Service(self.broker)
        self.create_topic(message_retention_duration=timedelta(days=1))
        self.subscribe(ack_deadline_seconds=600)
        self.publish(*OLD)

    def sought(self, to: float) -> asyncio.Task[Any]:
        request = types.SeekRequest(subscription=CHAT, time=datetime.fromtimestamp(to, UTC))
        return asyncio.create_task(self.service.seek(types.SeekRequest.pb(request), CONTEXT))

    async def begun(self, to: float) -> asyncio.Task[Any]:
        """A seek that has made a few of its steps."""
        seek = self.sought(to)
        for _ in range(6):
            await asyncio.sleep(0)
        assert not seek.done()
        return seek


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> Seeking:
    monkeypatch.setattr(seeking, "STEP", 1)
    return Seeking()


async def test_it_waits_for_the_one_under_way(world: Seeking) -> None:
    epoch = world.chat.epoch
    await asyncio.gather(await world.begun(0), world.sought(0))
    assert data(world.take()) == OLD
    assert world.chat.epoch == epoch + 1


async def test_it_acknowledges_what_was_published_in_between(world: Seeking) -> None:
    future = world.time + DAY
    first = await world.begun(future)
    world.publish(b"in between")
    await asyncio.gather(first, world.sought(future))
    assert world.take() == []


async def test_it_brings_again_what_was_acknowledged_in_between(world: Seeking) -> None:
    first = await world.begun(0)
    world.ack(world.take(most=1))
    await asyncio.gather(first, world.sought(0))
    assert data(world.take()) == OLD
