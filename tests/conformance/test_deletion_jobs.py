"""One suite for the jobs as a status shows them: in memory, and on MongoDB over the wire."""

import time
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from bson import ObjectId

from console.mongo_jobs import MongoDeletionJobs
from console.ports import Covering, DeletionJobs
from deletion.adapters.mongo.connection import Client
from deletion.adapters.mongo.jobs import COLLECTION, MongoJobStore
from deletion.job import STALE, Job, PastAttempt, Status, suspect_queue
from deletion.job.record import MAX_EVENTS
from deletion.ports import JobStore, Unreadable
from tests.conformance.job_store.jobs import put, stored
from tests.conformance.replicas import PARTS
from tests.support.clock import START
from tests.support.factories import BOT, LATER, OTHER_BOT, SERVICE, new_job, request_for
from tests.support.indexed import indexed
from tests.support.memory_console import MemoryDeletionJobs
from tests.support.memory_stores import MemoryJobStore

TICK = timedelta(milliseconds=1)


@dataclass(frozen=True)
class Stores:
    """The same jobs as runs write them, and as a status reads them."""

    jobs: JobStore
    seen: DeletionJobs

    async def put(self, **values: Any) -> Job:
        return await put(self.jobs, new_job(**({"bot_id": BOT} | values)))

    async def covering(self, services: Iterable[str], events: Iterable[str]) -> list[Covering]:
        found = await self.seen.covering(BOT, [*services], [*events])
        return sorted(found, key=lambda each: (each.service, sorted(each.event_ids)))


@pytest.fixture(params=PARTS)
async def stores(request: pytest.FixtureRequest, client: Client, database_name: str) -> Stores:
    if request.param == "memory":
        memory = MemoryJobStore()
        return Stores(memory, MemoryDeletionJobs(memory))
    return await on_mongo(client, database_name)


async def on_mongo(client: Client, database_name: str) -> Stores:
    jobs = await indexed(MongoJobStore, client, database_name)
    return Stores(jobs, MongoDeletionJobs(client, database_name))


class TestCovering:
    async def test_a_job_says_which_of_the_requests_it_covers(self, stores: Stores) -> None:
        job = await stores.put()
        joining = [request_for(job, LATER + n * TICK) for n in range(2)]
        await stores.jobs.record(joining)
        events = [job.event_id, joining[1].event_id, "another"]
        now = await stored(stores.jobs, job)
        assert len(now.event_ids) == 3
        for asked in (events, events[1:2]):
            covered = frozenset(asked) - {"another"}
            [found] = await stores.covering([SERVICE], asked)
            assert (found.service, found.event_ids) == (SERVICE, covered)
            assert isinstance(found.job, Job)
            assert frozenset(found.job.event_ids) == covered
            assert replace(found.job, event_ids=now.event_ids) == now

    @pytest.mark.proves("status-round-trips")
    async def test_of_the_requests_of_a_job_only_those_asked_for_are_read(
        self, stores: Stores
    ) -> None:
        events = tuple(str(uuid4()) for _ in range(MAX_EVENTS))
        services = [f"service-{n}" for n in range(5)]
        for each in services:
            await stores.put(service=each, event_ids=events)
        found = await stores.covering(services, [events[-1], events[7], "another"])
        jobs = [each.job for each in found]
        assert [sorted(job.event_ids) for job in jobs if isinstance(job, Job)] == [
            sorted([events[7], events[-1]])
        ] * len(services)

    async def test_each_service_has_its_own_in_any_status(self, stores: Stores) -> None:
        event = "an-event"
        of = {f"of-{status}": status for status in Status}
        jobs = [
            await stores.put(service=service, status=status, event_ids=(event,))
            for service, status in of.items()
        ]
        found = await stores.covering(of, [event])
        assert {each.service: each.job for each in found} == {job.service: job for job in jobs}
        [one] = await stores.covering([jobs[0].service, "other"], [event])
        assert one.job == jobs[0]

    async def test_an_ended_job_and_the_next_one_cover_requests_of_their_own(
        self, stores: Stores
    ) -> None:
        ended = await stores.put(status=Status.COMPLETE)
        live = await stores.put(status=Status.PENDING)
        found = await stores.covering([SERVICE], [ended.event_id, live.event_id])
        assert {each.event_ids: each.job for each in found} == {
            frozenset([ended.event_id]): ended,
            frozenset([live.event_id]): live,
        }

    async def test_another_bot_another_service_and_another_event_are_not_found(
        self, stores: Stores
    ) -> None:
        job = await stores.put()
        await stores.put(bot_id=OTHER_BOT, event_ids=("elsewhere",))
        assert await stores.covering([SERVICE], ["elsewhere", "never"]) == []
        assert await stores.covering(["billing"], [job.event_id]) == []
        assert await stores.covering([], [job.event_id]) == []
        assert await stores.covering([SERVICE], []) == []


