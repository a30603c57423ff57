"""One suite for the jobs as the ledger sees them: in memory, and on MongoDB over the wire."""

from dataclasses import dataclass
from datetime import datetime, timedelta

import pytest
from bson import ObjectId

from deletion.adapters.mongo.connection import Client
from deletion.adapters.mongo.coverage import ASKED, MongoCoverageStore
from deletion.adapters.mongo.jobs import COLLECTION, MongoJobStore
from deletion.job import Failure, Job, LeasePolicy, Status
from deletion.ledger import Coverage, CoverageStore
from deletion.ports import JobStore, Unreadable
from deletion.silence import EPOCH
from tests.conformance.replicas import PARTS
from tests.support.clock import START
from tests.support.factories import LATER, new_job, request_for
from tests.support.indexed import indexed
from tests.support.large_store import LargeCoverageStore, LargeJobStore
from tests.support.memory_requests import MemoryCoverageStore
from tests.support.memory_stores import MemoryJobStore

TICK = timedelta(milliseconds=1)
END = START + timedelta(days=3)


@dataclass(frozen=True)
class Stores:
    """The same jobs as runs write them, and as the ledger reads them."""

    jobs: JobStore
    coverage: CoverageStore

    async def put(self, job: Job) -> Job:
        await self.jobs.record([job])
        return job

    async def complete(self, job: Job, at: datetime = START) -> Coverage:
        """Complete a job that is in progress; it as the ledger sees it then."""
        stored = await self.jobs.get(job.id)
        assert stored
        await self.jobs.apply(stored.complete(at))
        return Coverage(job.id, job.service, job.bot_id, stored.event_ids, at)

    async def unreported(self) -> list[Coverage | Unreadable]:
        return [*await self.coverage.unreported(EPOCH, END, 100)]


@pytest.fixture(params=(*PARTS, "large"))
async def stores(request: pytest.FixtureRequest, client: Client, database_name: str) -> Stores:
    if request.param == "large":
        large = LargeJobStore()
        return Stores(large, LargeCoverageStore(large))
    if request.param == "memory":
        memory = MemoryJobStore()
        return Stores(memory, MemoryCoverageStore(memory))
    return await on_mongo(client, database_name)


@pytest.fixture
async def mongo_stores(client: Client, database_name: str) -> Stores:
    return await on_mongo(client, database_name)


async def on_mongo(client: Client, database_name: str) -> Stores:
    jobs = await indexed(MongoJobStore, client, database_name)
    return Stores(jobs, MongoCoverageStore(client, database_name))


class TestUnreported:
    async def test_the_write_that_completes_a_job_marks_it_and_no_other_write_does(
        self, stores: Stores
    ) -> None:
        job = await stores.put(new_job(status=Status.PENDING))
        assert await stores.unreported() == []
        claimed = await stores.jobs.apply(job.claim("worker/a", START))
        beaten = await stores.jobs.apply(claimed.checkpoint(START))
        failed = await stores.jobs.apply(beaten.fail(Failure("E", "broken", START)))
        policy = LeasePolicy(timedelta(seconds=60), 3)
        resumed = await stores.jobs.apply(failed.resume(START + timedelta(days=2), policy))
        claimed = await stores.jobs.apply(resumed.claim("worker/b", START))
        assert await stores.unreported() == []
        complete = await stores.complete(claimed, LATER)
        assert complete.is_complete
        assert await stores.unreported() == [complete]

    async def test_a_job_that_is_handed_over_compensated_or_exhausted_is_not_marked(
        self, stores: Stores
    ) -> None:
        for status in Status:
            if status is not Status.COMPLETE:
                await stores.put(new_job(status=status))
        assert await stores.unreported() == []

    async def test_what_is_reported_is_not_found_again_whoever_repeats_it(
        self, stores: Stores
    ) -> None:
        jobs = [await stores.put(new_job()) for _ in range(3)]
        complete = [await stores.complete(job, START + n * TICK) for n, job in enumerate(jobs)]
        await stores.coverage.mark_reported([])
        for _ in range(2):
            await stores.coverage.mark_reported([jobs[0].id, jobs[2].id, str(ObjectId())])
        assert await stores.unreported() == [complete[1]]

    async def test_repeating_the_completion_does_not_mark_a_reported_job_again(
        self, stores: Stores
    ) -> None:
        """A run whose answer was lost repeats it; the ledger may have been faster."""
        job = await stores.put(new_job())
        change = job.complete(START)
        await stores.jobs.apply(change)
        await stores.coverage.mark_reported([job.id])
        await stores.jobs.apply(change)
        assert await stores.unreported() == []

    async def test_reporting_changes_nothing_else_of_a_job(self, stores: Stores) -> None:
        job = await stores.put(new_job())
        written = await stores.jobs.apply(job.complete(START))
        await stores.coverage.mark_reported([job.id])
        assert await stores.jobs.get(job.id) == written

    async def test_the_earliest_come_first_within_a_closed_range(self, stores: Stores) -> None:
        jobs = [await stores.put(new_job()) for _ in range(5)]
        complete = [await stores.complete(job, START + n * TICK) for n, job in enumerate(jobs)]
        found = await stores.coverage.unreported(START + TICK, START + 3 * TICK, 100)
        assert found == complete[1:4]
        assert await stores.coverage.unreported(START, END, 2) == complete[:2]
        assert await stores.coverage.unreported(EPOCH, START - TICK, 100) == []

    async def test_a_job_covers_the_requests_that_joined_it(self, stores: Stores) -> None:
        job = await stores.put(new_job())
        joined = request_for(job)
        await stores.jobs.record([joined])
        complete = await stores.complete(job, LATER)
        assert complete.event_ids == (job.event_id, joined.event_id)
        assert await stores.unreported() == [complete]


