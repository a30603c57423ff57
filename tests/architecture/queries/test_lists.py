"""Every list of the console walks an index."""

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from functools import partial

import pytest
from bson import ObjectId

from console.lists import JobFilter, JobState, LetterFilter
from console.mongo_job_lists import MongoJobLists
from console.mongo_lists import MongoLetterLists, MongoSweepLists
from console.overview import HOUR
from deletion.adapters.mongo.dead_letters import MongoDeadLetterStore
from deletion.adapters.mongo.job_document import to_document
from deletion.adapters.mongo.jobs import COLLECTION as JOBS
from deletion.adapters.mongo.jobs import MongoJobStore
from deletion.adapters.mongo.services import COLLECTION as SERVICES
from deletion.adapters.mongo.services import MongoServiceStore
from deletion.clock import TICK, SystemClock
from deletion.dead_letter import DeadLetterStatus, Reason
from deletion.job import Status
from deletion.request import MAX_SERVICES
from tests.support.clock import START
from tests.support.factories import BOT, POLICY, new_job
from tests.support.indexed import indexed
from tests.support.measured import CROWD, Query, Watched, is_an_operators_look_at_letters, public


async def list_jobs(lists: MongoJobLists) -> None:
    """Every filter, in both orders, on the first page and on one where no job is left. A page of
    all jobs matches the crowd, so only the last one of them is asked for.
    """
    beyond = (START - TICK, str(ObjectId()))
    few = {"status": Status.FAILED}
    for wanted in (few, {**few, "service": "conversations"}, {"bot_id": str(ObjectId())}):
        for oldest_first in (False, True):
            for begin in (None, beyond):
                await lists.page(
                    JobFilter(**wanted), beyond=begin, oldest_first=oldest_first, limit=50
                )
    for service in (None, "conversations"):
        stale = JobFilter(service, state=JobState.STALE)
        await lists.page(stale, beyond=None, oldest_first=False, limit=50)
    for every in (JobFilter(), JobFilter("conversations")):
        await lists.page(every, beyond=beyond, oldest_first=False, limit=50)


async def list_parked_jobs(lists: MongoJobLists) -> None:
    """Of all services, of one and of a bot, on the first page and on one beyond a parked job."""
    for wanted in (JobFilter(), JobFilter("conversations"), JobFilter(bot_id=BOT)):
        for oldest_first in (False, True):
            order = partial(lists.page, replace(wanted, state=JobState.PARKED), limit=5)
            first = await order(beyond=None, oldest_first=oldest_first)
            assert len(first) == 5
            await order(beyond=first[-1].position, oldest_first=oldest_first)


async def count_completed(lists: MongoJobLists) -> None:
    """An hour before any job was completed."""
    assert await lists.completed(START - HOUR, START, 1000) == 0


def test_every_method_of_the_lists_is_called_here() -> None:
    assert public(MongoJobLists) == {"page", "completed"}
    assert public(MongoLetterLists) == {"groups", "heads"}
    assert public(MongoSweepLists) == {"newest"}, "along `_id`, one record for each sweep"


@pytest.mark.parametrize("call", [list_jobs, count_completed])
async def test_every_list_of_jobs_walks_an_index(
    watched: Watched, store: MongoJobStore, call: Callable[[MongoJobLists], Awaitable[None]]
) -> None:
    watched.watch()
    await call(MongoJobLists(watched.client, watched.database.name, SystemClock(), POLICY))
    assert await watched.scans() == []
    assert watched.listener.queries


@pytest.fixture
async def waiting(watched: Watched, database_name: str) -> AsyncIterator[Watched]:
    """A database where many jobs are due and ten are parked, five of them of `BOT`."""
    database = watched.client[database_name]
    await indexed(MongoJobStore, watched.client, database_name)
    services = await indexed(MongoServiceStore, watched.client, database_name)
    await services.register(["conversations"], START)
    due = [new_job(Status.PENDING) for _ in range(CROWD)]
    later = SystemClock().now() + HOUR
    parked = [new_job(Status.PENDING, due=later + n * HOUR) for n in range(5)]
    for n in range(5):
        of_bot = {"bot_id": BOT, "service": f"service-{n}"}
        parked.append(new_job(Status.PENDING, due=later + n * HOUR, **of_bot))
    await database[JOBS].insert_many([to_document(job) for job in (*due, *parked)])
    before, watched.database = watched.database, database
    yield watched
    watched.database = before


async def test_parked_jobs_are_found_among_many_that_are_due_along_their_queues(
    waiting: Watched,
) -> None:
    waiting.watch()
    await list_parked_jobs(
        MongoJobLists(waiting.client, waiting.database.name, SystemClock(), POLICY)
    )
    assert await waiting.scans(may=is_a_look_at_services) == []
    assert len(waiting.listener.queries) > 3 * 2 * 2


@pytest.mark.parametrize("oldest_first", [False, True], ids=["newest first", "oldest first"])
async def test_the_queues_of_many_services_are_asked_once_for_parked_jobs(
    waiting: Watched, oldest_first: bool
) -> None:
    services = MongoServiceStore(waiting.client, waiting.database.name)
    names = [f"other-{n}" for n in range(MAX_SERVICES - 1)]
    await services.register(names, START)
    waiting.watch()
    lists = MongoJobLists(waiting.client, waiting.database.name, SystemClock(), POLICY)
    parked = JobFilter(state=JobState.PARKED)
    page = await lists.page(parked, beyond=None, oldest_first=oldest_first, limit=50)
    waiting.listener.on = False
    assert len(page) == 5
    assert len(waiting.listener.queries) <= 2 * MAX_SERVICES + 10


def is_a_look_at_services(query: Query) -> bool:
    """All services: there are few."""
    return bool(query["find"] == SERVICES)


async def test_every_list_of_dead_letters_walks_an_index(
    watched: Watched, letters: MongoDeadLetterStore
) -> None:
    lists = MongoLetterLists(watched.client, watched.database.name)
    watched.watch()
    await lists.groups(1000)
    for service in (None, "conversations"):
        for status in (None, DeadLetterStatus.NEW):
            for reason in (None, Reason.UNDECODABLE):
                for before in (None, letters.new_id()):
                    wanted = LetterFilter(service=service, reason=reason, status=status)
                    await lists.heads(wanted, before=before, limit=50)
    assert await watched.scans(may=is_an_operators_look_at_letters) == []
    assert len(watched.listener.queries) == 17
