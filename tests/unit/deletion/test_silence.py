"""Walking the silent jobs in pages: each is seen once, whatever moves meanwhile."""

from collections import deque
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest

from deletion.errors import StoreUnavailable
from deletion.job import Job, Status
from deletion.ports import Read, Unreadable
from deletion.retry import Retry
from deletion.silence import silent_pages
from tests.support.clock import START, VirtualClock
from tests.support.factories import a_job
from tests.support.scripted_stores import ScriptedStore

pytestmark = pytest.mark.virtual_time

TICK = timedelta(milliseconds=1)
UNTIL = START + timedelta(hours=1)


def store_of(*after: int) -> ScriptedStore:
    """A failed job for each, last modified so many milliseconds after `START`."""
    store = ScriptedStore(VirtualClock())
    for number, ticks in enumerate(after):
        identity = f"{number:024x}"
        at = START + ticks * TICK
        store.put(a_job(Status.FAILED, id=identity, bot_id=identity, last_modified_at=at))
    return store


async def walk(
    store: ScriptedStore, size: int, seen: Callable[[Read], object] = lambda _: None
) -> list[list[int]]:
    """The numbers of the jobs of each page."""
    pages = []
    retry = Retry(VirtualClock(), attempts=4)
    async for page in silent_pages(store, Status.FAILED, until=UNTIL, size=size, retry=retry):
        pages.append([int(job.id, 16) for job in page])
        assert len(pages) < 100, "it sees the same ones again and again"
        for job in page:
            seen(job)
    return pages


async def test_nothing_silent_is_no_page() -> None:
    assert await walk(store_of(), 3) == []


async def test_the_longest_silent_come_first_in_pages_of_the_size() -> None:
    assert await walk(store_of(4, 0, 3, 1, 2), 2) == [[1, 3], [4, 2], [0]]


@pytest.mark.parametrize("size", [1, 2, 3, 7, 100])
@pytest.mark.parametrize("after", [[0] * 7, [0, 0, 0, 1, 1, 2, 2, 2, 3], [5, 5, 0, 0, 5, 0]])
async def test_each_is_seen_once_though_many_went_silent_at_one_moment(
    size: int, after: list[int]
) -> None:
    """None of them moves: those that cannot be read stand there for ever."""
    pages = await walk(store_of(*after), size)
    assert sorted(number for page in pages for number in page) == list(range(len(after)))
    assert all(len(page) <= size for page in pages)


async def test_what_is_moved_is_not_seen_again_and_hides_nothing() -> None:
    store = store_of(0, 0, 0, 1, 1, 2)

    def move(read: Read) -> None:
        assert isinstance(read, Job)
        if int(read.id, 16) % 2:
            store.put(replace(read, status=Status.PENDING))

    pages = await walk(store, 2, move)
    assert sorted(number for page in pages for number in page) == [0, 1, 2, 3, 4, 5]


async def test_what_beat_after_the_walk_began_is_left_out() -> None:
    store = store_of(0, 1, 2)

    def beat(read: Read) -> None:
        assert isinstance(read, Job)
        store.put(replace(read, last_modified_at=UNTIL + TICK))

    assert await walk(store, 2, beat) == [[0, 1], [2]]


async def test_a_database_away_for_a_moment_is_waited_for_and_a_longer_one_comes_out() -> None:
    store = store_of(0, 1, 2)
    store.faults["silent"] = deque([None, StoreUnavailable("away"), StoreUnavailable("away")])
    assert await walk(store, 2) == [[0, 1], [2]]
    store.faults["silent"] = deque([StoreUnavailable("away")] * 4)
    with pytest.raises(StoreUnavailable):
        await walk(store, 2)


@pytest.mark.parametrize("size", [1, 2, 3, 100])
async def test_one_whose_time_cannot_be_read_is_seen_once_and_ends_no_walk(size: int) -> None:
    """A list that holds a time is found by it, and is none."""
    store = store_of(0, 0, 1, 2, 2)
    for number in (0, 3, 4):
        identity = f"{number:024x}"
        store.unreadable[identity] = Unreadable(identity, "damaged")
    pages = await walk(store, size)
    assert sorted(number for page in pages for number in page) == [0, 1, 2, 3, 4]
