"""A seek in steps: what happens between them, where it breaks off, and who calls it."""

import asyncio
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.pubsub_v1 import types

from botdel.local.broker import seeking
from botdel.local.broker.journal import NumberedMessage
from botdel.local.broker.refusals import Refused
from botdel.local.broker.seeking import Seek
from botdel.local.broker.service import Service
from botdel.local.broker.subscription import size
from tests.unit.botdel.local.broker.world import CHAT, World, data

OTHER = "projects/p/subscriptions/other"
ALL_ACKED = [b"%d" % number for number in range(7)]


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    """A topic that keeps seven messages, which its subscription has acknowledged."""
    monkeypatch.setattr(seeking, "STEP", 2)
    world = World(tmp_path)
    world.create_topic(message_retention_duration=timedelta(days=1))
    world.subscribe(ack_deadline_seconds=600, enable_message_ordering=True)
    world.publish(*ALL_ACKED, key="bot")
    world.ack(world.take())
    return world


def begun(world: World) -> Iterator[None]:
    """A seek back that has refilled some of the messages."""
    steps = Seek(world.broker, world.chat, 0).steps()
    while not world.chat.entries:
        next(steps)
    assert len(world.chat.entries) < len(ALL_ACKED)
    return steps


def ended(steps: Iterator[None]) -> None:
    for _ in steps:
        pass


def test_no_step_reads_more_than_it_may(world: World) -> None:
    unacked = 0
    for _ in Seek(world.broker, world.chat, 0).steps():
        assert len(world.chat.entries) <= unacked + 2
        unacked = len(world.chat.entries)


@pytest.mark.parametrize("filter_", ["", "attributes:none"], ids=["brought", "kept out"])
def test_no_step_reads_more_than_some_megabytes(
    world: World, monkeypatch: pytest.MonkeyPatch, filter_: str
) -> None:
    monkeypatch.setattr(seeking, "STEP", 500)
    world.publish(*[b"x" * 3_000_000] * 3, b"y" * 6_000_000)
    world.subscribe(OTHER, filter=filter_)
    sizes: list[int] = []
    read = world.journal.seekable

    def seen(*args: Any) -> list[tuple[NumberedMessage, bool]]:
        sizes.append(sum(len(each.body) for each, _ in read(args[0], args[1], 0, 1, 0)))
        return read(*args)

    monkeypatch.setattr(world.journal, "seekable", seen)
    world.seek(0, OTHER)
    assert len(sizes) == 4
    assert sorted(sizes)[-2] < 4_194_304 < sizes[-1]
    assert len(world.take(OTHER)) == (0 if filter_ else len(ALL_ACKED) + 4)


def test_what_is_published_in_between_counts_as_unacked(world: World) -> None:
    steps = begun(world)
    world.broker.max_unacked_bytes = 100_000
    world.publish(b"x" * 99_000, key="bot")
    world.publish(b"y" * 2_000, key="bot")
    with pytest.raises(Refused) as error:
        world.publish(b"z", key="bot")
    assert error.value.code is grpc.StatusCode.RESOURCE_EXHAUSTED
    world.broker.max_unacked_bytes = 200_000
    ended(steps)
    assert world.chat.bytes == sum(size(each.message) for each in world.chat.entries.values())


def test_what_is_published_in_between_comes_last(world: World) -> None:
    steps = begun(world)
    world.publish(b"new", key="bot")
    ended(steps)
    assert data(world.take()) == [*ALL_ACKED, b"new"]
    world.restart()
    assert data(world.take()) == [*ALL_ACKED, b"new"]


def test_what_is_published_during_a_seek_into_the_future_stays(world: World) -> None:
    world.publish(b"old")
    steps = Seek(world.broker, world.chat, world.time + 5).steps()
    next(steps)
    world.publish(b"during")
    ended(steps)
    assert data(world.take()) == [b"during"]


def test_what_is_delivered_and_acknowledged_in_between_stays_so(world: World) -> None:
    steps = begun(world)
    taken = world.take()
    world.ack(taken)
    ended(steps)
    assert data(taken + world.take()) == ALL_ACKED
    world.restart()
    assert len(world.take()) == len(ALL_ACKED) - len(taken)


