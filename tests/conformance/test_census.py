"""What the census counts, in memory and on MongoDB; and on MongoDB, what damage does not hide."""

from datetime import datetime, timedelta
from typing import Any

import pytest
from bson import ObjectId

from deletion.adapters.mongo.census import MongoCensus
from deletion.adapters.mongo.connection import Client
from deletion.adapters.mongo.jobs import COLLECTION, MongoJobStore
from deletion.clock import TICK
from deletion.job import STALE, Failure, PastAttempt, Status
from deletion.ports import Census, JobStore, Unfinished
from tests.conformance.replicas import PARTS
from tests.support.clock import START
from tests.support.factories import SERVICE, new_job
from tests.support.indexed import indexed
from tests.support.memory_stores import MemoryJobStore
from tests.support.visiting import MemoryCensus

LATER = START + timedelta(hours=1)
SILENCES = tuple(PastAttempt(n, "worker/a", "a", 1, START, STALE) for n in (1, 2))
"""With which a job is a suspect."""


class Counted:
    """A store of jobs, and a census of them."""

    def __init__(self, store: JobStore, census: Census) -> None:
        self.store = store
        self._census = census

    async def unfinished(self) -> dict[tuple[str, str], Unfinished]:
        found = await self._census.unfinished()
        return {(each.service, each.status): each for each in found}

    async def due(self, *services: str, now: datetime = START, limit: int = 99) -> dict[str, int]:
        return dict(await self._census.due(services, now, limit))


@pytest.fixture(params=PARTS)
async def counted(request: pytest.FixtureRequest, client: Client, database_name: str) -> Counted:
    if request.param == "memory":
        memory = MemoryJobStore()
        return Counted(memory, MemoryCensus(memory))
    return await in_mongo(client, database_name)


async def in_mongo(client: Client, database: str) -> Counted:
    store = await indexed(MongoJobStore, client, database)
    return Counted(store, MongoCensus(client, database))


async def test_unfinished_jobs_are_counted_by_service_and_status(
    counted: Counted,
) -> None:
    times = {Status.PENDING: (LATER, START), Status.FAILED: (START,), Status.COMPLETE: (START,)}
    for status, created in times.items():
        await counted.store.record([new_job(status=status, created_at=at) for at in created])
    assert await counted.unfinished() == {
        ("conversations", "pending"): Unfinished("conversations", Status.PENDING, 2, START),
        ("conversations", "failed"): Unfinished("conversations", Status.FAILED, 1, START),
    }


async def test_the_jobs_that_a_worker_may_claim_now_are_due(counted: Counted) -> None:
    interrupted = Failure("Interrupted", "SIGTERM", START, interrupted=True)
    await counted.store.record(
        [
            new_job(status=Status.PENDING, due=START),
            new_job(status=Status.FAILED, failure=interrupted, due=START - TICK),
            new_job(status=Status.PENDING, due=START, past_attempts=SILENCES),
            new_job(status=Status.PENDING, due=START + TICK),
            new_job(status=Status.PENDING, due=LATER, past_attempts=SILENCES),
            new_job(status=Status.FAILED, failure=Failure("StepError", "no", START)),
            *(new_job(status=each) for each in Status if each is not Status.PENDING),
        ]
    )
    assert await counted.due(SERVICE) == {SERVICE: 3}
    assert await counted.due(SERVICE, now=LATER) == {SERVICE: 5}


async def test_a_job_that_is_claimed_is_no_longer_due(counted: Counted) -> None:
    job = new_job(status=Status.PENDING)
    await counted.store.record([job])
    assert await counted.due(SERVICE) == {SERVICE: 1}
    await counted.store.apply(job.claim("worker/2", START))
    assert await counted.due(SERVICE) == {SERVICE: 0}


async def test_the_due_jobs_of_each_service_are_counted_by_themselves(counted: Counted) -> None:
    jobs = {"billing": 2, "media": 1, "not-asked-for": 1}
    for service, number in jobs.items():
        due = [new_job(status=Status.PENDING, service=service) for _ in range(number)]
        await counted.store.record(due)
    assert await counted.due("media", "billing", "empty", "media") == {
        "billing": 2,
        "media": 1,
        "empty": 0,
    }
    assert await counted.due() == {}


async def test_counting_the_due_jobs_of_a_service_ends_at_the_limit(counted: Counted) -> None:
    await counted.store.record(
        [
            *(new_job(status=Status.PENDING) for _ in range(2)),
            *(new_job(status=Status.PENDING, past_attempts=SILENCES) for _ in range(2)),
            *(new_job(status=Status.PENDING, due=LATER) for _ in range(2)),
        ]
    )
    assert await counted.due(SERVICE, limit=3) == {SERVICE: 3}
    assert await counted.due(SERVICE, limit=5) == {SERVICE: 4}


@pytest.mark.proves("unreadable-reported")
@pytest.mark.parametrize("damaged", ["yesterday", None, 7, datetime(1, 1, 2)], ids=str)  # noqa: DTZ001
async def test_a_damaged_time_hides_neither_its_group_nor_the_oldest_of_the_others(
    client: Client, database_name: str, damaged: Any
) -> None:
    counted = await in_mongo(client, database_name)
    jobs = [new_job(status=Status.PENDING, created_at=at) for at in (START, LATER)]
    alone = new_job(status=Status.FAILED)
    await counted.store.record([*jobs, alone])
    for job in (jobs[0], alone):
        query, change = {"_id": ObjectId(job.id)}, {"$set": {"createdAt": damaged}}
        await client[database_name][COLLECTION].update_one(query, change)
    found = await counted.unfinished()
    assert found["conversations", "pending"].jobs == 2
    assert found["conversations", "pending"].oldest == LATER
    assert found["conversations", "failed"].oldest is None


async def test_a_job_without_a_service_is_counted_by_itself(
    client: Client, database_name: str
) -> None:
    counted = await in_mongo(client, database_name)
    damaged = new_job(status=Status.PENDING)
    await counted.store.record([damaged, new_job(status=Status.PENDING)])
    query = {"_id": ObjectId(damaged.id)}
    await client[database_name][COLLECTION].update_one(query, {"$unset": {"service": ""}})
    services = {service for service, _ in await counted.unfinished()}
    assert services == {"", "conversations"}


async def test_damaged_records_stop_no_count_of_the_due_jobs(
    client: Client, database_name: str
) -> None:
    counted = await in_mongo(client, database_name)
    without_service, without_due = (new_job(status=Status.PENDING) for _ in range(2))
    await counted.store.record([without_service, without_due, new_job(status=Status.PENDING)])
    for job, change in (
        (without_service, {"$unset": {"service": ""}}),
        (without_due, {"$set": {"due": "yesterday"}}),
    ):
        await client[database_name][COLLECTION].update_one({"_id": ObjectId(job.id)}, change)
    found = await counted.due(SERVICE)
    assert found == {SERVICE: 2}, "that a worker reads, whether or not it may claim them"
