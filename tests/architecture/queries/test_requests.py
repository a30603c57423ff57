"""Every query for requests walks an index."""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from uuid import uuid4

import pytest
from bson import ObjectId

from deletion.adapters.mongo.requests import COLLECTION as REQUESTS
from deletion.adapters.mongo.requests import MongoRequestStore
from deletion.ledger import Concern, RequestChange, RequestFilter
from deletion.request import Chore, RequestState
from deletion.silence import EPOCH
from tests.conformance.job_store.jobs import SILENT
from tests.support.clock import START
from tests.support.factories import LATER, a_deletion_request
from tests.support.indexed import indexed
from tests.support.measured import CROWD, Query, Watched, public


@pytest.fixture(scope="module")
async def requests(watched: Watched) -> MongoRequestStore:
    """A store with many settled requests, and ten open ones."""
    store = await indexed(MongoRequestStore, watched.client, watched.database.name)
    settled = [
        a_deletion_request("crowded").completed("crowded", str(ObjectId()), START)
        for _ in range(CROWD)
    ]
    await store.record([replace(each, chores={}) for each in settled])
    await store.record([a_deletion_request("media", now=LATER) for _ in range(10)])
    return store


async def record_requests(store: MongoRequestStore) -> None:
    """A new one, and one that is known: no query at all."""
    request = a_deletion_request()
    await store.record([request])
    await store.record([request, a_deletion_request()])


async def get_requests(store: MongoRequestStore) -> None:
    request = a_deletion_request()
    await store.record([request])
    assert await store.get([request.id, *(str(uuid4()) for _ in range(100))]) == [request]


async def save_requests(store: MongoRequestStore) -> None:
    """Changes that are written, and one that is refused."""
    request, other = a_deletion_request(), a_deletion_request()
    await store.record([request, other])
    change = RequestChange(request, request.warned(LATER))
    assert await store.save([change]) == []
    second = RequestChange(request, request.checked(LATER, missing=["conversations"]))
    assert await store.save([second, RequestChange(other, other.warned(LATER))]) == [second]


async def due_requests(store: MongoRequestStore) -> None:
    for chore in Chore:
        for since, until in ((EPOCH, LATER), (LATER, SILENT)):
            await store.due(chore, since, until, 100)


async def find_requests(store: MongoRequestStore) -> None:
    for bot_id in (None, str(ObjectId())):
        for service in (None, "media"):
            for state in (None, *RequestState):
                for before in (None, (LATER, str(uuid4()))):
                    wanted = RequestFilter(bot_id, service, state)
                    await store.find(wanted, START, before=before, limit=50)
    for concern in Concern:
        for service in (None, "media"):
            for before in (None, (LATER, str(uuid4()))):
                wanted = RequestFilter(owed_by=service, concern=concern)
                await store.find(wanted, START, before=before, limit=50)


async def count_requests(store: MongoRequestStore) -> None:
    census = await store.census(SILENT, 10_000)
    assert census.unsettled >= 10


REQUEST_QUERIES: dict[str, tuple[Callable[[MongoRequestStore], Awaitable[None]], int]] = {
    "record": (record_requests, 0),
    "get": (get_requests, 1),
    "save": (save_requests, 4),
    "due": (due_requests, 8),
    "find": (find_requests, 52),
    "census": (count_requests, 6),
}


def is_an_operators_look_at_requests(query: Query) -> bool:
    """The newest of all, or of all settled ones: MongoDB walks an index and stops at the limit."""
    newest = query.get("sort") == {"receivedAt": -1, "_id": -1} and query.get("limit")
    fields = set(query["filter"]) - {"receivedAt", "_id"}
    settled = fields == {"open"} and query["filter"]["open"] is None
    return bool(newest) and (not fields or settled)


def test_every_method_of_the_request_store_is_called_here() -> None:
    assert public(MongoRequestStore) == set(REQUEST_QUERIES)


@pytest.mark.proves("every-query-indexed")
@pytest.mark.parametrize("method", REQUEST_QUERIES)
async def test_every_query_for_requests_walks_an_index(
    watched: Watched, requests: MongoRequestStore, method: str
) -> None:
    call, at_least = REQUEST_QUERIES[method]
    watched.watch()
    await call(requests)
    assert await watched.scans(may=is_an_operators_look_at_requests) == []
    assert len(watched.listener.queries) >= at_least
    assert not any({"$or", "$nor"} & set(query["filter"]) for query in watched.listener.queries)


async def test_it_is_seen_when_the_indexes_of_the_requests_are_missing(
    watched: Watched, requests: MongoRequestStore, database_name: str
) -> None:
    bare = MongoRequestStore(watched.client, database_name)
    before, watched.database = watched.database, watched.client[database_name]
    try:
        crowd = await before[REQUESTS].find({}).to_list(None)
        await watched.database[REQUESTS].insert_many(crowd)
        watched.watch()
        await bare.due(Chore.REPUBLISH, EPOCH, LATER, 100)
        await bare.find(RequestFilter(owed_by="media"), START, limit=50)
        await bare.find(RequestFilter(bot_id=str(ObjectId())), START, limit=50)
        await bare.census(SILENT, 10_000)
        found = {frozenset(query["filter"]) for query in await watched.scans()}
        counted = ["open receivedAt", "near", "open deadline", "missing receivedAt"]
        kinds = ["chores.republish", "owed", "owed receivedAt", "botId", *counted]
        assert found == {frozenset(fields.split()) for fields in kinds}
    finally:
        watched.database = before
