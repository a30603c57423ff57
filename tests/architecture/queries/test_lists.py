"""Every list of the console walks an index."""

from collections.abc import Awaitable, Callable

import pytest
from bson import ObjectId

from console.lists import JobFilter, JobState, LetterFilter
from console.mongo_job_lists import MongoJobLists
from console.mongo_lists import MongoLetterLists, MongoSweepLists
from console.overview import HOUR
from deletion.adapters.mongo.dead_letters import MongoDeadLetterStore
from deletion.adapters.mongo.jobs import MongoJobStore
from deletion.clock import TICK, SystemClock
from deletion.dead_letter import DeadLetterStatus, Reason
from deletion.job import Status
from tests.support.clock import START
from tests.support.factories import POLICY
from tests.support.measured import Watched, is_an_operators_look_at_letters, public


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
    for state in JobState:
        for service in (None, "conversations"):
            wanted_state = JobFilter(service, state=state)
            await lists.page(wanted_state, beyond=None, oldest_first=False, limit=50)
    for every in (JobFilter(), JobFilter("conversations")):
        await lists.page(every, beyond=beyond, oldest_first=False, limit=50)


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
