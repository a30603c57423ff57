"""What was read for a page is kept for the browsers that ask next, and not for longer."""

import asyncio
import gc
import weakref

import pytest

from console.snapshots import MOST, OLD_SECONDS, Snapshots
from tests.support.clock import VirtualClock

pytestmark = pytest.mark.virtual_time


class Page:
    """A page in memory."""


class Reads:
    """Reads pages, each in a second, and knows which are still in memory."""

    def __init__(self) -> None:
        self.pages: list[weakref.ref[Page]] = []

    async def __call__(self) -> Page:
        page = Page()
        self.pages.append(weakref.ref(page))
        await asyncio.sleep(1)
        return page

    @property
    def kept(self) -> int:
        gc.collect()
        return sum(each() is not None for each in self.pages)


async def test_what_nobody_asks_for_any_more_is_dropped_without_a_further_question() -> None:
    snapshots, read = Snapshots(VirtualClock().monotonic), Reads()
    await snapshots.get("a", read)
    await asyncio.sleep(3)
    await snapshots.get("b", read)
    assert read.kept == 2
    await asyncio.sleep(OLD_SECONDS - 4)
    assert read.kept == 1
    await asyncio.sleep(4)
    assert read.kept == 0


async def test_those_who_ask_together_read_once_and_pages_in_memory_are_bounded() -> None:
    snapshots, read = Snapshots(VirtualClock().monotonic), Reads()
    await asyncio.gather(*(snapshots.get("a", read) for _ in range(5)))
    assert len(read.pages) == 1
    await asyncio.gather(*(snapshots.get(key, read) for key in range(MOST + 10)))
    await asyncio.sleep(0)
    assert (len(read.pages), read.kept) == (MOST + 11, MOST)
