"""One suite for every job store: the one in memory, and MongoDB's over the wire."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from bson import ObjectId

from botdel.local.database import EmbeddedMongo
from deletion.adapters.mongo.jobs import MongoJobStore
from deletion.errors import LeaseLost, StoreUnavailable, TransitionError
from deletion.job import (
    MAX_EVENTS,
    RULES,
    STALE,
    Change,
    Failure,
    Job,
    PastAttempt,
    Status,
    StepProgress,
    StepStatus,
    Throttled,
    suspects,
)
from deletion.ports import JobStore, Placing, Read, Recorded
from deletion.silence import EPOCH
from tests.conformance.jobs import (
    LIVE,
    POLICY,
    SERVICE,
    SILENT,
    TICK,
    Open,
    ids,
    placings,
    put,
    stored,
)
from tests.conformance.replicas import replicas
from tests.support.clock import START
from tests.support.factories import LATER, new_job, redelivered, request_for
from tests.support.memory_stores import MemoryJobStore


@pytest.fixture(params=["memory", "mongo"])
async def open_store(
    request: pytest.FixtureRequest, mongo: EmbeddedMongo, database_name: str
) -> AsyncIterator[Open]:
    if request.param == "memory":
        memory = MemoryJobStore()

        async def same() -> JobStore:
            return memory

        yield same
        return
    with replicas(MongoJobStore, mongo.uri, database_name) as connected:
        yield connected


@pytest.fixture
async def store(open_store: Open) -> JobStore:
    return await open_store()


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
        assert outcome == Recorded(Placing.KNOWN, first.id, status is Status.EXHAUSTED)
        assert await store.get(repeated.id) is None
        assert await stored(store, first) == first, "and nothing moved"

    async def test_a_request_that_joined_is_known_afterwards(self, store: JobStore) -> None:
        first = await put(store, new_job())
        joined = request_for(first)
        await store.record([joined])
        before = await stored(store, first)
        [outcome] = await store.record([redelivered(first, joined.event_id)])
        assert outcome == Recorded(Placing.KNOWN, first.id)
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
        assert outcome == Recorded(Placing.KNOWN, first.id)
        assert len(await store.find(bot_id=first.bot_id, limit=9)) == 1

    async def test_a_request_after_completion_is_a_new_job(self, store: JobStore) -> None:
        first = await put(store, new_job())
        done = await store.apply(first.complete(LATER))
        second = request_for(first)
        assert await store.record([second]) == [Recorded(Placing.NEW, second.id)]
        assert await stored(store, first) == done
        [outcome] = await store.record([request_for(first)])
        assert outcome == Recorded(Placing.JOINED, second.id)

    async def test_an_event_counts_for_its_job_even_if_another_one_lives(
        self, store: JobStore
    ) -> None:
        done = await put(store, new_job())
        await store.apply(done.complete(LATER))
        live = await put(store, request_for(done))
        [outcome] = await store.record([redelivered(done)])
        assert outcome == Recorded(Placing.KNOWN, done.id)
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
            Recorded(Placing.JOINED, first.id),
            Recorded(Placing.JOINED, second.id),
        ]
        assert await store.record([*offered[:1], redelivered(second, event)]) == [
            Recorded(Placing.KNOWN, first.id),
            Recorded(Placing.KNOWN, second.id),
        ]

    async def test_an_event_another_bot_is_known_by_joins_the_job_of_its_own(
        self, store: JobStore
    ) -> None:
        first, second = await put(store, new_job()), await put(store, new_job())
        outcomes = await store.record([redelivered(first), redelivered(second, first.event_id)])
        assert outcomes == [
            Recorded(Placing.KNOWN, first.id),
            Recorded(Placing.JOINED, second.id),
        ]
        assert (await stored(store, second)).event_ids == (second.event_id, first.event_id)

    async def test_the_same_event_twice_in_one_call_is_new_once(self, store: JobStore) -> None:
        first = new_job()
        outcomes = await store.record([first, redelivered(first), new_job(), redelivered(first)])
        assert [each.job_id for each in outcomes].count(first.id) == 3
        assert placings(outcomes).count(Placing.NEW) == 2
        assert placings(outcomes).count(Placing.KNOWN) == 2

    async def test_the_same_event_twice_in_one_call_joins_once(self, store: JobStore) -> None:
        first = await put(store, new_job())
        request = request_for(first)
        outcomes = await store.record([request, redelivered(first, request.event_id)])
        assert placings(outcomes) == [Placing.JOINED, Placing.KNOWN]
        assert (await stored(store, first)).event_ids == (first.event_id, request.event_id)

    async def test_two_requests_for_one_bot_in_one_call_make_one_job(self, store: JobStore) -> None:
        first = new_job()
        second = request_for(first)
        outcomes = await store.record([first, second])
        assert sorted(placings(outcomes)) == [Placing.JOINED, Placing.NEW]
        [job] = await store.find(bot_id=first.bot_id, limit=9)
        assert isinstance(job, Job)
        assert set(job.event_ids) == {first.event_id, second.event_id}

    async def test_outcomes_come_in_the_order_of_what_was_offered(self, store: JobStore) -> None:
        by_event, by_bot = await put(store, new_job()), await put(store, new_job())
        new, newer = new_job(), new_job()
        outcomes = await store.record([new, redelivered(by_event), newer, request_for(by_bot)])
        assert outcomes == [
            Recorded(Placing.NEW, new.id),
            Recorded(Placing.KNOWN, by_event.id),
            Recorded(Placing.NEW, newer.id),
            Recorded(Placing.JOINED, by_bot.id),
        ]

    async def test_a_call_repeated_because_its_answer_was_lost_changes_nothing(
        self, store: JobStore
    ) -> None:
        standing = await put(store, new_job())
        group = [new_job(), request_for(standing), new_job()]
        assert placings(await store.record(group)) == [Placing.NEW, Placing.JOINED, Placing.NEW]
        before = [await stored(store, job) for job in (group[0], standing, group[2])]
        outcomes = await store.record(group)
        assert placings(outcomes) == [Placing.NEW, Placing.KNOWN, Placing.NEW]
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
        assert sorted(placings(outcomes)) == [Placing.KNOWN] * 23 + [Placing.NEW]
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
        assert placings(outcomes).count(Placing.NEW) == 1
        assert placings(outcomes).count(Placing.JOINED) == 8
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
        assert set(placings(outcomes)) <= {Placing.JOINED, Placing.KNOWN}
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
        assert outcome == Recorded(Placing.JOINED, first.id, status is Status.EXHAUSTED)
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
        assert placings(outcomes) == [Placing.JOINED] * 2 + [Placing.FULL] * 2
        assert {outcome.job_id for outcome in outcomes} == {first.id}
        full = await stored(store, first)
        assert full.event_ids == (*events, *(each.event_id for each in requests[:2]))
        outcomes = await store.record([requests[3], redelivered(first, requests[0].event_id)])
        assert placings(outcomes) == [Placing.FULL, Placing.KNOWN]
        assert await stored(store, first) == full

    async def test_copies_of_one_request_for_a_full_job_hold_up_nobody(
        self, store: JobStore
    ) -> None:
        full = await put(store, new_job(event_ids=tuple(str(uuid4()) for _ in range(MAX_EVENTS))))
        request = request_for(full)
        copies = [redelivered(full, request.event_id) for _ in range(10)]
        outcomes = await store.record([*copies, new_job()])
        assert placings(outcomes) == [Placing.FULL] * 10 + [Placing.NEW]

    async def test_a_job_that_a_later_version_let_cover_more_is_full(self, store: JobStore) -> None:
        first = new_job(event_ids=tuple(str(uuid4()) for _ in range(MAX_EVENTS + 3)))
        await put(store, first)
        outcomes = await store.record([request_for(first) for _ in range(5)])
        assert placings(outcomes) == [Placing.FULL] * 5
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
                assert recording.result() == [Recorded(Placing.NEW, request.id)]
            else:
                assert recording.result() == [Recorded(Placing.JOINED, job.id)]


FAILURE = Failure("ValueError", "broken", LATER)
INTERRUPTION = replace(FAILURE, type="Interrupted", interrupted=True)
PROGRESS = StepProgress("a", StepStatus.IN_PROGRESS, 7, "c")
SAGA: dict[str, Any] = {"point_of_no_return": "b"}
BACKWARDS: dict[str, Any] = {**SAGA, "turned_back": FAILURE, "compensations": (PROGRESS,)}

# Each transition from each of its sources: the job before it, and the change.
CHANGES: dict[str, tuple[Job, Callable[[Job], Change]]] = {
    "claim pending": (
        new_job(status=Status.PENDING, attempt=0),
        lambda job: job.claim("worker/new", LATER),
    ),
    "claim failed": (
        new_job(status=Status.FAILED, failure=INTERRUPTION, due=START),
        lambda job: job.claim("worker/new", LATER),
    ),
    "checkpoint": (new_job(), lambda job: job.checkpoint(LATER, PROGRESS)),
    "complete": (new_job(), lambda job: job.complete(LATER)),
    "checkpoint of a beginning": (
        new_job(**SAGA),
        lambda job: job.begin(LATER, PROGRESS.began(START), is_compensated=True),
    ),
    "checkpoint of the way back": (
        new_job(**BACKWARDS),
        lambda job: job.checkpoint(LATER, PROGRESS.advanced(1, "d", 0.5)),
    ),
    "compensate": (new_job(**BACKWARDS), lambda job: job.compensate(LATER)),
    "turn_back": (new_job(**SAGA), lambda job: job.turn_back(FAILURE)),
    "turn_back_spent failed": (
        new_job(status=Status.FAILED, attempt=3, failure=FAILURE, **SAGA),
        lambda job: job.turn_back_spent(SILENT, POLICY),
    ),
    "turn_back_spent stale": (
        new_job(attempt=3, **SAGA),
        lambda job: job.turn_back_spent(SILENT, POLICY),
    ),
    "fail": (new_job(), lambda job: job.fail(FAILURE)),
    "hand_over": (new_job(), lambda job: job.hand_over(FAILURE)),
    "park": (
        new_job(),
        lambda job: job.park(FAILURE, LATER, POLICY, spent=False),
    ),
    "resume failed": (
        new_job(status=Status.FAILED, failure=FAILURE),
        lambda job: job.resume(SILENT, POLICY),
    ),
    "resume stale": (new_job(), lambda job: job.resume(SILENT, POLICY)),
    "exhaust failed": (
        new_job(status=Status.FAILED, attempt=3, failure=FAILURE),
        lambda job: job.exhaust(SILENT, POLICY),
    ),
    "exhaust stale": (new_job(attempt=3), lambda job: job.exhaust(SILENT, POLICY)),
    "retry pending": (
        new_job(status=Status.PENDING, due=SILENT, parks=1),
        lambda job: job.retry(LATER, POLICY),
    ),
    "retry failed": (
        new_job(status=Status.FAILED, failure=FAILURE),
        lambda job: job.retry(LATER, POLICY),
    ),
    "retry stale": (new_job(), lambda job: job.retry(SILENT, POLICY)),
    "retry exhausted": (
        new_job(status=Status.EXHAUSTED, attempt=3),
        lambda job: job.retry(LATER, POLICY),
    ),
    "retry compensated": (
        new_job(status=Status.COMPENSATED, **BACKWARDS),
        lambda job: job.retry(LATER, POLICY),
    ),
}
ENDINGS = ("complete", "compensate")
"""After them nobody joins."""
UNDERNEATH: dict[str, Callable[[Job], Any]] = {
    "status": lambda job: next(s for s in LIVE if s is not job.status),
    "attempt": lambda job: job.attempt + 1,
    "claimed_by": lambda job: "worker/somebody-else",
    "last_modified_at": lambda job: job.last_modified_at + TICK,
    "placed_at": lambda job: job.placed_at + TICK,
}


def fresh(name: str) -> tuple[Job, Change]:
    """The job of a change, under ids of its own, and the change."""
    template, change = CHANGES[name]
    own = {"id": str(ObjectId()), "bot_id": str(ObjectId()), "event_ids": (str(uuid4()),)}
    job = replace(template, **own)  # type: ignore[arg-type]
    return job, change(job)


def test_every_rule_and_every_guarded_field_is_under_test() -> None:
    assert {name.split()[0] for name in CHANGES} == set(RULES)
    for name, rule in RULES.items():
        sources = {job.status for key, (job, _) in CHANGES.items() if key.split()[0] == name}
        assert sources == rule.sources
        assert set(rule.guard) <= set(UNDERNEATH)


async def completed(store: JobStore, job: Job) -> bool:
    """Whether `job` could be completed as it was read."""
    try:
        await store.apply(job.complete(LATER))
    except LeaseLost:
        return False
    return True


class TestApplying:
    @pytest.mark.parametrize("name", CHANGES)
    async def test_a_change_of_an_unchanged_job_is_written(
        self, store: JobStore, name: str
    ) -> None:
        job, change = fresh(name)
        await put(store, job)
        assert await store.apply(change) == change.after
        assert await stored(store, job) == change.after

    @pytest.mark.parametrize("name", CHANGES)
    async def test_a_repeated_change_answers_as_the_first_time(
        self, store: JobStore, name: str
    ) -> None:
        job, change = fresh(name)
        await put(store, job)
        assert await store.apply(change) == await store.apply(change) == change.after
        assert await stored(store, job) == change.after

    @pytest.mark.parametrize(
        "name", [name for name in CHANGES if name not in ("complete", "compensate")]
    )
    async def test_a_repeated_change_of_a_job_that_was_joined_since_answers_the_same(
        self, store: JobStore, name: str
    ) -> None:
        job, change = fresh(name)
        await put(store, job)
        await store.apply(change)
        await store.record([request_for(job)])
        assert await store.apply(change) == change.after
        assert len((await stored(store, job)).event_ids) == 2

    async def test_a_repeated_change_that_was_moved_on_since_is_refused(
        self, store: JobStore
    ) -> None:
        """Whose claim was resumed and claimed again must not take itself for the holder."""
        job, claim = fresh("claim pending")
        await put(store, job)
        claimed = await store.apply(claim)
        resumed = await store.apply(claimed.resume(SILENT, POLICY))
        moved = await store.apply(resumed.claim("worker/next", SILENT))
        with pytest.raises(LeaseLost):
            await store.apply(claim)
        assert await stored(store, job) == moved

    async def test_a_compensated_job_is_not_started_anew_beside_a_live_one_of_its_bot(
        self, store: JobStore
    ) -> None:
        job, retry = fresh("retry compensated")
        await put(store, job)
        newer = await put(store, new_job(bot_id=job.bot_id))
        with pytest.raises(TransitionError, match="another job of its bot is live"):
            await store.apply(retry)
        assert await stored(store, job) == job
        await store.apply(newer.complete(LATER))
        assert await store.apply(retry) == retry.after

    @pytest.mark.proves("one-holder")
    @pytest.mark.parametrize(
        ("name", "field"),
        [(name, field) for name in CHANGES for field in RULES[name.split()[0]].guard],
    )
    async def test_a_change_is_refused_when_a_guarded_field_changed_underneath(
        self, store: JobStore, name: str, field: str
    ) -> None:
        job, change = fresh(name)
        moved = await put(store, replace(job, **{field: UNDERNEATH[field](job)}))
        with pytest.raises(LeaseLost, match=job.id):
            await store.apply(change)
        assert await stored(store, job) == moved

    @pytest.mark.proves("late-checkpoint")
    async def test_a_checkpoint_that_arrives_late_overwrites_nothing(self, store: JobStore) -> None:
        """Its answer was lost, its repetition counted, and the run has begun a step since."""
        job, late = fresh("checkpoint")
        await put(store, job)
        beaten = await store.apply(late)
        begin = beaten.begin(LATER, StepProgress("first").began(START), is_compensated=True)
        begun = await store.apply(begin)
        with pytest.raises(LeaseLost):
            await store.apply(late)
        assert await stored(store, job) == begun

    @pytest.mark.parametrize("name", ["complete", "fail", "hand_over", "park"])
    async def test_a_heartbeat_underneath_does_not_cost_a_run_its_last_write(
        self, store: JobStore, name: str
    ) -> None:
        job, change = fresh(name)
        await put(store, job)
        await store.apply(job.checkpoint(START + timedelta(milliseconds=500)))
        assert await store.apply(change) == change.after

    @pytest.mark.parametrize("name", CHANGES)
    async def test_a_change_of_a_job_that_is_gone_is_refused(
        self, store: JobStore, name: str
    ) -> None:
        _, change = fresh(name)
        with pytest.raises(LeaseLost):
            await store.apply(change)

    async def test_each_change_of_a_group_has_its_own_outcome(self, store: JobStore) -> None:
        """What a driver reports of a bulk are totals: nobody may be told another's outcome."""
        jobs = [await put(store, new_job()) for _ in range(30)]
        for job in jobs[::3]:
            await store.apply(job.fail(FAILURE))
        repeated = [await store.apply(job.complete(LATER)) for job in jobs[1::3]]
        answers = await asyncio.gather(
            *(store.apply(job.complete(LATER)) for job in jobs), return_exceptions=True
        )
        assert all(isinstance(answer, LeaseLost) for answer in answers[::3])
        assert answers[1::3] == repeated
        assert [job.status for job in answers[2::3] if isinstance(job, Job)] == ["complete"] * 10
        assert [(await stored(store, job)).status for job in jobs] == [
            Status.FAILED,
            Status.COMPLETE,
            Status.COMPLETE,
        ] * 10

    @pytest.mark.proves("one-holder")
    async def test_of_concurrent_claims_exactly_one_wins(self, open_store: Open) -> None:
        stores = [await open_store() for _ in range(8)]
        for status in (Status.PENDING, Status.FAILED):
            job = await put(stores[0], new_job(status=status, due=START))
            claims = [job.claim(f"worker/{n}", LATER) for n in range(len(stores))]
            answers = await asyncio.gather(
                *(store.apply(claim) for store, claim in zip(stores, claims, strict=True)),
                return_exceptions=True,
            )
            won = [answer for answer in answers if isinstance(answer, Job)]
            assert len(won) == 1
            assert sum(isinstance(answer, LeaseLost) for answer in answers) == len(stores) - 1
            assert await stored(stores[0], job) == won[0]

    async def test_a_resumption_and_a_late_heartbeat_do_not_both_count(
        self, open_store: Open
    ) -> None:
        run, sweep = await open_store(), await open_store()
        for _ in range(10):
            job = await put(run, new_job())
            answers = await asyncio.gather(
                run.apply(job.checkpoint(SILENT)),
                sweep.apply(job.resume(SILENT, POLICY)),
                return_exceptions=True,
            )
            assert sorted(isinstance(answer, Job) for answer in answers) == [False, True]

    async def test_a_claim_by_an_old_read_after_a_hand_over_in_the_same_millisecond_is_refused(
        self, store: JobStore
    ) -> None:
        """Status, attempt and due are as before: only `last_modified_at` tells."""
        job = await put(
            store, new_job(status=Status.FAILED, attempt=0, failure=INTERRUPTION, due=START)
        )
        old = job.claim("worker/slow", START)
        claimed = await store.apply(job.claim(job.claimed_by, START))
        again = await store.apply(claimed.hand_over(replace(INTERRUPTION, at=START)))
        assert (again.status, again.attempt, again.claimed_by, again.due) == (
            job.status,
            job.attempt,
            job.claimed_by,
            job.due,
        )
        with pytest.raises(LeaseLost):
            await store.apply(old)
        assert await stored(store, job) == again

    async def test_a_retried_job_still_holds_its_bot(self, store: JobStore) -> None:
        job = await put(store, new_job(status=Status.EXHAUSTED, attempt=3))
        await store.apply(job.retry(LATER, POLICY))
        [outcome] = await store.record([request_for(job)])
        assert outcome == Recorded(Placing.JOINED, job.id)


