"""What a page of a list reads depends on the page, not on how many records there are.

Measured is how many documents match the queries of a page: a database that does not push a limit
down reads all of them. One that does reads the page and stops, if an index has the order that is
asked for.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from itertools import product
from typing import Any, Final
from uuid import uuid4

import pytest
from bson import ObjectId
from pymongo import IndexModel

from console.lists import JobFilter
from console.mongo_job_lists import MongoJobLists
from deletion.adapters.mongo.connection import Document
from deletion.adapters.mongo.job_document import to_document
from deletion.adapters.mongo.jobs import COLLECTION as JOBS
from deletion.adapters.mongo.jobs import INDEXES as JOB_INDEXES
from deletion.adapters.mongo.jobs import MongoJobStore
from deletion.adapters.mongo.request_document import to_document as request_document
from deletion.adapters.mongo.requests import COLLECTION as REQUESTS
from deletion.adapters.mongo.requests import INDEXES as REQUEST_INDEXES
from deletion.adapters.mongo.requests import MongoRequestStore
from deletion.clock import SystemClock
from deletion.job import Status
from deletion.ledger import Concern, RequestFilter
from deletion.request import RequestState
from tests.support.factories import POLICY, SERVICE, a_deletion_request, new_job
from tests.support.indexed import indexed
from tests.support.measured import Query, Watched

MANY: Final = 3000
LISTED: Final = 20
APART: Final = timedelta(minutes=10)
MOST_READ: Final = MANY // 8


class Crowded(SystemClock):
    """The machine's clock, as it was when the records were made."""

    def __init__(self) -> None:
        self._now = super().now()

    def now(self) -> datetime:
        """Always the same."""
        return self._now


@dataclass(frozen=True)
class Crowd:
    """Many jobs and requests, all complete, evenly spread over the time before `clock`."""

    watched: Watched
    name: str
    clock: Crowded

    @property
    def middle(self) -> datetime:
        return self.clock.now() - MANY / 2 * APART

    async def queries(self, read: Callable[[], Awaitable[Sequence[object]]]) -> Sequence[Query]:
        """The queries of `read`, which has to fill its page."""
        self.watched.watch()
        found = await read()
        self.watched.listener.on = False
        assert len(found) == LISTED
        return [*self.watched.listener.queries]

    async def matched(self, queries: Sequence[Query]) -> int:
        """How many documents they match, all together."""
        collections = self.watched.client[self.name]
        return sum([await collections[q["find"]].count_documents(q["filter"]) for q in queries])


@pytest.fixture(scope="module")
async def crowd(watched: Watched) -> Crowd:
    """In a database of its own."""
    name, clock = f"test_pages_{uuid4().hex[:8]}", Crowded()
    await indexed(MongoJobStore, watched.client, name)
    await indexed(MongoRequestStore, watched.client, name)
    times = [clock.now() - number * APART for number in range(MANY)]
    jobs: list[Document] = [
        to_document(new_job(Status.COMPLETE, created_at=at, last_modified_at=at)) for at in times
    ]
    requests = [a_deletion_request(now=at).completed(SERVICE, str(ObjectId()), at) for at in times]
    await watched.client[name][JOBS].insert_many(jobs)
    await watched.client[name][REQUESTS].insert_many(
        [request_document(request, "a writer") for request in requests]
    )
    return Crowd(watched, name, clock)


@pytest.mark.proves("console-quick")
@pytest.mark.parametrize("oldest_first", [False, True], ids=["newest first", "oldest first"])
@pytest.mark.parametrize("is_first", [True, False], ids=["first page", "middle page"])
@pytest.mark.parametrize("service", [None, SERVICE])
@pytest.mark.parametrize("status", [None, Status.COMPLETE])
async def test_a_page_of_jobs_reads_little_more_than_it_shows(
    crowd: Crowd, status: Status | None, service: str | None, *, is_first: bool, oldest_first: bool
) -> None:
    lists = MongoJobLists(crowd.watched.client, crowd.name, crowd.clock, POLICY)
    beyond = None if is_first else (crowd.middle, "f" * 24)
    wanted = JobFilter(service, None, status)
    read = partial(lists.page, wanted, beyond=beyond, oldest_first=oldest_first, limit=LISTED)
    queries = await crowd.queries(read)
    assert await crowd.matched(queries) <= MOST_READ
    assert [each for each in queries if not is_in_the_order_of_one(each, JOB_INDEXES)] == []