class TestPlace:
    async def test_those_due_earlier_in_the_same_queue_are_counted(self, stores: Stores) -> None:
        pending: dict[str, Any] = {"status": Status.PENDING}
        for n in range(4):
            await stores.put(bot_id=str(ObjectId()), due=START + n * TICK, **pending)
        await stores.put(bot_id=str(ObjectId()), service="billing", due=START, **pending)
        await stores.put(bot_id=str(ObjectId()))
        counts = [await stores.seen.count_due(SERVICE, START + n * TICK, 99) for n in range(5)]
        assert counts == [0, 1, 2, 3, 4]
        assert await stores.seen.count_due(SERVICE, LATER, 3) == 3
        assert await stores.seen.count_due("media", LATER, 99) == 0

    async def test_a_suspect_waits_in_a_queue_of_its_own(self, stores: Stores) -> None:
        silences = tuple(PastAttempt(n, "w", "rows", 1, START, STALE) for n in (1, 2))
        await stores.put(status=Status.PENDING, past_attempts=silences)
        assert await stores.seen.count_due(SERVICE, LATER, 99) == 0
        assert await stores.seen.count_due(suspect_queue(SERVICE), LATER, 99) == 1


# --- what only the store on MongoDB has to show


async def test_of_many_requests_those_asked_for_are_found_as_fast_as_the_jobs_are_read(
    client: Client, database_name: str
) -> None:
    """An expression over the events costs the embedded server 250 ms for each of these jobs."""
    stores = await on_mongo(client, database_name)
    events = [str(uuid4()) for _ in range(MAX_EVENTS)]
    services = [f"service-{n}" for n in range(5)]
    for each in services:
        await stores.put(service=each, event_ids=tuple(events))
    asked = events[: MAX_EVENTS // 10]

    async def read_whole() -> None:
        query = {"botId": ObjectId(BOT), "eventIds": {"$in": asked}}
        assert len(await client[database_name][COLLECTION].find(query).to_list(None)) == 5

    async def read_those() -> None:
        found = await stores.covering(services, asked)
        assert [each.event_ids for each in found] == [frozenset(asked)] * 5

    assert await shortest(read_those) < 5 * await shortest(read_whole)


async def shortest(read: Callable[[], Awaitable[None]]) -> float:
    """Seconds that the fastest of three takes: a busy machine makes single ones late."""
    taken: list[float] = []
    for _ in range(3):
        begun = time.perf_counter()
        await read()
        taken.append(time.perf_counter() - begun)
    return min(taken)


@pytest.mark.proves("unreadable-reported", "status-damage")
@pytest.mark.parametrize("damage", [{"attempt": "one"}, {"service": [SERVICE, 7]}], ids=str)
async def test_a_job_that_cannot_be_read_is_shown_as_such_beside_the_others(
    client: Client, database_name: str, damage: dict[str, Any]
) -> None:
    stores = await on_mongo(client, database_name)
    damaged, whole = (
        await stores.put(event_ids=("e",)),
        await stores.put(service="media", event_ids=("e",)),
    )
    jobs = client[database_name][COLLECTION]
    await jobs.update_one({"_id": ObjectId(damaged.id)}, {"$set": damage})
    first, second = await stores.covering([SERVICE, "media"], ["e"])
    assert isinstance(first.job, Unreadable)
    assert (first.service, first.event_ids, first.job.id) == (SERVICE, frozenset("e"), damaged.id)
    assert second == Covering("media", frozenset("e"), whole)
