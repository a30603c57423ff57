"""Requests with where their services stand, read in few round trips."""

import asyncio
from collections.abc import Collection, Sequence
from datetime import datetime, timedelta

import pytest

from console.deletions import MOST_PLACES, MOST_STATES, Deletion, Page
from console.lists import Position
from console.status import ServiceState
from deletion.dead_letter import Reason
from deletion.errors import StoreUnavailable
from deletion.job import Status
from deletion.ledger import ReadRequest
from deletion.ports import Unreadable
from deletion.request import RequestState
from tests.support.factories import BOT, LEDGER_POLICY, OTHER_BOT
from tests.unit.console.looking import Jobs, Requests, World, later, new_id

pytestmark = pytest.mark.virtual_time


@pytest.fixture
def world() -> World:
    return World()


async def shown(world: World, event_id: str) -> Deletion:
    found = await world.deletions.get(event_id)
    assert isinstance(found, Deletion)
    return found


def states(deletion: Deletion) -> dict[str, str]:
    return {each.service: each.state.value for each in deletion.services}


class TestOne:
    async def test_nothing_is_shown_of_a_request_that_nobody_placed(self, world: World) -> None:
        assert await world.deletions.get(new_id()) is None

    @pytest.mark.proves("status-of-each")
    async def test_each_service_that_owes_it_has_its_state(self, world: World) -> None:
        request = await world.request("analytics", "billing", "media", "search")
        await world.job(request, service="analytics", status=Status.COMPLETE)
        await world.job(request, service="billing", status=Status.EXHAUSTED)
        await world.letter("media", request.id, reason=Reason.TOO_NEW)
        found = await shown(world, request.id)
        assert found.state is RequestState.OPEN
        assert states(found) == {
            "analytics": "complete",
            "billing": "exhausted",
            "media": "dead_letter",
            "search": "missing",
        }

    @pytest.mark.proves("status-of-each")
    async def test_a_request_that_joined_a_live_job_has_that_job(self, world: World) -> None:
        first, joined = await world.request(), await world.request()
        job = await world.job(first, joined)
        [service] = (await shown(world, joined.id)).services
        assert (service.job_id, service.state) == (job.id, ServiceState.PENDING)

    async def test_the_jobs_of_other_requests_bots_and_services_are_not_shown(
        self, world: World
    ) -> None:
        request = await world.request()
        await world.job(await world.request())
        await world.job(request, bot_id=OTHER_BOT)
        await world.job(request, service="billing")
        assert states(await shown(world, request.id)) == {"conversations": "missing"}

    async def test_a_job_that_waits_has_its_place_in_its_own_queue(self, world: World) -> None:
        request = await world.request("billing", "media")
        for n in range(3):
            await world.job(due=later(-1 - n))
            await world.job(service="billing", due=later(-1 - n))
        await world.job(service="billing", due=later(1))
        await world.job(request, service="billing")
        await world.job(request, service="media")
        reasons = {each.service: each.reason for each in (await shown(world, request.id)).services}
        assert reasons == {"billing": "pending at place 4", "media": "pending at place 1"}

    async def test_it_is_overdue_once_its_deadline_has_passed_and_settled_once_nobody_owes_it(
        self, world: World
    ) -> None:
        request = await world.request()
        world.clock.pause(LEDGER_POLICY.deadline.total_seconds())
        assert (await shown(world, request.id)).state is RequestState.OVERDUE
        settled = request.completed("conversations", "a" * 24, world.clock.now())
        world.requests.requests[request.id] = settled
        assert (await shown(world, request.id)).state is RequestState.SETTLED

    @pytest.mark.proves("status-damage")
    async def test_a_job_that_cannot_be_read_hides_no_other_service(self, world: World) -> None:
        request = await world.request("billing", "media")
        damaged = await world.job(request, service="billing")
        await world.job(request, service="media", status=Status.COMPLETE)
        world.jobs.damaged.add(damaged.id)
        found = await shown(world, request.id)
        assert states(found) == {"billing": "unreadable", "media": "complete"}

    async def test_a_request_that_cannot_be_read_is_shown_as_such(self, world: World) -> None:
        request = await world.request()
        world.requests.damaged.add(request.id)
        found = await world.deletions.get(request.id)
        assert isinstance(found, Unreadable)
        assert (found.id, found.reason) == (request.id, "shares is missing")


class TestRoundTrips:
    async def test_dead_letters_are_looked_for_where_a_job_is_lacking(self, world: World) -> None:
        request = await world.request("billing", "media", "search")
        await world.job(request, service="billing")
        waived = world.requests.requests[request.id].completed("media", "a" * 24, later(0))
        world.requests.requests[request.id] = waived
        await shown(world, request.id)
        assert world.letters.asked == [{("search", request.id)}]

    async def test_where_every_job_is_there_none_are_looked_for(self, world: World) -> None:
        request = await world.request("billing")
        await world.job(request, service="billing", status=Status.COMPLETE)
        await shown(world, request.id)
        assert world.letters.asked == []
        assert world.jobs.calls == ["covering"]

    @pytest.mark.proves("status-round-trips")
    async def test_a_page_asks_as_often_as_one_request(self, world: World) -> None:
        requests = [await world.request("billing", "media") for _ in range(10)]
        await world.job(*requests[5:], service="billing")
        await world.deletions.of_bot(BOT, before=None, limit=100)
        assert world.jobs.calls == ["covering", "count_due billing"]
        assert len(world.letters.asked) == 1

    async def test_places_are_counted_for_so_many_jobs_at_most(self, world: World) -> None:
        services = [f"service-{n}" for n in range(MOST_PLACES + 5)]
        request = await world.request(*services)
        for service in services:
            await world.job(request, service=service)
        found = await shown(world, request.id)
        assert len(world.jobs.calls) == 1 + MOST_PLACES
        assert [each.reason for each in found.services].count("pending") == 5

    async def test_a_queue_that_takes_too_long_to_count_hides_nothing_else(
        self, world: World
    ) -> None:
        class LongQueue(Jobs):
            async def count_due(self, queue: str, before: datetime, limit: int) -> int:
                await asyncio.sleep(3600)
                return 0

        world.jobs = LongQueue()
        request = await world.request("billing", "media")
        await world.job(request, service="billing")
        await world.job(request, service="media", status=Status.COMPLETE)
        reasons = [each.reason for each in (await shown(world, request.id)).services]
        assert reasons == ["pending", "everything is deleted, and was read back empty"]

    @pytest.mark.proves("status-round-trips")
    async def test_a_database_that_hangs_is_given_up(self, world: World) -> None:
        class Hanging(Requests):
            async def get(self, event_ids: Collection[str]) -> Sequence[ReadRequest]:
                await asyncio.sleep(3600)
                return []

        world.requests = Hanging()
        with pytest.raises(StoreUnavailable, match="does not answer within 5 s"):
            await world.deletions.get(new_id())


