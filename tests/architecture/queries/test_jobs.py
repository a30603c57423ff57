"""Every query for jobs walks an index."""

from collections.abc import Awaitable, Callable
from uuid import uuid4

import pytest
from bson import ObjectId

from deletion.adapters.mongo.jobs import COLLECTION, MongoJobStore
from deletion.errors import LeaseLost
from deletion.job import MAX_EVENTS, Failure, Job, Status
from deletion.silence import EPOCH
from tests.conformance.job_store.jobs import POLICY, SILENT
from tests.support.clock import START
from tests.support.factories import new_job, redelivered, request_for
from tests.support.measured import Watched, is_an_operators_look, public


async def record(store: MongoJobStore) -> None:
    """A new job, a redelivered event, requests that join, and one for a job that is full."""
    job, full = new_job(), new_job(event_ids=tuple(str(uuid4()) for _ in range(MAX_EVENTS)))
    await store.record([job, full])
    await store.record([redelivered(job), request_for(job), request_for(full), new_job(), job])


async def apply(store: MongoJobStore) -> None:
    """Changes that are written, under each of the two guards, and changes that are refused."""
    job = new_job(status=Status.PENDING)
    await store.record([job])
    claimed = await store.apply(job.claim("worker/a", START))
    beaten = await store.apply(claimed.checkpoint(START))
    failed = await store.apply(beaten.fail(Failure("ValueError", "broken", START)))
    await store.apply(failed.resume(SILENT, POLICY))
    for change in (claimed.complete(START), claimed.resume(SILENT, POLICY)):
        with pytest.raises(LeaseLost):
            await store.apply(change)


async def get(store: MongoJobStore) -> None:
    [job] = await store.find(status=Status.FAILED, limit=1)
    assert isinstance(job, Job)
    assert await store.get(job.id) == job
    assert await store.get(str(ObjectId())) is None


async def due(store: MongoJobStore) -> None:
    """Both queues, and windows with and without jobs."""
    for queue in ("conversations", "conversations/suspect"):
        for since, until in ((EPOCH, START), (START, SILENT), (EPOCH, EPOCH)):
            await store.due(queue, since, until, 100)


async def silent(store: MongoJobStore) -> None:
    """As a sweep does: its first page, and the next one."""
    for status in (Status.FAILED, Status.IN_PROGRESS):
        for skip in ((), [str(ObjectId()) for _ in range(100)]):
            await store.silent(status, since=EPOCH, until=START, skip=skip, limit=100)


async def count(store: MongoJobStore) -> None:
    assert await store.count(Status.EXHAUSTED) == 10


async def count_waiting(store: MongoJobStore) -> None:
    assert await store.count_waiting(Status.PENDING, until=EPOCH, limit=100) == 0


async def time(store: MongoJobStore) -> None:
    await store.time()


async def find(store: MongoJobStore) -> None:
    for service in (None, "conversations"):
        for bot_id in (None, str(ObjectId())):
            for status in (None, Status.FAILED):
                await store.find(service=service, bot_id=bot_id, status=status, limit=50)


JOB_QUERIES: dict[str, tuple[Callable[[MongoJobStore], Awaitable[None]], int]] = {
    "record": (record, 3),
    "due": (due, 6),
    "apply": (apply, 8),
    "get": (get, 3),
    "silent": (silent, 4),
    "count": (count, 1),
    "count_waiting": (count_waiting, 1),
    "find": (find, 8),
    "time": (time, 0),
}
"""For each method: a function that calls it in every way, and the fewest queries that it sends."""


def test_every_method_of_the_job_store_is_called_here() -> None:
    assert public(MongoJobStore) - {"ping", "check_writes"} == set(JOB_QUERIES)


@pytest.mark.proves("every-query-indexed")
@pytest.mark.parametrize("method", JOB_QUERIES)
async def test_every_query_for_jobs_walks_an_index(
    watched: Watched, store: MongoJobStore, method: str
) -> None:
    call, at_least = JOB_QUERIES[method]
    watched.watch()
    await call(store)
    assert await watched.scans(may=is_an_operators_look) == []
    assert len(watched.listener.queries) >= at_least


async def test_the_newest_of_all_are_read_along_the_ids_and_those_of_a_service_by_status(
    watched: Watched, store: MongoJobStore
) -> None:
    watched.watch()
    await store.find(limit=50)
    await store.find(service="conversations", limit=50)
    watched.listener.on = False
    newest, of_service = watched.listener.queries
    assert (newest["filter"], newest["sort"]) == ({}, {"_id": -1})
    assert of_service["filter"]["status"] == {"$in": list(Status)}
    assert of_service["sort"] == {"createdAt": -1}
    assert not any("hint" in query for query in watched.listener.queries)


async def test_every_update_of_a_job_names_the_shard_key(
    watched: Watched, store: MongoJobStore
) -> None:
    """Without it a sharded collection asks every shard."""
    watched.watch()
    await record(store)
    await apply(store)
    watched.listener.on = False
    updates = [query for query in watched.listener.queries if query.get("is_write")]
    assert len(updates) >= 7
    assert all("botId" in query["filter"] for query in updates)


@pytest.mark.parametrize("method", ["due", "silent", "find"])
async def test_it_is_seen_when_an_index_of_the_jobs_is_missing(
    watched: Watched, bare_store: MongoJobStore, method: str
) -> None:
    watched.watch()
    await JOB_QUERIES[method][0](bare_store)
    assert len(await watched.scans(may=is_an_operators_look)) >= 4


async def test_it_is_seen_when_the_search_for_what_collides_has_no_index(
    watched: Watched, bare_store: MongoJobStore
) -> None:
    """Without a unique index only the `_id` collides: the same job is recorded twice."""
    job = new_job()
    watched.watch()
    await bare_store.record([job])
    await bare_store.record([job])
    found = [set(query["filter"]) for query in await watched.scans()]
    assert found == [{"botId", "service", "eventIds"}]


async def test_an_update_and_a_delete_without_an_index_are_seen(
    watched: Watched, store: MongoJobStore
) -> None:
    """Otherwise the tests above would pass whatever the store sends."""
    jobs = watched.database[COLLECTION]
    watched.watch()
    await jobs.find_one({"claimedBy": "nobody"})
    await jobs.update_one({"claimedBy": "nobody"}, {"$set": {"attempt": 1}})
    await jobs.delete_one({"claimedBy": "nobody"})
    assert len(await watched.scans()) == 3


async def test_a_command_that_cannot_be_measured_is_seen(
    watched: Watched, store: MongoJobStore
) -> None:
    watched.watch()
    await watched.database[COLLECTION].find_one_and_update({}, {"$set": {"attempt": 1}})
    with pytest.raises(AssertionError, match="not measured"):
        await watched.scans()
    watched.listener.unknown.clear()