@pytest.mark.proves("console-quick")
@pytest.mark.parametrize("is_first", [True, False], ids=["first page", "middle page"])
@pytest.mark.parametrize("state", [None, RequestState.SETTLED])
async def test_a_page_of_requests_reads_little_more_than_it_shows(
    crowd: Crowd, state: RequestState | None, *, is_first: bool
) -> None:
    store = MongoRequestStore(crowd.watched.client, crowd.name)
    before = None if is_first else (crowd.middle, str(uuid4()))
    read = partial(
        store.find, RequestFilter(state=state), crowd.clock.now(), before=before, limit=LISTED
    )
    queries = await crowd.queries(read)
    assert await crowd.matched(queries) <= MOST_READ
    assert [each for each in queries if not is_in_the_order_of_one(each, REQUEST_INDEXES)] == []


@pytest.fixture(scope="module")
async def owing(watched: Watched) -> Crowd:
    """Open requests in a database of their own: a service owes each, and lacks its job."""
    name, clock = f"test_owing_{uuid4().hex[:8]}", Crowded()
    await indexed(MongoRequestStore, watched.client, name)
    times = [clock.now() - number * APART for number in range(MANY)]
    requests = [a_deletion_request(now=at).checked(at, missing=[SERVICE]) for at in times]
    await watched.client[name][REQUESTS].insert_many(
        [request_document(request, "a writer") for request in requests]
    )
    return Crowd(watched, name, clock)


@pytest.mark.proves("console-quick")
@pytest.mark.parametrize("is_first", [True, False], ids=["first page", "middle page"])
@pytest.mark.parametrize(
    "wanted",
    [
        RequestFilter(owed_by=SERVICE),
        RequestFilter(concern=Concern.MISSING),
        RequestFilter(owed_by=SERVICE, concern=Concern.MISSING),
    ],
    ids=["owed", "missing", "both"],
)
async def test_a_page_of_what_a_service_owes_reads_little_more_than_it_shows(
    owing: Crowd, wanted: RequestFilter, *, is_first: bool
) -> None:
    store = MongoRequestStore(owing.watched.client, owing.name)
    before = None if is_first else (owing.middle, str(uuid4()))
    read = partial(store.find, wanted, owing.clock.now(), before=before, limit=LISTED)
    queries = await owing.queries(read)
    assert await owing.matched(queries) <= MOST_READ
    assert [each for each in queries if not is_in_the_order_of_one(each, REQUEST_INDEXES)] == []


async def test_requests_of_every_filter_are_read_in_the_order_of_an_index(crowd: Crowd) -> None:
    store = MongoRequestStore(crowd.watched.client, crowd.name)
    crowd.watched.watch()
    for bot_id, service, state in product((None, str(ObjectId())), (None, SERVICE), RequestState):
        await store.find(RequestFilter(bot_id, service, state), crowd.clock.now(), limit=LISTED)
    crowd.watched.listener.on = False
    queries = crowd.watched.listener.queries
    assert [each for each in queries if not is_in_the_order_of_one(each, REQUEST_INDEXES)] == []


def test_an_order_that_no_index_has_is_seen() -> None:
    by_both = {"filter": {"status": "failed"}, "sort": {"lastModifiedAt": -1, "_id": -1}}
    assert not is_in_the_order_of_one(by_both, JOB_INDEXES)
    by_one = {"filter": {"status": "failed"}, "sort": {"lastModifiedAt": -1}}
    assert is_in_the_order_of_one(by_one, JOB_INDEXES)
    assert not is_in_the_order_of_one({**by_one, "filter": {}}, JOB_INDEXES)


def is_in_the_order_of_one(query: Query, indexes: Sequence[IndexModel]) -> bool:
    """Whether MongoDB can walk one of the indexes in the order of the query, and so stop at its
    limit: the keys before those of the order have to be equal to something.
    """
    order = [*query.get("sort", {})]
    equal = {name for name, wanted in query["filter"].items() if not isinstance(wanted, Mapping)}

    def has_it(index: Any) -> bool:
        keys = [*index.document["key"]]
        first = keys.index(order[0]) if order[0] in keys else len(keys)
        return keys[first : first + len(order)] == order and equal >= set(keys[:first])

    return not order or any(has_it(index) for index in indexes)