class TestQueues:
    """Which jobs a worker may claim."""

    async def due(self, store: JobStore, queue: str = SERVICE, **bounds: Any) -> Sequence[Read]:
        return await store.due(
            queue, bounds.get("since", EPOCH), bounds.get("until", SILENT), bounds.get("limit", 99)
        )

    async def test_the_range_is_closed_at_both_ends(self, store: JobStore) -> None:
        jobs = [new_job(status=Status.PENDING, due=START + n * TICK) for n in range(5)]
        await store.record(jobs)
        found = await self.due(store, since=START + TICK, until=START + 3 * TICK)
        assert found == jobs[1:4]

    async def test_the_earliest_come_first_whenever_they_were_recorded(
        self, store: JobStore
    ) -> None:
        order = [3, 0, 4, 1, 2]
        jobs = [new_job(status=Status.PENDING, due=START + n * TICK) for n in order]
        await store.record(jobs)
        found = await self.due(store, limit=3)
        assert found == [jobs[1], jobs[3], jobs[4]]

    async def test_a_queue_holds_jobs_of_its_own_service(self, store: JobStore) -> None:
        own = await put(store, new_job(status=Status.PENDING))
        other = await put(store, new_job(status=Status.PENDING, service="billing"))
        assert await self.due(store) == [own]
        assert await self.due(store, "billing") == [other]

    async def test_what_fell_silent_twice_waits_in_a_queue_of_its_own(
        self, store: JobStore
    ) -> None:
        past = tuple(PastAttempt(n, "worker/a", "a", 1, START, STALE) for n in (1, 2))
        once = await put(store, new_job(status=Status.PENDING, past_attempts=past[:1]))
        twice = await put(store, new_job(status=Status.PENDING, past_attempts=past))
        assert await self.due(store) == [once]
        assert await self.due(store, suspects(SERVICE)) == [twice]

    @pytest.mark.parametrize("name", CHANGES)
    async def test_a_job_is_in_a_queue_while_it_may_be_claimed_and_no_longer(
        self, store: JobStore, name: str
    ) -> None:
        job, change = fresh(name)
        await put(store, job)
        assert ids(await self.due(store)) == ([job.id] if job.due else [])
        after = await store.apply(change)
        claimable = change.after.status is Status.PENDING or name == "hand_over"
        assert await self.due(store) == ([after] if claimable else [])

    async def test_a_silent_job_that_is_resumed_a_second_time_changes_its_queue(
        self, store: JobStore
    ) -> None:
        job = await put(store, new_job())
        once = await store.apply(job.resume(SILENT, POLICY))
        assert ids(await self.due(store)) == [job.id]
        claimed = await store.apply(once.claim("worker/2", SILENT))
        await store.apply(claimed.resume(SILENT + timedelta(days=2), POLICY))
        assert await self.due(store) == []
        assert ids(await self.due(store, suspects(SERVICE))) == [job.id]


