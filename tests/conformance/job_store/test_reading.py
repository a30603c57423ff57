"""What is due, what fell silent, and what an operator asks for."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from bson import ObjectId

from deletion.job import (
    STALE,
    Direction,
    Failure,
    Job,
    PastAttempt,
    Status,
    StepProgress,
    StepStatus,
    Throttled,
    suspect_queue,
)
from deletion.ports import JobStore, Read
from deletion.silence import EPOCH
from tests.conformance.job_store.changes import CHANGES, ROLLBACK, fresh
from tests.conformance.job_store.jobs import POLICY, SERVICE, SILENT, TICK, ids, put, stored
from tests.support.clock import START
from tests.support.factories import LATER, new_job


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
        assert await self.due(store, suspect_queue(SERVICE)) == [twice]

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
        assert ids(await self.due(store, suspect_queue(SERVICE))) == [job.id]


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
                PastAttempt(1, "w/a", "a", 2, LATER, "stale", direction=Direction.BACKWARD),
                PastAttempt(2, "worker-2/b", None, 0, LATER, "LeftOvers", {"node": "n-1"}),
            ),
            requested_by="crm",
            traceparent="00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            parks=3,
            **ROLLBACK,
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
        assert await store.count_waiting(Status.PENDING, until=START + TICK, limit=9) == 2
        assert await store.count_waiting(Status.PENDING, until=START - TICK, limit=9) == 0

    async def test_those_that_are_due_later_do_not_count_as_waiting(self, store: JobStore) -> None:
        for due in (None, START, START + TICK):
            await put(store, new_job(status=Status.PENDING, due=due, last_modified_at=START))
        assert await store.count_waiting(Status.PENDING, until=START, limit=9) == 2
        assert await store.count(Status.PENDING) == 3

    async def test_no_more_waiting_ones_are_counted_than_asked_for(self, store: JobStore) -> None:
        for _ in range(3):
            await put(store, new_job(status=Status.PENDING, last_modified_at=START))
        assert await store.count_waiting(Status.PENDING, until=START, limit=2) == 2

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
        later = await self.silent(store, since=START, skip=set(ids(first)), limit=3)
        assert {*ids(first), *ids(later[:2])} == set(ids(jobs[:4])), "of a tie nothing is lost"
        assert later[2] == jobs[4]


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
