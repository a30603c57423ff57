"""The census on MongoDB: what it counts, and what one damaged record does not hide."""

from datetime import datetime, timedelta
from typing import Any

import pytest
from bson import ObjectId

from deletion.adapters.mongo.census import MongoCensus
from deletion.adapters.mongo.connection import Client
from deletion.adapters.mongo.jobs import COLLECTION, MongoJobStore
from deletion.job import Status
from deletion.ports import Unfinished
from tests.support.clock import START
from tests.support.factories import new_job
from tests.support.indexed import indexed

LATER = START + timedelta(hours=1)


@pytest.fixture
async def store(client: Client, database_name: str) -> MongoJobStore:
    return await indexed(MongoJobStore, client, database_name)


async def census(client: Client, database: str) -> dict[tuple[str, str], Unfinished]:
    found = await MongoCensus(client, database).unfinished()
    return {(each.service, each.status): each for each in found}


async def test_unfinished_jobs_are_counted_by_service_and_status(
    store: MongoJobStore, client: Client, database_name: str
) -> None:
    times = {Status.PENDING: (LATER, START), Status.FAILED: (START,), Status.COMPLETE: (START,)}
    for status, created in times.items():
        await store.record([new_job(status=status, created_at=at) for at in created])
    assert await census(client, database_name) == {
        ("conversations", "pending"): Unfinished("conversations", Status.PENDING, 2, START),
        ("conversations", "failed"): Unfinished("conversations", Status.FAILED, 1, START),
    }


@pytest.mark.proves("unreadable-reported")
@pytest.mark.parametrize("damaged", ["yesterday", None, 7, datetime(1, 1, 2)], ids=str)  # noqa: DTZ001
async def test_a_damaged_time_hides_neither_its_group_nor_the_oldest_of_the_others(
    store: MongoJobStore, client: Client, database_name: str, damaged: Any
) -> None:
    jobs = [new_job(status=Status.PENDING, created_at=at) for at in (START, LATER)]
    alone = new_job(status=Status.FAILED)
    await store.record([*jobs, alone])
    for job in (jobs[0], alone):
        query, change = {"_id": ObjectId(job.id)}, {"$set": {"createdAt": damaged}}
        await client[database_name][COLLECTION].update_one(query, change)
    found = await census(client, database_name)
    assert found["conversations", "pending"].jobs == 2
    assert found["conversations", "pending"].oldest == LATER
    assert found["conversations", "failed"].oldest is None


async def test_a_job_without_a_service_is_counted_by_itself(
    store: MongoJobStore, client: Client, database_name: str
) -> None:
    damaged = new_job(status=Status.PENDING)
    await store.record([damaged, new_job(status=Status.PENDING)])
    query = {"_id": ObjectId(damaged.id)}
    await client[database_name][COLLECTION].update_one(query, {"$unset": {"service": ""}})
    services = {service for service, _ in await census(client, database_name)}
    assert services == {"", "conversations"}
