"""Room is reserved before a pull: no more is taken than there are places."""

import asyncio

from consumers.slots import Slots
from tests.support.fakes import settle


async def test_all_that_is_free_is_taken_up_to_the_limit() -> None:
    slots = Slots(8)
    assert await slots.reserve(100) == 8
    slots.release(8)
    assert await slots.reserve(3) == 3
    assert slots.free == 5


async def test_who_finds_no_place_waits_for_one() -> None:
    slots = Slots(2)
    await slots.reserve(2)
    waiting = asyncio.create_task(slots.reserve(2))
    await settle()
    assert not waiting.done()
    slots.release()
    assert await waiting == 1
    assert slots.free == 0


async def test_a_place_that_was_taken_meanwhile_is_waited_for_again() -> None:
    slots = Slots(1)
    await slots.reserve(1)
    first, second = (asyncio.create_task(slots.reserve(1)) for _ in range(2))
    await settle()
    slots.release()
    await settle()
    assert first.done() != second.done()
    slots.release()
    assert sorted([await first, await second]) == [1, 1]
    assert slots.free == 0


async def test_nothing_is_reserved_once_closed_and_who_waits_gets_nothing() -> None:
    slots = Slots(1)
    await slots.reserve(1)
    waiting = asyncio.create_task(slots.reserve(1))
    await settle()
    slots.close()
    assert await waiting == 0
    slots.release()
    assert await slots.reserve(1) == 0
    assert slots.free == 1