class TestReading:
    async def test_every_field_is_read_back_as_it_was_written(self, store: JobStore) -> None:
        job = new_job(
            status=Status.FAILED,
            attempt=7,
            claimed_by="host-1:42:a1b2c3/0f0e0d0c",
            event_ids=(str(uuid4()), str(uuid4())),
            placed_at=datetime(1970, 1, 1, 0, 0, 0, 1000, UTC),
            created_at=datetime(2025, 12, 31, 23, 59, 59, 999_000, UTC),
            last_modified_at=datetime(2026, 1, 1, tzinfo=UTC),
            due=datetime(2026, 1, 1, 0, 0, 1, tzinfo=UTC),
            finished_at=datetime(2100, 2, 28, 12, tzinfo=UTC),
            steps=(
                StepProgress("a", StepStatus.COMPLETE, 2**40, '{"$oid": "x"}', 2**33, 0.1, "local"),
                StepProgress("b.c-d", StepStatus.IN_PROGRESS, 1, "", extra={"region": ["eu"]}),
                StepProgress("d", throttled=Throttled("replication lag 12 s", 41.5), found=True),
                StepProgress("e"),
            ),
            failure=Failure("Ошибка", "line 1\nline 2 \N{BOMB}", LATER, interrupted=True),
            past_attempts=(
                PastAttempt(1, "worker-1/a", "a", 2, LATER, "stale"),
                PastAttempt(2, "worker-2/b", None, 0, LATER, "LeftOvers", {"node": "n-1"}),
            ),
            requested_by="crm",
            traceparent="00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            parks=3,
            **BACKWARDS,
        )
        await put(store, job)
        assert await stored(store, job) == job

    async def test_what_is_not_known_yet_is_read_back_as_none(self, store: JobStore) -> None:
        found = await stored(store, await put(store, new_job()))
        assert (found.finished_at, found.failure, found.due) == (None, None, None)
        assert (found.steps, found.past_attempts) == ((), ())

    async def test_times_are_read_back_with_their_zone(self, store: JobStore) -> None:
        found = await stored(store, await put(store, new_job()))
        assert found.last_modified_at.utcoffset() == timedelta(0)

    async def test_jobs_are_counted_by_their_status(self, store: JobStore) -> None:
        for status in (Status.FAILED, Status.IN_PROGRESS, Status.FAILED):
            await put(store, new_job(status=status))
        counted = {status: await store.count(status) for status in Status}
        assert counted == dict.fromkeys(Status, 0) | {Status.FAILED: 2, Status.IN_PROGRESS: 1}

    async def test_those_last_modified_by_then_are_counted(self, store: JobStore) -> None:
        for number in range(4):
            at = START + number * TICK
            await put(store, new_job(status=Status.PENDING, last_modified_at=at))
        await put(store, new_job(last_modified_at=START))
        assert await store.count(Status.PENDING, until=START + TICK) == 2
        assert await store.count(Status.PENDING, until=START - TICK) == 0

    async def test_an_unknown_id_is_no_job(self, store: JobStore) -> None:
        assert await store.get(str(ObjectId())) is None

    async def test_new_ids_sort_in_the_order_they_were_made(self, store: JobStore) -> None:
        made = [store.new_id() for _ in range(50)]
        assert made == sorted(set(made))
        assert all(len(made_id) == 24 for made_id in made)

    async def test_it_answers_a_ping(self, store: JobStore) -> None:
        await store.ping()

    async def test_it_takes_writes_again_and_again(self, store: JobStore) -> None:
        for _ in range(2):
            await store.check_writes()
        assert await store.find(limit=1) == []

    async def test_its_time_is_that_of_this_machine_in_utc(self, store: JobStore) -> None:
        """Both run here; what differs is what a sweep must know."""
        before = datetime.now(UTC)
        told = await store.time()
        assert before - timedelta(seconds=1) <= told <= datetime.now(UTC) + timedelta(seconds=1)
        assert told.utcoffset() == timedelta(0)


