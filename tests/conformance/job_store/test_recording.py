"""Intake: an event is recorded once, and a request for a bot with a live job joins it."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from uuid import uuid4

import pytest
from bson import ObjectId

from deletion.errors import LeaseLost, StoreUnavailable
from deletion.job import MAX_EVENTS, Job, Status
from deletion.ports import JobStore, Recorded, RecordOutcome
from tests.conformance.job_store.changes import FAILURE
from tests.conformance.job_store.jobs import LIVE, TICK, Open, completed, outcomes_of, put, stored
from tests.support.clock import START
from tests.support.factories import LATER, new_job, redelivered, request_for


class TestRecording:
    async def test_a_new_job_is_stored_as_it_was_offered(self, store: JobStore) -> None:
        job = new_job(status=Status.PENDING, requested_by="crm", traceparent="00-ab-cd-01")
        await put(store, job)
        assert await store.get(job.id) == job

    async def test_nothing_offered_is_nothing_recorded(self, store: JobStore) -> None:
        assert await store.record([]) == []

    @pytest.mark.parametrize("status", Status)
    async def test_an_event_is_known_whatever_the_state_of_its_job(
        self, store: JobStore, status: Status
    ) -> None:
        first = await put(store, new_job(status=status))
        repeated = redelivered(first)
        [outcome] = await store.record([repeated])
        assert outcome == Recorded(RecordOutcome.KNOWN, first.id, status is Status.EXHAUSTED)
        assert await store.get(repeated.id) is None
        assert await stored(store, first) == first, "and nothing moved"

    async def test_a_request_that_joined_is_known_afterwards(self, store: JobStore) -> None:
        first = await put(store, new_job())
        joined = request_for(first)
        await store.record([joined])
        before = await stored(store, first)
        [outcome] = await store.record([redelivered(first, joined.event_id)])
        assert outcome == Recorded(RecordOutcome.KNOWN, first.id)
        assert await stored(store, first) == before

    async def test_a_request_that_joined_is_known_after_its_job_is_complete(
        self, store: JobStore
    ) -> None:
        """Or else a late redelivery would delete what was written since."""
        first = await put(store, new_job())
        joined = request_for(first)
        await store.record([joined])
        await store.apply((await stored(store, first)).complete(LATER))
        [outcome] = await store.record([redelivered(first, joined.event_id)])
        assert outcome == Recorded(RecordOutcome.KNOWN, first.id)
        assert len(await store.find(bot_id=first.bot_id, limit=9)) == 1

    async def test_a_request_after_completion_is_a_new_job(self, store: JobStore) -> None:
        first = await put(store, new_job())
        done = await store.apply(first.complete(LATER))
        second = request_for(first)
        assert await store.record([second]) == [Recorded(RecordOutcome.NEW, second.id)]
        assert await stored(store, first) == done
        [outcome] = await store.record([request_for(first)])
        assert outcome == Recorded(RecordOutcome.JOINED, second.id)

    async def test_an_event_counts_for_its_job_even_if_another_one_lives(
        self, store: JobStore
    ) -> None:
        done = await put(store, new_job())
        await store.apply(done.complete(LATER))
        live = await put(store, request_for(done))
        [outcome] = await store.record([redelivered(done)])
        assert outcome == Recorded(RecordOutcome.KNOWN, done.id)
        assert await stored(store, live) == live

    async def test_services_do_not_know_of_each_other(self, store: JobStore) -> None:
        first = await put(store, new_job())
        await put(store, replace(first, id=str(ObjectId()), service="billing"))

    async def test_a_duplicate_is_told_the_job_of_its_own_service(self, store: JobStore) -> None:
        first = await put(store, new_job())
        await put(store, replace(first, id=str(ObjectId()), service="billing"))
        outcomes = await store.record([request_for(first), redelivered(first)])
        assert [outcome.job_id for outcome in outcomes] == [first.id, first.id]

    async def test_one_event_id_of_two_bots_is_two_requests(self, store: JobStore) -> None:
        """Event ids are unique to a bot only: no request may be taken for another bot's."""
        first, second = await put(store, new_job()), await put(store, new_job())
        event = str(uuid4())
        offered = [redelivered(first, event), redelivered(second, event)]
        outcomes = await store.record(offered)
        assert outcomes == [
            Recorded(RecordOutcome.JOINED, first.id),
            Recorded(RecordOutcome.JOINED, second.id),
        ]
        assert await store.record([*offered[:1], redelivered(second, event)]) == [
            Recorded(RecordOutcome.KNOWN, first.id),
            Recorded(RecordOutcome.KNOWN, second.id),
        ]

    async def test_an_event_another_bot_is_known_by_joins_the_job_of_its_own(
        self, store: JobStore
    ) -> None:
        first, second = await put(store, new_job()), await put(store, new_job())
        outcomes = await store.record([redelivered(first), redelivered(second, first.event_id)])
        assert outcomes == [
            Recorded(RecordOutcome.KNOWN, first.id),
            Recorded(RecordOutcome.JOINED, second.id),
        ]
        assert (await stored(store, second)).event_ids == (second.event_id, first.event_id)

    async def test_the_same_event_twice_in_one_call_is_new_once(self, store: JobStore) -> None:
        first = new_job()
        outcomes = await store.record([first, redelivered(first), new_job(), redelivered(first)])
        assert [each.job_id for each in outcomes].count(first.id) == 3
        assert outcomes_of(outcomes).count(RecordOutcome.NEW) == 2
        assert outcomes_of(outcomes).count(RecordOutcome.KNOWN) == 2

    async def test_the_same_event_twice_in_one_call_joins_once(self, store: JobStore) -> None:
        first = await put(store, new_job())
        request = request_for(first)
        outcomes = await store.record([request, redelivered(first, request.event_id)])
        assert outcomes_of(outcomes) == [RecordOutcome.JOINED, RecordOutcome.KNOWN]
        assert (await stored(store, first)).event_ids == (first.event_id, request.event_id)

    async def test_two_requests_for_one_bot_in_one_call_make_one_job(self, store: JobStore) -> None:
        first = new_job()
        second = request_for(first)
        outcomes = await store.record([first, second])
        assert sorted(outcomes_of(outcomes)) == [RecordOutcome.JOINED, RecordOutcome.NEW]
        [job] = await store.find(bot_id=first.bot_id, limit=9)
        assert isinstance(job, Job)
        assert set(job.event_ids) == {first.event_id, second.event_id}

    async def test_outcomes_come_in_the_order_of_what_was_offered(self, store: JobStore) -> None:
        by_event, by_bot = await put(store, new_job()), await put(store, new_job())
        new, newer = new_job(), new_job()
        outcomes = await store.record([new, redelivered(by_event), newer, request_for(by_bot)])
        assert outcomes == [
            Recorded(RecordOutcome.NEW, new.id),
            Recorded(RecordOutcome.KNOWN, by_event.id),
            Recorded(RecordOutcome.NEW, newer.id),
            Recorded(RecordOutcome.JOINED, by_bot.id),
        ]

    async def test_a_call_repeated_because_its_answer_was_lost_changes_nothing(
        self, store: JobStore
    ) -> None:
        standing = await put(store, new_job())
        group = [new_job(), request_for(standing), new_job()]
        assert outcomes_of(await store.record(group)) == [
            RecordOutcome.NEW,
            RecordOutcome.JOINED,
            RecordOutcome.NEW,
        ]
        before = [await stored(store, job) for job in (group[0], standing, group[2])]
        outcomes = await store.record(group)
        assert outcomes_of(outcomes) == [RecordOutcome.NEW, RecordOutcome.KNOWN, RecordOutcome.NEW]
        assert [await stored(store, job) for job in (group[0], standing, group[2])] == before

    async def test_a_repeated_call_takes_no_job_back_from_who_claimed_it(
        self, store: JobStore
    ) -> None:
        job = await put(store, new_job(status=Status.PENDING))
        taken = await store.apply(job.claim("worker/other", LATER))
        await store.record([job])
        assert await stored(store, job) == taken

    @pytest.mark.proves("duplicates")
    async def test_of_many_records_of_one_event_exactly_one_is_new(self, open_store: Open) -> None:
        stores = [await open_store() for _ in range(8)]
        first = new_job()
        offered = [redelivered(first) for _ in range(24)]
        answers = await asyncio.gather(
            *(stores[number % 8].record([job]) for number, job in enumerate(offered))
        )
        outcomes = [outcome for [outcome] in answers]
        assert sorted(outcomes_of(outcomes)) == [RecordOutcome.KNOWN] * 23 + [RecordOutcome.NEW]
        assert len({outcome.job_id for outcome in outcomes}) == 1
        assert len(await stores[0].find(bot_id=first.bot_id, limit=99)) == 1

    @pytest.mark.proves("duplicates")
    async def test_of_many_requests_for_one_bot_one_becomes_a_job_and_all_are_covered(
        self, open_store: Open
    ) -> None:
        stores = [await open_store() for _ in range(3)]
        first = new_job()
        groups = [[request_for(first) for _ in range(3)] for _ in stores]
        answers = await asyncio.gather(
            *(recorded(store, group) for store, group in zip(stores, groups, strict=True))
        )
        outcomes = [outcome for answer in answers for outcome in answer]
        assert outcomes_of(outcomes).count(RecordOutcome.NEW) == 1
        assert outcomes_of(outcomes).count(RecordOutcome.JOINED) == 8
        [job] = await stores[0].find(bot_id=first.bot_id, limit=99)
        assert isinstance(job, Job)
        assert sorted(job.event_ids) == sorted(each.event_id for group in groups for each in group)

    async def test_of_many_deliveries_of_one_request_exactly_one_joins(
        self, open_store: Open
    ) -> None:
        stores = [await open_store() for _ in range(6)]
        first = await put(stores[0], new_job())
        event = str(uuid4())
        answers = await asyncio.gather(
            *(recorded(store, [redelivered(first, event)]) for store in stores)
        )
        outcomes = [outcome for [outcome] in answers]
        assert set(outcomes_of(outcomes)) <= {RecordOutcome.JOINED, RecordOutcome.KNOWN}
        joined = await stored(stores[0], first)
        assert joined.event_ids == (first.event_id, event), "it is covered once"