@pytest.mark.proves("broker-keeps")
def test_a_kill_in_between_loses_nothing_and_a_repeat_completes_it(world: World) -> None:
    world.publish(b"unacked", key="bot")
    begun(world)
    world.restart()
    assert b"unacked" in data(world.take())
    world.seek(0)
    assert data(world.take()) == [*ALL_ACKED, b"unacked"]


def test_a_disk_that_fills_up_in_between_loses_nothing_and_a_repeat_completes_it(
    world: World,
) -> None:
    world.publish(b"unacked", key="bot")
    steps = begun(world)
    world.journal._db.execute("PRAGMA query_only = 1")
    with pytest.raises(Refused) as error:
        ended(steps)
    assert error.value.code is grpc.StatusCode.UNAVAILABLE
    world.journal._db.execute("PRAGMA query_only = 0")
    assert data(world.take())[-1] == b"unacked"
    world.seek(0)
    assert data(world.take()) == [*ALL_ACKED, b"unacked"]


def test_a_seek_that_finds_too_much_brings_what_there_is_room_for(world: World) -> None:
    world.publish(b"unacked", key="bot")
    world.broker.max_unacked_bytes = 2 * size(next(iter(world.chat.entries.values())).message)
    with pytest.raises(Refused, match="would have more") as error:
        world.seek(0)
    assert error.value.code is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert data(world.take()) == [*ALL_ACKED[:4], b"unacked"]


def test_a_subscription_that_goes_in_between_stays_gone(world: World) -> None:
    steps = begun(world)
    world.subscriptions.delete(CHAT)
    with pytest.raises(Refused, match="not found"):
        ended(steps)
    world.restart()
    assert world.broker.subscriptions == {}


def test_a_subscription_that_is_detached_in_between_stays_empty(world: World) -> None:
    steps = begun(world)
    world.subscriptions.detach(CHAT)
    with pytest.raises(Refused, match="is detached"):
        ended(steps)
    assert world.chat.entries == {}
    world.restart()
    assert world.chat.entries == {}


# --- as clients call it


class Clients:
    """Of one service."""

    context: Any = None

    def __init__(self, world: World) -> None:
        self._service = Service(world.broker)

    def seek(self, to: float) -> asyncio.Task[Any]:
        request = types.SeekRequest(subscription=CHAT, time=datetime.fromtimestamp(to, UTC))
        calling = self._service.seek(types.SeekRequest.pb(request), self.context)
        return asyncio.create_task(calling)


async def until(condition: Callable[[], bool]) -> None:
    """Let the loop take one turn after the other."""
    for _ in range(1_000):
        if condition():
            return
        await asyncio.sleep(0)
    raise AssertionError("it never came")


async def test_a_seek_goes_on_when_its_client_leaves(world: World) -> None:
    seeking = Clients(world).seek(0)
    await until(lambda: len(world.chat.entries) > 0)
    assert len(world.chat.entries) < len(ALL_ACKED)
    seeking.cancel()
    await until(lambda: len(world.chat.entries) == len(ALL_ACKED))
    assert data(world.take()) == ALL_ACKED


async def test_a_repeat_waits_for_the_seek_that_is_under_way(world: World) -> None:
    clients, epoch = Clients(world), world.chat.epoch
    first = clients.seek(0)
    await until(lambda: len(world.chat.entries) > 0)
    first.cancel()
    await clients.seek(0)
    assert data(world.take()) == ALL_ACKED
    assert world.chat.epoch == epoch + 1


@pytest.mark.parametrize(("times", "left"), [((0, 2e6), []), ((2e6, 0), ALL_ACKED)])
async def test_seeks_to_two_times_come_one_after_the_other(
    world: World, times: tuple[float, float], left: list[bytes]
) -> None:
    clients = Clients(world)
    await asyncio.gather(*map(clients.seek, times))
    assert data(world.take()) == left
    world.restart()
    assert data(world.take()) == left
