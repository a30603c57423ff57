"""A waiver ends what one service owes, and nothing else."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest

from deletion.errors import TransientError
from deletion.ledger import ReadRequest, RequestFilter
from deletion.operating.acting import Tally, Unknown, act_on
from deletion.operating.requests import PAGE, Choice, Waive, waiving
from deletion.ports import Unreadable
from deletion.request import DeletionRequest, RequestState, Waiver
from tests.support.clock import START, VirtualClock
from tests.support.factories import SERVICE, a_deletion_request
from tests.support.memory_requests import MemoryRequestStore

pytestmark = pytest.mark.virtual_time

OTHER = "analytics"
NO_ID = "11111111-1111-4111-8111-111111111111"
JOB = "a" * 24


class World:
    def __init__(self) -> None:
        self.clock = VirtualClock()
        self.store = MemoryRequestStore()

    @property
    def waive(self) -> Waive:
        return Waive(self.store, self.clock, SERVICE, by="ada", reason="it has no data")

    async def put(self, count: int = 1, *services: str) -> list[DeletionRequest]:
        requests = [a_deletion_request(*services) for _ in range(count)]
        await self.store.record(requests)
        return requests

    async def pages(self, choice: Choice) -> list[Sequence[ReadRequest | Unknown]]:
        return [page async for page in choice.pages(self.store, self.clock)]


@pytest.fixture
def world() -> World:
    return World()


async def test_a_waived_share_is_settled_and_the_others_are_still_owed(world: World) -> None:
    (request,) = await world.put(1, SERVICE, OTHER)
    assert await world.waive(request) is None
    waived = world.store.requests[request.id]
    assert waived.owed == (OTHER,)
    share = waived.share(SERVICE)
    assert share
    assert (share.waiver, share.job_id) == (Waiver("ada", "it has no data"), None)
    assert waived.revision == request.revision + 1


async def test_the_last_share_settles_the_request(world: World) -> None:
    (request,) = await world.put()
    assert await world.waive(request) is None
    assert world.store.requests[request.id].state(START) is RequestState.SETTLED


async def test_what_is_not_owed_is_refused_with_why(world: World) -> None:
    (owed,), (of_another,) = await world.put(), await world.put(1, OTHER)
    complete = owed.completed(SERVICE, JOB, START)
    waived = owed.waived(SERVICE, Waiver("bob", "why"), START)
    refusals = [await world.waive(each) for each in (of_another, complete, waived)]
    assert refusals == [
        f"{SERVICE} never owed it",
        f"{SERVICE} no longer owes it: its job is complete",
        f"{SERVICE} no longer owes it: it is waived already",
    ]
    assert world.store.requests == {owed.id: owed, of_another.id: of_another}


@pytest.mark.proves("action-changed")
async def test_a_request_that_the_ledger_has_written_meanwhile_is_refused(world: World) -> None:
    (read,) = await world.put(1, SERVICE, OTHER)
    await Waive(world.store, world.clock, OTHER, by="bob", reason="why")(read)
    assert await world.waive(read) == "it has changed in the meantime: look at it again"
    assert world.store.requests[read.id].owed == (SERVICE,)


async def test_ids_are_chosen_in_pages_each_once_and_unknown_ones_are_named(world: World) -> None:
    requests = await world.put(PAGE + 1)
    ids = [request.id for request in requests]
    pages = await world.pages(Choice([*ids, NO_ID, ids[0]]))
    assert [len(page) for page in pages] == [PAGE, 2]
    assert [each.id for page in pages for each in page] == [*ids, NO_ID]
    assert pages[1][1] == Unknown(NO_ID)


async def test_a_filter_chooses_all_that_match_page_by_page(world: World) -> None:
    matching = await world.put(2 * PAGE + 1)
    await world.put(3, OTHER)
    choice = Choice(wanted=RequestFilter(owed_by=SERVICE))
    pages = await world.pages(choice)
    assert [len(page) for page in pages] == [PAGE, PAGE, 1]
    assert {each.id for page in pages for each in page} == {request.id for request in matching}
    assert choice.words == {"owed_by": SERVICE}
    assert Choice([NO_ID]).words == {"ids": NO_ID}


class Damaged(MemoryRequestStore):
    """It can read only the requests of `sound`. Of the others it knows when they were received,
    unless `dated` is False.
    """

    sound: frozenset[str] = frozenset()
    dated = True

    async def find(self, *args: Any, **options: Any) -> Sequence[ReadRequest]:
        found = await super().find(*args, **options)
        return [each if each.id in self.sound else self._damaged(each) for each in found]

    def _damaged(self, request: ReadRequest) -> Unreadable:
        assert isinstance(request, DeletionRequest)
        at = request.received_at if self.dated else None
        return Unreadable(request.id, "damaged", last_modified_at=at)


async def damaged(world: World) -> tuple[Damaged, DeletionRequest]:
    """More than a page of requests that cannot be read, and an earlier one that can."""
    world.store = store = Damaged()
    await world.put(PAGE + 5)
    behind = a_deletion_request(SERVICE, now=START - timedelta(days=1))
    await store.record([behind])
    store.sound = frozenset([behind.id])
    return store, behind


async def test_those_behind_a_page_that_cannot_be_read_are_chosen(world: World) -> None:
    _, behind = await damaged(world)
    pages = await world.pages(Choice())
    assert [len(page) for page in pages] == [PAGE, 6]
    assert pages[1][-1] == behind


async def test_it_is_said_when_nothing_tells_where_the_next_page_begins(world: World) -> None:
    store, _ = await damaged(world)
    store.dated = False
    with pytest.raises(TransientError, match="do not say when they were received"):
        await world.pages(Choice())
    for each in list(store.requests)[PAGE - 1 :]:
        del store.requests[each]
    assert [len(page) for page in await world.pages(Choice())] == [PAGE - 1]


async def test_the_whole_choice_is_waived_and_what_cannot_be_read_is_refused(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    (request,) = await world.put()
    odd = Unreadable(NO_ID, "damaged")

    async def get(ids: Sequence[str]) -> Sequence[ReadRequest]:
        return [odd if each == NO_ID else request for each in ids]

    monkeypatch.setattr(world.store, "get", get)
    tally = Tally()
    choice = Choice([NO_ID, request.id])
    await act_on(choice.pages(world.store, world.clock), world.waive, tally)
    assert tally.done == [request.id]
    assert "it cannot be read: damaged" in tally.refused[NO_ID]


async def test_a_preview_freezes_the_revision(world: World) -> None:
    (request,) = await world.put()
    choice = Choice(wanted=RequestFilter(state=RequestState.OPEN))
    bulk = waiving(choice, world.store, world.clock, SERVICE, by="", reason="")
    found = await bulk.preview()
    assert [(each.id, each.looks) for each in found.targets] == [
        (request.id, {"revision": request.revision})
    ]
    await world.store.record([a_deletion_request(SERVICE, now=START - timedelta(days=40))])
    assert len((await bulk.preview()).targets) == 1, "an overdue one does not match"