async def recorded(store: JobStore, jobs: Sequence[Job]) -> list[Recorded]:
    """As intake does it: again, while the jobs in the way move too fast."""
    while True:
        try:
            return await store.record(jobs)
        except StoreUnavailable:
            await asyncio.sleep(0.01)


class TestJoining:
    """Another request for a bot whose job is live: the job stands for both from then on."""

    @pytest.mark.parametrize("status", LIVE)
    async def test_it_moves_the_events_and_the_time_and_nothing_else(
        self, store: JobStore, status: Status
    ) -> None:
        first = await put(store, new_job(status=status))
        request = request_for(first)
        [outcome] = await store.record([request])
        assert outcome == Recorded(RecordOutcome.JOINED, first.id, status is Status.EXHAUSTED)
        events = (first.event_id, request.event_id)
        assert await stored(store, first) == replace(first, event_ids=events, placed_at=LATER)

    async def test_a_time_that_is_not_newer_moves_it_by_a_millisecond(
        self, store: JobStore
    ) -> None:
        """What a request stands for was written before it arrived, whatever time it bears."""
        first = await put(store, new_job())
        for number, behind in enumerate([timedelta(hours=1), timedelta(0)], start=1):
            await store.record([request_for(first, START - behind)])
            assert (await stored(store, first)).placed_at == START + number * TICK

    async def test_each_of_several_moves_it(self, store: JobStore) -> None:
        first = await put(store, new_job())
        await store.record([request_for(first, START) for _ in range(3)])
        joined = await stored(store, first)
        assert joined.placed_at == START + 3 * TICK
        assert len(joined.event_ids) == 4

    async def test_a_job_that_was_joined_is_not_complete_before_its_run_knows(
        self, store: JobStore
    ) -> None:
        first = await put(store, new_job())
        await store.record([request_for(first)])
        with pytest.raises(LeaseLost):
            await store.apply(first.complete(LATER))
        known = await stored(store, first)
        assert (await store.apply(known.complete(LATER))).status is Status.COMPLETE

    async def test_no_change_of_a_run_takes_it_back(self, store: JobStore) -> None:
        first = await put(store, new_job())
        await store.record([request_for(first)])
        joined = await stored(store, first)
        beaten = await store.apply(first.checkpoint(LATER))
        await store.apply(beaten.fail(FAILURE))
        after = await stored(store, first)
        assert (after.placed_at, after.event_ids) == (joined.placed_at, joined.event_ids)

    async def test_it_touches_the_job_of_its_own_service_and_bot_only(
        self, store: JobStore
    ) -> None:
        first = await put(store, new_job())
        others = [new_job(service="billing", bot_id=first.bot_id), new_job()]
        for other in others:
            await put(store, other)
        await store.record([request_for(first)])
        assert [await stored(store, other) for other in others] == others

    async def test_a_job_takes_as_many_as_it_may_and_no_more(self, store: JobStore) -> None:
        events = tuple(str(uuid4()) for _ in range(MAX_EVENTS - 2))
        first = await put(store, new_job(event_ids=events))
        requests = [request_for(first) for _ in range(4)]
        outcomes = await store.record(requests)
        assert outcomes_of(outcomes) == [RecordOutcome.JOINED] * 2 + [RecordOutcome.FULL] * 2
        assert {outcome.job_id for outcome in outcomes} == {first.id}
        full = await stored(store, first)
        assert full.event_ids == (*events, *(each.event_id for each in requests[:2]))
        outcomes = await store.record([requests[3], redelivered(first, requests[0].event_id)])
        assert outcomes_of(outcomes) == [RecordOutcome.FULL, RecordOutcome.KNOWN]
        assert await stored(store, first) == full

    async def test_copies_of_one_request_for_a_full_job_hold_up_nobody(
        self, store: JobStore
    ) -> None:
        full = await put(store, new_job(event_ids=tuple(str(uuid4()) for _ in range(MAX_EVENTS))))
        request = request_for(full)
        copies = [redelivered(full, request.event_id) for _ in range(10)]
        outcomes = await store.record([*copies, new_job()])
        assert outcomes_of(outcomes) == [RecordOutcome.FULL] * 10 + [RecordOutcome.NEW]

    async def test_a_job_that_a_later_version_let_cover_more_is_full(self, store: JobStore) -> None:
        first = new_job(event_ids=tuple(str(uuid4()) for _ in range(MAX_EVENTS + 3)))
        await put(store, first)
        outcomes = await store.record([request_for(first) for _ in range(5)])
        assert outcomes_of(outcomes) == [RecordOutcome.FULL] * 5
        assert await stored(store, first) == first

    @pytest.mark.proves("join")
    async def test_of_a_completion_and_a_request_at_once_neither_is_lost(
        self, open_store: Open
    ) -> None:
        run, intake = await open_store(), await open_store()
        for _ in range(10):
            job = await put(run, new_job())
            request = request_for(job)
            async with asyncio.TaskGroup() as both:
                recording = both.create_task(intake.record([request]))
                completing = both.create_task(completed(run, job))
            if completing.result():
                assert recording.result() == [Recorded(RecordOutcome.NEW, request.id)]
            else:
                assert recording.result() == [Recorded(RecordOutcome.JOINED, job.id)]