class TestSilence:
    """Jobs by how long nobody has written to them."""

    async def silent(self, store: JobStore, **values: Any) -> Sequence[Read]:
        query: dict[str, Any] = {"since": EPOCH, "until": SILENT, "limit": 99} | values
        return await store.silent(query.pop("status", Status.FAILED), **query)

    async def failed(self, store: JobStore, *after: int) -> list[Job]:
        """A failed job for each, last modified so many milliseconds after `START`."""
        jobs = [new_job(status=Status.FAILED, last_modified_at=START + n * TICK) for n in after]
        await store.record(jobs)
        return jobs

    async def test_the_longest_silent_come_first_whenever_they_were_recorded(
        self, store: JobStore
    ) -> None:
        jobs = await self.failed(store, 2, 0, 3, 1)
        assert await self.silent(store, limit=3) == [jobs[1], jobs[3], jobs[0]]

    async def test_the_range_is_closed_at_both_ends(self, store: JobStore) -> None:
        jobs = await self.failed(store, 0, 1, 2, 3, 4)
        found = await self.silent(store, since=START + TICK, until=START + 3 * TICK)
        assert found == jobs[1:4]

    async def test_only_jobs_of_the_status_are_found(self, store: JobStore) -> None:
        by_status = {status: await put(store, new_job(status=status)) for status in Status}
        for status, job in by_status.items():
            assert await self.silent(store, status=status) == [job]

    async def test_those_to_skip_do_not_count_towards_the_limit(self, store: JobStore) -> None:
        jobs = await self.failed(store, 0, 0, 0, 0, 1)
        first = await self.silent(store, limit=2)
        rest = await self.silent(store, since=START, skip=set(ids(first)), limit=3)
        assert {*ids(first), *ids(rest[:2])} == set(ids(jobs[:4])), "of a tie nothing is lost"
        assert rest[2] == jobs[4]