class TestCovering:
    async def test_the_jobs_of_every_service_in_every_state_are_found(self, stores: Stores) -> None:
        first = await stores.put(new_job())
        pairs = [(first.bot_id, first.event_id)]
        others = [
            await stores.put(
                new_job(
                    service=f"of-{status}",
                    bot_id=first.bot_id,
                    event_ids=(first.event_id,),
                    status=status,
                )
            )
            for status in Status
            if status is not Status.COMPLETE
        ]
        found = await stores.coverage.covering(pairs)
        assert {each.job_id for each in found} == {first.id, *(job.id for job in others)}
        assert not any(each.is_complete for each in found)
        complete = await stores.complete(first)
        assert [e for e in await stores.coverage.covering(pairs) if e.is_complete] == [complete]
        await stores.coverage.mark_reported([first.id])
        assert [e for e in await stores.coverage.covering(pairs) if e.is_complete] == [complete]

    async def test_a_request_that_joined_is_covered_and_others_are_not(
        self, stores: Stores
    ) -> None:
        job, other = await stores.put(new_job()), await stores.put(new_job())
        joined = request_for(job)
        await stores.jobs.record([joined])
        [found] = await stores.coverage.covering([(job.bot_id, joined.event_id)])
        assert (found.job_id, found.service) == (job.id, job.service)
        assert await stores.coverage.covering([(other.bot_id, joined.event_id)]) == []
        mixed = [(other.bot_id, joined.event_id), (job.bot_id, other.event_id)]
        assert await stores.coverage.covering(mixed) == []
        assert await stores.coverage.covering([]) == []

    async def test_many_requests_have_all_their_jobs_each_once(self, stores: Stores) -> None:
        """Also a job that covers requests which the store asks for apart."""
        jobs = [await stores.put(new_job()) for _ in range(2 * ASKED)]
        joined = [request_for(jobs[0]) for _ in range(2 * ASKED)]
        for request in joined:
            await stores.jobs.record([request])
        pairs = [(job.bot_id, job.event_id) for job in jobs]
        pairs += [(jobs[0].bot_id, request.event_id) for request in joined]
        found = await stores.coverage.covering([*pairs, *pairs])
        assert sorted(each.job_id for each in found) == sorted(job.id for job in jobs)


# --- what only the store on MongoDB has to show


async def test_unreported_is_a_time_and_absent_otherwise(
    mongo_stores: Stores, client: Client, database_name: str
) -> None:
    jobs = client[database_name][COLLECTION]
    job = await mongo_stores.put(new_job())
    stored = await jobs.find_one({})
    assert stored
    assert "unreported" not in stored
    await mongo_stores.complete(job, LATER)
    stored = await jobs.find_one({})
    assert stored
    assert stored["unreported"] == LATER
    await mongo_stores.coverage.mark_reported([job.id])
    stored = await jobs.find_one({})
    assert stored
    assert "unreported" not in stored


@pytest.mark.proves("unreadable-reported")
async def test_a_job_that_cannot_be_read_hides_no_other_and_says_when_it_completed(
    mongo_stores: Stores, client: Client, database_name: str
) -> None:
    first, second = await mongo_stores.put(new_job()), await mongo_stores.put(new_job())
    await mongo_stores.complete(first, START)
    complete = await mongo_stores.complete(second, LATER)
    jobs = client[database_name][COLLECTION]
    await jobs.update_one({"_id": ObjectId(first.id)}, {"$set": {"service": 7}})
    unreadable, readable = await mongo_stores.unreported()
    assert isinstance(unreadable, Unreadable)
    assert (unreadable.id, unreadable.due) == (first.id, START)
    assert readable == complete
    pairs = [(job.bot_id, job.event_id) for job in (first, second)]
    assert await mongo_stores.coverage.covering(pairs) == [complete]


async def test_a_job_that_only_a_later_version_can_read_covers_its_requests(
    mongo_stores: Stores, client: Client, database_name: str
) -> None:
    """It is there, so the request must not be published again; whether it is complete is open."""
    job = await mongo_stores.put(new_job())
    jobs = client[database_name][COLLECTION]
    later = {"status": "archived", "steps": "all", "finishedAt": START}
    await jobs.update_one({"_id": ObjectId(job.id)}, {"$set": later})
    [found] = await mongo_stores.coverage.covering([(job.bot_id, job.event_id)])
    assert found == Coverage(job.id, job.service, job.bot_id, (job.event_id,), None)
