"""One suite for every job store: the one in memory, and MongoDB's over the wire."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any
from uuid import uuid4

import pytest
from bson import ObjectId

from botdel.local.database import EmbeddedMongo
from deletion.adapters.mongo.jobs import MongoJobStore
from deletion.errors import LeaseLost
from deletion.job import (
    RULES,
    Change,
    Failure,
    Job,
    LeasePolicy,
    PastAttempt,
    Status,
    StepProgress,
    StepStatus,
)
from deletion.ports import JobStore
from tests.conformance.replicas import replicas
from tests.support.memory_stores import MemoryJobStore

POLICY = LeasePolicy(timedelta(seconds=60), max_attempts=3)
NOW = datetime(2025, 3, 30, 1, 59, 59, 987_000, UTC)
LATER = NOW + timedelta(seconds=1)
STALE = NOW + POLICY.stale_after

Open = Callable[[], Awaitable[JobStore]]
"""Another store object on the same jobs, with a connection of its own where there is one."""


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


numbers = count(1)


def a_job(**values: Any) -> Job:
    """A job of its own bot and event, unless `values` say otherwise."""
    fields: dict[str, Any] = {
        "id": str(ObjectId()),
        "service": "conversations",
        "bot_id": str(ObjectId()),
        "event_id": str(uuid4()),
        "status": Status.IN_PROGRESS,
        "attempt": 1,
        "claimed_by": f"worker/{next(numbers)}",
        "placed_at": NOW,
        "created_at": NOW,
        "last_modified_at": NOW,
    }
    return Job(**(fields | values))


async def stored(store: JobStore, job: Job) -> Job:
    """`job` as the store holds it now."""
    found = await store.get(job.id)
    assert found is not None
    return found


async def put(store: JobStore, job: Job) -> Job:
    """Record `job`, in whatever state."""
    [outcome] = await store.record([job])
    assert outcome.is_new
    return job


def ids(jobs: Iterable[Job]) -> list[str]:
    return [job.id for job in jobs]


class TestRecording:
    async def test_a_new_job_is_stored_as_it_was_offered(self, store: JobStore) -> None:
        job = a_job()
        [outcome] = await store.record([job])
        assert outcome.is_new
        assert outcome.job == job == await store.get(job.id)

    async def test_nothing_offered_is_nothing_recorded(self, store: JobStore) -> None:
        assert await store.record([]) == []

    async def test_the_same_event_again_answers_with_the_job_that_stands(
        self, store: JobStore
    ) -> None:
        first = await put(store, a_job())
        again = a_job(event_id=first.event_id, bot_id=first.bot_id)
        [outcome] = await store.record([again])
        assert (outcome.job, outcome.is_new) == (first, False)
        assert await store.get(again.id) is None

    async def test_the_answer_is_the_job_as_it_stands_by_now(self, store: JobStore) -> None:
        first = await put(store, a_job())
        moved = await store.apply(first.checkpoint(LATER, StepProgress("a", deleted=3)))
        [outcome] = await store.record([a_job(event_id=first.event_id)])
        assert outcome.job == moved

    async def test_an_event_stays_known_after_its_job_is_complete(self, store: JobStore) -> None:
        first = await put(store, a_job())
        done = await store.apply(first.complete(LATER))
        [outcome] = await store.record([a_job(event_id=first.event_id, bot_id=first.bot_id)])
        assert (outcome.job, outcome.is_new) == (done, False)

    @pytest.mark.parametrize(
        "status", [Status.IN_PROGRESS, Status.FAILED, Status.EXHAUSTED], ids=str
    )
    async def test_another_request_for_a_live_bot_answers_with_the_live_job(
        self, store: JobStore, status: Status
    ) -> None:
        first = await put(store, a_job(status=status))
        [outcome] = await store.record([a_job(bot_id=first.bot_id)])
        assert (outcome.job.id, outcome.is_new) == (first.id, False)
        assert outcome.job == await stored(store, first)

    @pytest.mark.parametrize(
        "status", [Status.IN_PROGRESS, Status.FAILED, Status.EXHAUSTED], ids=str
    )
    async def test_a_newer_request_for_a_live_bot_joins_its_job(
        self, store: JobStore, status: Status
    ) -> None:
        first = await put(store, a_job(status=status))
        newest, newer = LATER + timedelta(seconds=1), LATER
        outcomes = await store.record(
            [a_job(bot_id=first.bot_id, placed_at=at) for at in (newest, newer)]
        )
        joined = await stored(store, first)
        assert newest <= joined.placed_at < newest + timedelta(seconds=1)
        assert replace(joined, placed_at=first.placed_at) == first, "nothing else moved"
        assert {(o.job.id, o.is_new) for o in outcomes} == {(first.id, False)}

    async def test_a_repeated_event_joins_nothing(self, store: JobStore) -> None:
        first = await put(store, a_job())
        await store.record([a_job(event_id=first.event_id, bot_id=first.bot_id, placed_at=LATER)])
        assert await stored(store, first) == first

    async def test_a_job_that_was_joined_is_not_complete_before_its_run_knows(
        self, store: JobStore
    ) -> None:
        first = await put(store, a_job())
        await store.record([a_job(bot_id=first.bot_id, placed_at=LATER)])
        with pytest.raises(LeaseLost):
            await store.apply(first.complete(LATER))
        beaten = await store.apply(first.checkpoint(LATER))
        known = await stored(store, first)
        assert known == replace(beaten, placed_at=LATER), "a checkpoint does not undo the joining"
        assert (await store.apply(known.complete(LATER))).status is Status.COMPLETE

    async def test_another_request_after_completion_is_a_new_job(self, store: JobStore) -> None:
        first = await put(store, a_job())
        done = await store.apply(first.complete(LATER))
        second = a_job(bot_id=first.bot_id)
        [outcome] = await store.record([second])
        assert (outcome.job, outcome.is_new) == (second, True)
        assert await stored(store, first) == done
        third = a_job(bot_id=first.bot_id)
        [outcome] = await store.record([third])
        assert (outcome.job.id, outcome.is_new) == (second.id, False)

    async def test_services_do_not_know_of_each_other(self, store: JobStore) -> None:
        first = await put(store, a_job())
        other = a_job(service="billing", bot_id=first.bot_id, event_id=first.event_id)
        [outcome] = await store.record([other])
        assert (outcome.job, outcome.is_new) == (other, True)

    async def test_a_duplicate_answers_with_the_job_of_its_own_service(
        self, store: JobStore
    ) -> None:
        first = await put(store, a_job())
        await put(store, a_job(service="billing", bot_id=first.bot_id, event_id=first.event_id))
        by_bot, by_event = a_job(bot_id=first.bot_id), a_job(event_id=first.event_id)
        outcomes = await store.record([by_bot, by_event])
        assert [outcome.job.id for outcome in outcomes] == [first.id, first.id]

    async def test_of_duplicates_in_one_group_one_is_new(self, store: JobStore) -> None:
        first = a_job()
        group = [first, a_job(event_id=first.event_id, bot_id=first.bot_id), a_job(), first]
        group[3] = a_job(bot_id=first.bot_id)
        outcomes = await store.record(group)
        assert [outcome.is_new for outcome in outcomes].count(True) == 2
        standing = {outcome.job.id for outcome in outcomes if outcome.job.bot_id == first.bot_id}
        assert len(standing) == 1

    async def test_outcomes_come_in_the_order_of_what_was_offered(self, store: JobStore) -> None:
        by_event, by_bot = await put(store, a_job()), await put(store, a_job())
        new, newer = a_job(), a_job()
        outcomes = await store.record(
            [new, a_job(event_id=by_event.event_id), newer, a_job(bot_id=by_bot.bot_id)]
        )
        assert ids(outcome.job for outcome in outcomes) == ids([new, by_event, newer, by_bot])
        assert [outcome.is_new for outcome in outcomes] == [True, False, True, False]

    async def test_a_group_may_collide_by_event_with_one_job_and_by_bot_with_another(
        self, store: JobStore
    ) -> None:
        """The event decides: it is the same request, whatever else lives."""
        done = await put(store, a_job())
        await store.apply(done.complete(LATER))
        live = await put(store, a_job(bot_id=done.bot_id))
        [outcome] = await store.record([a_job(event_id=done.event_id, bot_id=done.bot_id)])
        assert outcome.job.id == done.id != live.id

    async def test_a_call_repeated_because_its_answer_was_lost_answers_new_again(
        self, store: JobStore
    ) -> None:
        group = [a_job(), a_job(), a_job()]
        first = await store.record(group)
        assert await store.record(group) == first
        assert all(outcome.is_new for outcome in first)

    async def test_a_repeated_call_does_not_take_back_a_job_another_claim_holds(
        self, store: JobStore
    ) -> None:
        job = await put(store, a_job())
        taken = await store.apply(job.claim("worker/other", STALE, POLICY))
        [outcome] = await store.record([job])
        assert (outcome.job, outcome.is_new) == (taken, False)

    async def test_of_many_records_of_one_event_exactly_one_is_new(self, open_store: Open) -> None:
        stores = [await open_store() for _ in range(8)]
        event_id, bot_id = str(uuid4()), str(ObjectId())
        offered = [a_job(event_id=event_id, bot_id=bot_id) for _ in range(24)]
        answers = await asyncio.gather(
            *(stores[number % 8].record([job]) for number, job in enumerate(offered))
        )
        outcomes = [outcome for [outcome] in answers]
        assert [outcome.is_new for outcome in outcomes].count(True) == 1
        assert len({outcome.job.id for outcome in outcomes}) == 1
        assert len(await stores[0].find(bot_id=bot_id, limit=99)) == 1

    async def test_of_many_requests_for_one_bot_exactly_one_becomes_a_job(
        self, open_store: Open
    ) -> None:
        stores = [await open_store() for _ in range(4)]
        bot_id = str(ObjectId())
        groups = [[a_job(bot_id=bot_id) for _ in range(5)] for _ in stores]
        answers = await asyncio.gather(
            *(store.record(group) for store, group in zip(stores, groups, strict=True))
        )
        outcomes = [outcome for answer in answers for outcome in answer]
        assert [outcome.is_new for outcome in outcomes].count(True) == 1
        assert len({outcome.job.id for outcome in outcomes}) == 1


FAILURE = Failure("ValueError", "broken", LATER)

# Each transition from each of its sources: the job before it, and the change.
CHANGES: dict[str, tuple[Job, Callable[[Job], Change]]] = {
    "claim failed": (
        a_job(status=Status.FAILED, failure=FAILURE),
        lambda job: job.claim("worker/new", LATER, POLICY),
    ),
    "claim stale": (a_job(), lambda job: job.claim("worker/new", STALE, POLICY)),
    "checkpoint": (
        a_job(),
        lambda job: job.checkpoint(LATER, StepProgress("a", StepStatus.IN_PROGRESS, 7, "c")),
    ),
    "complete": (a_job(), lambda job: job.complete(LATER)),
    "fail": (a_job(), lambda job: job.fail(FAILURE)),
    "fail interrupted": (a_job(), lambda job: job.fail(replace(FAILURE, interrupted=True))),
    "exhaust failed": (
        a_job(status=Status.FAILED, attempt=3, failure=FAILURE),
        lambda job: job.exhaust(LATER, POLICY),
    ),
    "exhaust stale": (a_job(attempt=3), lambda job: job.exhaust(STALE, POLICY)),
    "reopen": (a_job(status=Status.EXHAUSTED, attempt=3), lambda job: job.reopen(LATER)),
}
UNDERNEATH: dict[str, Callable[[Job], Any]] = {
    "status": lambda job: next(s for s in Status if s is not job.status and s != "complete"),
    "attempt": lambda job: job.attempt + 1,
    "claimed_by": lambda job: "worker/somebody-else",
    "last_modified_at": lambda job: job.last_modified_at + timedelta(milliseconds=1),
    "placed_at": lambda job: job.placed_at + timedelta(milliseconds=1),
}


def fresh(name: str) -> tuple[Job, Change]:
    """The job of a change, under ids of its own, and the change."""
    template, change = CHANGES[name]
    job = replace(template, id=str(ObjectId()), bot_id=str(ObjectId()), event_id=str(uuid4()))
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


class TestJoining:
    """A newer request for a bot whose job is live: the job stands for both from then on."""

    async def test_a_request_whose_clock_is_behind_joins_all_the_same(
        self, store: JobStore
    ) -> None:
        """What it stands for was written before it arrived, whatever time it bears."""
        first = await put(store, a_job())
        behind = NOW - timedelta(hours=1)
        [outcome] = await store.record([a_job(bot_id=first.bot_id, placed_at=behind)])
        joined = await stored(store, first)
        assert outcome.job == joined
        assert joined.placed_at == first.placed_at + timedelta(milliseconds=1)
        with pytest.raises(LeaseLost):
            await store.apply(first.complete(LATER))
        await store.apply(joined.complete(LATER))

    async def test_a_request_joins_the_job_of_its_own_service_and_bot_only(
        self, store: JobStore
    ) -> None:
        first = await put(store, a_job())
        others = [a_job(service="billing", bot_id=first.bot_id), a_job()]
        for other in others:
            await put(store, other)
        await store.record([a_job(bot_id=first.bot_id, placed_at=LATER)])
        assert [await stored(store, other) for other in others] == others

    async def test_no_change_of_a_run_takes_the_newer_time_back(self, store: JobStore) -> None:
        first = await put(store, a_job())
        await store.record([a_job(bot_id=first.bot_id, placed_at=LATER)])
        await store.apply(first.checkpoint(LATER))
        await store.apply(first.fail(FAILURE))
        assert (await stored(store, first)).placed_at == LATER

    async def test_of_a_completion_and_a_newer_request_at_once_neither_is_lost(
        self, open_store: Open
    ) -> None:
        run, intake = await open_store(), await open_store()
        for _ in range(10):
            job = await put(run, a_job())
            request = a_job(bot_id=job.bot_id, placed_at=LATER)
            async with asyncio.TaskGroup() as both:
                recording = both.create_task(intake.record([request]))
                completing = both.create_task(completed(run, job))
            [outcome] = recording.result()
            if completing.result():
                assert (outcome.job, outcome.is_new) == (request, True), "it is a job of its own"
            else:
                assert outcome.job == replace(job, placed_at=LATER), "it joined"


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

    @pytest.mark.parametrize("name", ["checkpoint", "complete", "fail"])
    async def test_a_heartbeat_underneath_does_not_cost_a_run_its_own_write(
        self, store: JobStore, name: str
    ) -> None:
        job, change = fresh(name)
        await put(store, job)
        await store.apply(job.checkpoint(NOW + timedelta(milliseconds=500)))
        assert await store.apply(change) == change.after

    @pytest.mark.parametrize("name", CHANGES)
    async def test_a_change_of_a_job_that_is_gone_is_refused(
        self, store: JobStore, name: str
    ) -> None:
        _, change = fresh(name)
        with pytest.raises(LeaseLost):
            await store.apply(change)

    async def test_of_concurrent_claims_exactly_one_wins(self, open_store: Open) -> None:
        stores = [await open_store() for _ in range(8)]
        for status in (Status.FAILED, Status.IN_PROGRESS):
            job = await put(stores[0], a_job(status=status))
            claims = [job.claim(f"worker/{n}", STALE, POLICY) for n in range(len(stores))]
            answers = await asyncio.gather(
                *(store.apply(claim) for store, claim in zip(stores, claims, strict=True)),
                return_exceptions=True,
            )
            won = [answer for answer in answers if isinstance(answer, Job)]
            assert len(won) == 1
            assert sum(isinstance(answer, LeaseLost) for answer in answers) == len(stores) - 1
            assert await stored(stores[0], job) == won[0]

    async def test_a_claim_and_a_late_heartbeat_do_not_both_count(self, open_store: Open) -> None:
        run, outsider = await open_store(), await open_store()
        for _ in range(10):
            job = await put(run, a_job())
            answers = await asyncio.gather(
                run.apply(job.checkpoint(STALE)),
                outsider.apply(job.claim("worker/new", STALE, POLICY)),
                return_exceptions=True,
            )
            assert sorted(isinstance(answer, Job) for answer in answers) == [False, True]

    async def test_a_completed_job_makes_room_and_a_reopened_one_still_holds_its_bot(
        self, store: JobStore
    ) -> None:
        job = await put(store, a_job(status=Status.EXHAUSTED, attempt=3))
        await store.apply(job.reopen(LATER))
        [outcome] = await store.record([a_job(bot_id=job.bot_id)])
        assert outcome.job.id == job.id


class TestReading:
    async def test_every_field_is_read_back_as_it_was_written(self, store: JobStore) -> None:
        job = a_job(
            status=Status.FAILED,
            attempt=7,
            claimed_by="host-1:42:a1b2c3/0f0e0d0c",
            placed_at=datetime(1970, 1, 1, 0, 0, 0, 1000, UTC),
            created_at=datetime(2025, 12, 31, 23, 59, 59, 999_000, UTC),
            last_modified_at=datetime(2026, 1, 1, tzinfo=UTC),
            finished_at=datetime(2100, 2, 28, 12, tzinfo=UTC),
            steps=(
                StepProgress("a", StepStatus.COMPLETE, 2**40, '{"$oid": "x"}', 2**33, 0.1),
                StepProgress("b.c-d", StepStatus.IN_PROGRESS, 1, ""),
                StepProgress("e"),
            ),
            failure=Failure("Ошибка", "line 1\nline 2 \N{BOMB}", LATER, interrupted=True),
            past_attempts=(
                PastAttempt(1, "worker-1/a", "a", 2, LATER, "stale"),
                PastAttempt(2, "worker-2/b", None, 0, LATER, "LeftOvers"),
            ),
        )
        await put(store, job)
        assert await stored(store, job) == job

    async def test_what_is_not_known_yet_is_read_back_as_none(self, store: JobStore) -> None:
        job = await put(store, a_job())
        found = await stored(store, job)
        assert (found.finished_at, found.failure) == (None, None)
        assert (found.steps, found.past_attempts) == ((), ())

    async def test_times_are_read_back_with_their_zone(self, store: JobStore) -> None:
        found = await stored(store, await put(store, a_job()))
        assert found.last_modified_at.utcoffset() == timedelta(0)

    async def test_jobs_are_counted_by_their_status(self, store: JobStore) -> None:
        for status in (Status.FAILED, Status.IN_PROGRESS, Status.FAILED):
            await put(store, a_job(status=status))
        counted = {status: await store.count(status) for status in Status}
        assert counted == {"failed": 2, "in_progress": 1, "complete": 0, "exhausted": 0}

    async def test_an_unknown_id_is_no_job(self, store: JobStore) -> None:
        assert await store.get(str(ObjectId())) is None

    async def test_new_ids_sort_in_the_order_they_were_made(self, store: JobStore) -> None:
        made = [store.new_id() for _ in range(50)]
        assert made == sorted(set(made))
        assert all(len(made_id) == 24 for made_id in made)

    async def test_it_answers_a_ping(self, store: JobStore) -> None:
        await store.ping()


class TestWalking:
    async def test_pages_follow_each_other_by_id_and_leave_nothing_out(
        self, store: JobStore
    ) -> None:
        failed = [a_job(status=Status.FAILED) for _ in range(7)]
        await store.record([*reversed(failed), a_job(), a_job(status=Status.EXHAUSTED)])
        pages: list[list[Job]] = []
        after = None
        while page := await store.walk(Status.FAILED, modified_before=None, after=after, limit=3):
            pages.append(page)
            after = page[-1].id
        assert [len(page) for page in pages] == [3, 3, 1]
        assert [job for page in pages for job in page] == failed

    async def test_only_what_was_silent_since_is_found(self, store: JobStore) -> None:
        times = [NOW - timedelta(milliseconds=1), NOW, NOW + timedelta(milliseconds=1)]
        jobs = [a_job(last_modified_at=time) for time in times]
        await store.record(jobs)
        found = await store.walk(Status.IN_PROGRESS, modified_before=NOW, after=None, limit=9)
        assert found == jobs[:1]

    async def test_a_page_of_silent_jobs_goes_on_behind_its_last_one(self, store: JobStore) -> None:
        jobs = [a_job(last_modified_at=NOW - timedelta(hours=1)) for _ in range(3)]
        await store.record(jobs)
        found = await store.walk(Status.IN_PROGRESS, modified_before=NOW, after=jobs[0].id, limit=9)
        assert found == jobs[1:]

    async def test_a_job_that_moves_on_during_the_walk_does_not_disturb_it(
        self, store: JobStore
    ) -> None:
        jobs = [a_job(status=Status.FAILED) for _ in range(4)]
        await store.record(jobs)
        first = await store.walk(Status.FAILED, modified_before=None, after=None, limit=2)
        for job in first:
            await store.apply(job.claim("worker/new", LATER, POLICY))
        rest = await store.walk(Status.FAILED, modified_before=None, after=first[-1].id, limit=2)
        assert first + rest == jobs


class TestFinding:
    @pytest.fixture
    async def jobs(self, store: JobStore) -> list[Job]:
        """Two services, three bots, several states; oldest first."""
        bots = [str(ObjectId()) for _ in range(3)]
        jobs = [
            a_job(service=service, bot_id=bot, status=status)
            for bot in bots
            for service, status in [
                ("billing", Status.COMPLETE),
                ("conversations", Status.FAILED),
                ("billing", Status.IN_PROGRESS),
                ("conversations", Status.COMPLETE),
            ]
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

    async def test_what_fits_nothing_finds_nothing(self, store: JobStore, jobs: list[Job]) -> None:
        assert await store.find(bot_id=str(ObjectId()), limit=9) == []
        assert await store.find(service="unknown", limit=9) == []
        assert await store.find(status=Status.EXHAUSTED, limit=9) == []