class TestFinding:
    @pytest.fixture
    async def jobs(self, store: JobStore) -> list[Job]:
        """Two services, three bots, several states; oldest first."""
        bots = [str(ObjectId()) for _ in range(3)]
        cases = [
            (service, bot, status)
            for bot in bots
            for service, status in [
                ("billing", Status.COMPLETE),
                ("conversations", Status.FAILED),
                ("billing", Status.IN_PROGRESS),
                ("conversations", Status.COMPLETE),
            ]
        ]
        jobs = [
            new_job(
                service=service,
                bot_id=bot,
                status=status,
                created_at=START + number * TICK,
                last_modified_at=START + number * TICK,
            )
            for number, (service, bot, status) in enumerate(cases)
        ]
        for service in ("billing", "conversations"):
            await store.record([job for job in jobs if job.service == service])
        return jobs

    @pytest.mark.parametrize("with_status", [False, True])
    @pytest.mark.parametrize("with_bot", [False, True])
    @pytest.mark.parametrize("with_service", [False, True])
    async def test_the_newest_that_fit_every_filter_come_first(
        self,
        store: JobStore,
        jobs: list[Job],
        with_service: bool,
        with_bot: bool,
        with_status: bool,
    ) -> None:
        wanted = jobs[5]
        filters: dict[str, Any] = {}
        if with_service:
            filters["service"] = wanted.service
        if with_bot:
            filters["bot_id"] = wanted.bot_id
        if with_status:
            filters["status"] = wanted.status
        fitting = [
            job
            for job in reversed(jobs)
            if all(getattr(job, name) == value for name, value in filters.items())
        ]
        assert await store.find(**filters, limit=99) == fitting
        assert await store.find(**filters, limit=2) == fitting[:2]

    async def test_by_status_alone_those_modified_last_come_first(
        self, store: JobStore, jobs: list[Job]
    ) -> None:
        """An operator looks at what has happened; an old job may have failed a moment ago."""
        moved = await store.apply(jobs[2].checkpoint(LATER))
        found = await store.find(status=Status.IN_PROGRESS, limit=99)
        assert found == [moved, jobs[10], jobs[6]]

    async def test_what_fits_nothing_finds_nothing(self, store: JobStore, jobs: list[Job]) -> None:
        assert await store.find(bot_id=str(ObjectId()), limit=9) == []
        assert await store.find(service="unknown", limit=9) == []
        assert await store.find(status=Status.EXHAUSTED, limit=9) == []
