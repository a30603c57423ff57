"""One suite for every store of requests: the one in memory, and MongoDB's over the wire."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from dataclasses import replace
from datetime import timedelta
from itertools import product
from typing import Any

import pytest

from botdel.local.database import EmbeddedMongo
from deletion.adapters.mongo.requests import MongoRequestStore
from deletion.clock import TICK
from deletion.ledger import Concern, ReadRequest, RequestChange, RequestFilter, RequestStore
from deletion.request import Chore, DeletionRequest, RequestState, Waiver
from deletion.silence import EPOCH
from tests.conformance.replicas import PARTS, replicas
from tests.support.clock import START
from tests.support.factories import LEDGER_POLICY, a_deletion_request
from tests.support.memory_requests import MemoryRequestStore

Open = Callable[[], Awaitable[RequestStore]]
"""Another store object on the same requests, as another process has."""
MINUTE = timedelta(minutes=1)
LATER = START + MINUTE
NEAR = START + LEDGER_POLICY.deadline * 0.75
DUE = START + LEDGER_POLICY.deadline


@pytest.fixture(params=PARTS)
async def open_store(
    request: pytest.FixtureRequest, mongo: EmbeddedMongo, database_name: str
) -> AsyncIterator[Open]:
    memory = MemoryRequestStore()
    with replicas(request.param, memory, MongoRequestStore, mongo.uri, database_name) as connected:

        async def another() -> RequestStore:
            store = await connected()
            return store.replica() if isinstance(store, MemoryRequestStore) else store

        yield another


@pytest.fixture
async def store(open_store: Open) -> RequestStore:
    return await open_store()


async def put(store: RequestStore, *requests: DeletionRequest) -> None:
    await store.record(requests)


async def saved(
    store: RequestStore, before: DeletionRequest, after: DeletionRequest
) -> DeletionRequest:
    """`after` as it is stored."""
    assert await store.save([RequestChange(before, after)]) == []
    stored = await only(store, before)
    assert stored == replace(after, revision=before.revision + 1)
    return stored


async def only(store: RequestStore, request: DeletionRequest) -> DeletionRequest:
    """`request` as the store holds it now."""
    [found] = await store.get([request.id])
    assert isinstance(found, DeletionRequest)
    return found


def ids(requests: Iterable[ReadRequest]) -> list[str]:
    return [request.id for request in requests]


class TestRecording:
    async def test_a_request_reads_back_as_it_was_recorded(self, store: RequestStore) -> None:
        plain = a_deletion_request()
        full = a_deletion_request(
            "media", "billing", requested_by="crm \N{SNOWMAN}", traceparent="00-ab-cd-01"
        )
        await put(store, plain, full)
        assert await only(store, plain) == plain
        assert await only(store, full) == full

    async def test_nothing_is_recorded_saved_and_found_of_nothing(
        self, store: RequestStore
    ) -> None:
        await store.record([])
        assert await store.save([]) == []
        assert await store.get([]) == []
        assert await store.get([a_deletion_request().id]) == []

    async def test_one_that_is_recorded_already_stays_as_it_is(self, store: RequestStore) -> None:
        """A redelivery must not make a settled request open again."""
        first = a_deletion_request()
        await put(store, first)
        settled = await saved(store, first, first.completed("conversations", "job-1", LATER))
        new = a_deletion_request()
        again = replace(first, received_at=LATER, deadline=DUE + MINUTE)
        await put(store, again, new, again)
        assert await only(store, first) == settled
        assert await only(store, new) == new

    async def test_replicas_that_record_the_same_requests_record_each_once(
        self, open_store: Open
    ) -> None:
        stores = [await open_store() for _ in range(4)]
        requests = [a_deletion_request() for _ in range(20)]
        await asyncio.gather(*(put(store, *requests) for store in stores))
        found = await stores[0].find(RequestFilter(), START, limit=100)
        assert sorted(ids(found)) == sorted(ids(requests))


class TestSaving:
    async def test_every_change_reads_back_as_it_was_written(self, store: RequestStore) -> None:
        request = a_deletion_request("media", "billing", "analytics")
        await put(store, request)
        changes: list[Callable[[DeletionRequest], DeletionRequest]] = [
            lambda each: each.checked(LATER, missing=["media"], waiting=["billing"]),
            lambda each: each.warned(NEAR),
            lambda each: each.warned(DUE),
            lambda each: each.completed("media", "65f0a1b2c3d4e5f607180001", LATER),
            lambda each: each.checked(LATER, missing=[]),
            lambda each: each.waived("billing", Waiver("ann", "shut down"), LATER),
            lambda each: each.completed("analytics", "65f0a1b2c3d4e5f607180002", DUE),
            lambda each: each.postponed(Chore.ANNOUNCE, DUE + MINUTE),
            lambda each: each.announced(DUE),
            lambda each: each.called(),
        ]
        for change in changes:
            request = await saved(store, request, change(request))
        assert request.revision == len(changes)

    async def test_a_change_of_an_outdated_request_is_refused_and_the_others_are_written(
        self, store: RequestStore
    ) -> None:
        requests = [a_deletion_request() for _ in range(3)]
        await put(store, *requests)
        moved = await saved(store, requests[1], requests[1].warned(NEAR))
        changes = [
            RequestChange(each, each.completed("conversations", "job", LATER)) for each in requests
        ]
        assert await store.save(changes) == [changes[1]]
        assert await only(store, requests[1]) == moved
        for number in (0, 2):
            assert (await only(store, requests[number])).settled_at == LATER

    async def test_two_changes_of_one_request_in_a_group_do_not_both_apply(
        self, store: RequestStore
    ) -> None:
        request = a_deletion_request("media", "billing")
        await put(store, request)
        media = RequestChange(request, request.completed("media", "job-1", LATER))
        billing = RequestChange(request, request.completed("billing", "job-2", LATER))
        [refused] = await store.save([media, billing])
        stored = await only(store, request)
        expected = billing.after if refused == media else media.after
        assert stored == replace(expected, revision=1)

    async def test_a_request_that_is_not_there_takes_no_change(self, store: RequestStore) -> None:
        request = a_deletion_request()
        change = RequestChange(request, request.warned(NEAR))
        assert await store.save([change]) == [change]
        assert await store.get([request.id]) == []

    async def test_a_change_whose_answer_was_lost_can_be_repeated_until_somebody_else_writes(
        self, open_store: Open
    ) -> None:
        store, other = await open_store(), await open_store()
        request = a_deletion_request()
        await put(store, request)
        change = RequestChange(request, request.warned(NEAR))
        assert await store.save([change]) == []
        assert await store.save([change]) == []
        stored = await only(store, request)
        assert stored == replace(change.after, revision=1)
        await saved(other, stored, stored.warned(DUE))
        assert await store.save([change]) == [change]

    async def test_of_replicas_that_claim_a_chore_alike_exactly_one_has_it(
        self, open_store: Open
    ) -> None:
        """They may choose the same time, so the content alone does not tell who wrote it."""
        stores = [await open_store() for _ in range(6)]
        request = a_deletion_request()
        await put(stores[0], request)
        change = RequestChange(request, request.postponed(Chore.REPUBLISH, LATER))
        refused = await asyncio.gather(*(store.save([change]) for store in stores))
        assert sorted(map(len, refused)) == [0] + [1] * 5
        assert await only(stores[0], request) == replace(change.after, revision=1)


class TestDue:
    @pytest.mark.parametrize("chore", Chore, ids=str)
    async def test_only_those_with_the_chore_due_in_the_range_the_earliest_first(
        self, store: RequestStore, chore: Chore
    ) -> None:
        at = [START + number * MINUTE for number in range(5)]
        none = replace(a_deletion_request(), chores={})
        requests = [
            replace(a_deletion_request(), chores={chore: due}) for due in (*at[::-1], at[2])
        ]
        others = [
            replace(a_deletion_request(), chores={other: at[2]})
            for other in Chore
            if other is not chore
        ]
        await put(store, none, *requests, *others)
        found = await store.due(chore, at[1], at[3], 10)
        assert [each.chores[chore] for each in found if isinstance(each, DeletionRequest)] == [
            at[1],
            at[2],
            at[2],
            at[3],
        ]
        assert ids(await store.due(chore, EPOCH, at[4], 2)) == ids(requests[4:2:-1])
        assert await store.due(chore, EPOCH, EPOCH, 10) == []

    async def test_a_chore_that_is_done_is_due_no_more(self, store: RequestStore) -> None:
        request = a_deletion_request()
        await put(store, request)
        settled = await saved(store, request, request.completed("conversations", "job", LATER))
        for chore in (Chore.REPUBLISH, Chore.WARN):
            assert await store.due(chore, EPOCH, DUE, 10) == []
        assert await store.due(Chore.ANNOUNCE, EPOCH, LATER, 10) == [settled]


class TestFinding:
    async def test_the_newest_come_first_and_page_by_page(self, store: RequestStore) -> None:
        """Also when many were received in the same millisecond."""
        requests = [a_deletion_request(now=START + MINUTE * (n // 3)) for n in range(10)]
        await put(store, *requests)
        in_order = sorted(requests, key=lambda each: (each.received_at, each.id), reverse=True)
        found: list[ReadRequest] = []
        before = None
        while page := await store.find(RequestFilter(), START, before=before, limit=2):
            assert len(page) <= 2
            found += page
            last = page[-1]
            assert isinstance(last, DeletionRequest)
            before = (last.received_at, last.id)
        assert found == in_order

    @pytest.mark.proves("console-lists")
    @pytest.mark.parametrize("state", [None, RequestState.SETTLED])
    async def test_requests_of_adjacent_milliseconds_are_on_adjacent_pages(
        self, store: RequestStore, state: RequestState | None
    ) -> None:
        made = [a_deletion_request(now=START + n * TICK) for n in range(6)]
        requests = [each.completed("conversations", "job", LATER) for each in made]
        await put(store, *requests)
        found: list[ReadRequest] = []
        before = None
        while page := await store.find(RequestFilter(state=state), START, before=before, limit=1):
            found += page
            [last] = page
            assert isinstance(last, DeletionRequest)
            before = (last.received_at, last.id)
        assert found == requests[::-1]

    async def test_every_mixture_of_filters_finds_what_fits_all(self, store: RequestStore) -> None:
        now = DUE + MINUTE
        bots = [a_deletion_request().bot_id for _ in range(2)]
        requests = [
            a_deletion_request("media", "billing", bot_id=bot, now=received)
            for bot in bots
            for received in (START, START + 2 * MINUTE)
            for _ in range(3)
        ]
        for number, request in enumerate(requests):
            half = request.completed("media", "job", LATER) if number % 3 else request
            whole = half.completed("billing", "job", LATER) if number % 3 == 2 else half
            requests[number] = whole
        await put(store, *requests)
        newest_first = sorted(requests, key=lambda each: (each.received_at, each.id), reverse=True)
        middle = (newest_first[6].received_at, newest_first[6].id)
        for bot, service, state, before in product(
            (None, *bots),
            (None, "media", "billing", "nobody"),
            (None, *RequestState),
            (None, middle),
        ):
            expected = [
                request
                for request in newest_first
                if bot in (None, request.bot_id)
                and (service is None or service in request.owed)
                and state in (None, request.state(now))
                and (before is None or (request.received_at, request.id) < before)
            ]
            wanted = RequestFilter(bot, service, state)
            found = await store.find(wanted, now, before=before, limit=100)
            assert found == expected, (wanted, before)

    async def test_a_concern_finds_what_the_census_counts_under_it(
        self, store: RequestStore
    ) -> None:
        """Near is without what is past its deadline."""
        young, near, late = (
            a_deletion_request("media", "billing", now=received)
            for received in (NEAR, START, START - MINUTE)
        )
        settled = a_deletion_request(now=EPOCH).completed("conversations", "job", START)
        await put(store, young, near, late, settled)
        sought = await saved(store, young, young.checked(DUE, missing=["media"]))
        now = DUE - timedelta(milliseconds=1)

        async def found(concern: Concern, **more: Any) -> list[str]:
            wanted = RequestFilter(concern=concern, **more)
            return [each.id for each in await store.find(wanted, now, limit=9)]

        assert await found(Concern.NEAR) == [near.id]
        assert await found(Concern.NEAR, owed_by="media") == [near.id]
        assert await found(Concern.NEAR, owed_by="other") == []
        assert await found(Concern.NEAR, state=RequestState.OVERDUE) == []
        assert await found(Concern.MISSING) == [sought.id]
        assert await found(Concern.MISSING, bot_id=near.bot_id) == []
        key = (near.received_at, near.id)
        wanted = RequestFilter(concern=Concern.NEAR)
        assert await store.find(wanted, now, before=key, limit=9) == []


class TestCensus:
    async def test_an_empty_store_counts_nothing(self, store: RequestStore) -> None:
        census = await store.census(START, 10)
        assert (census.unsettled, census.near, census.overdue, census.missing) == (0, 0, 0, 0)
        assert (census.oldest, census.oldest_deadline) == (None, None)

    async def test_open_ones_are_counted_up_to_the_limit_and_settled_ones_never(
        self, store: RequestStore
    ) -> None:
        old = [a_deletion_request(now=START) for _ in range(3)]
        new = [a_deletion_request(now=NEAR) for _ in range(4)]
        settled = [
            a_deletion_request(now=EPOCH).completed("conversations", "job", START) for _ in range(5)
        ]
        await put(store, *old, *new, *settled)
        at_first = await store.census(NEAR, 100)
        assert (at_first.unsettled, at_first.near, at_first.overdue) == (7, 3, 0)
        assert (at_first.oldest, at_first.oldest_deadline) == (START, DUE)
        assert (await store.census(NEAR - MINUTE, 100)).near == 0
        later = await store.census(DUE, 100)
        assert (later.unsettled, later.near, later.overdue) == (7, 3, 3)
        limited = await store.census(DUE, 2)
        assert (limited.unsettled, limited.near, limited.overdue) == (2, 2, 2)

    async def test_what_was_published_again_counts_as_missing_until_its_job_is_found(
        self, store: RequestStore
    ) -> None:
        request, waiting = a_deletion_request(), a_deletion_request()
        await put(store, request, waiting)
        await saved(store, waiting, waiting.checked(LATER, missing=[], waiting=["conversations"]))
        assert (await store.census(LATER, 10)).missing == 0
        sought = await saved(store, request, request.checked(LATER, missing=["conversations"]))
        assert (await store.census(LATER, 10)).missing == 1
        await saved(store, sought, sought.checked(DUE, missing=[]))
        assert (await store.census(DUE, 10)).missing == 0

    async def test_settling_ends_every_count(self, store: RequestStore) -> None:
        request = a_deletion_request()
        await put(store, request)
        sought = await saved(store, request, request.checked(LATER, missing=["conversations"]))
        await saved(store, sought, sought.completed("conversations", "job", DUE))
        census = await store.census(DUE, 10)
        assert (census.unsettled, census.near, census.overdue, census.missing) == (0, 0, 0, 0)