class TestOfABot:
    async def pages(self, world: World, limit: int) -> list[Page]:
        pages: list[Page] = []
        before: Position | None = None
        while not pages or before:
            pages.append(await world.deletions.of_bot(BOT, before=before, limit=limit))
            before = pages[-1].next
            assert len(pages) < 20
        return pages

    async def test_they_come_the_last_received_first(self, world: World) -> None:
        requests = [await world.request(now=later(n)) for n in (1, 3, 2)]
        await world.request(bot_id=OTHER_BOT)
        [page] = await self.pages(world, 10)
        expected = [requests[1], requests[2], requests[0]]
        assert [deletion.request for deletion in page.deletions] == expected
        assert page.next is None

    @pytest.mark.parametrize("limit", [1, 2, 3, 6, 7])
    async def test_pages_show_each_once_even_of_one_millisecond(
        self, world: World, limit: int
    ) -> None:
        requests = [await world.request(now=later(n // 3)) for n in range(6)]
        pages = await self.pages(world, limit)
        ids = [deletion.request.id for page in pages for deletion in page.deletions]
        assert sorted(ids) == sorted(request.id for request in requests)
        assert all(len(page.deletions) == limit for page in pages[:-1])
        assert len(pages) == -(-6 // limit)

    @pytest.mark.proves("status-damage")
    async def test_one_that_cannot_be_read_hides_no_other_and_ends_no_listing(
        self, world: World
    ) -> None:
        requests = [await world.request(now=later(n)) for n in range(5)]
        world.requests.damaged = {requests[1].id, requests[3].id}
        pages = await self.pages(world, 2)
        found = [deletion.request.id for page in pages for deletion in page.deletions]
        assert found == [requests[n].id for n in (4, 2, 0)]
        unreadable = [each.id for page in pages for each in page.unreadable]
        assert unreadable == [requests[3].id, requests[1].id]

    async def test_a_page_that_ends_with_one_of_unknown_time_repeats_it(self, world: World) -> None:
        class Timeless(Requests):
            def _read(self, request: ReadRequest) -> ReadRequest:
                is_whole = request.id not in self.damaged
                return request if is_whole else Unreadable(request.id, "receivedAt is missing")

        world.requests = Timeless()
        requests = [await world.request(now=later(n)) for n in range(3)]
        world.requests.damaged = {requests[1].id}
        first = await world.deletions.of_bot(BOT, before=None, limit=2)
        assert first.next == (requests[2].received_at, requests[2].id)
        assert [each.id for each in first.unreadable] == [requests[1].id]

    @pytest.mark.proves("status-round-trips")
    @pytest.mark.parametrize(("services", "on_a_page"), [(MOST_STATES + 1, 1), (400, 2), (10, 3)])
    async def test_a_page_ends_early_where_many_services_owe_its_requests(
        self, world: World, services: int, on_a_page: int
    ) -> None:
        names = [f"service-{n}" for n in range(services)]
        requests = [await world.request(*names, now=later(n)) for n in range(3)]
        pages = await self.pages(world, 100)
        assert max(len(page.deletions) for page in pages) == on_a_page
        shown = [deletion.request.id for page in pages for deletion in page.deletions]
        assert shown == [request.id for request in reversed(requests)]

    @pytest.mark.proves("status-round-trips")
    async def test_others_have_their_turn_after_each_request(self, world: World) -> None:
        turns = 0

        async def other() -> None:
            nonlocal turns
            while True:
                await asyncio.sleep(0)
                turns += 1

        for n in range(100):
            await world.request(now=later(n))
        async with asyncio.TaskGroup() as group:
            running = group.create_task(other())
            await world.deletions.of_bot(BOT, before=None, limit=100)
            running.cancel()
        assert turns >= 100

    async def test_where_each_stands_is_that_of_its_own_job(self, world: World) -> None:
        old, new = await world.request(), await world.request(now=later(1))
        await world.job(old, status=Status.COMPLETE, finished_at=later(0))
        await world.job(new, last_modified_at=later(1) - timedelta(minutes=5))
        [page] = await self.pages(world, 10)
        assert [states(deletion) for deletion in page.deletions] == [
            {"conversations": "pending"},
            {"conversations": "complete"},
        ]

    async def test_of_a_bot_that_nobody_asked_to_delete_there_is_an_empty_page(
        self, world: World
    ) -> None:
        assert await self.pages(world, 10) == [Page((), (), None)]
