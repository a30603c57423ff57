"""Every query for a breaker walks an index."""

import pytest
from bson import ObjectId

from deletion.adapters.mongo.breakers import COLLECTION as BREAKERS
from deletion.adapters.mongo.breakers import MongoBreakerStore
from deletion.breaker import Breaker, BreakerPolicy
from tests.support.clock import START
from tests.support.measured import CROWD, Watched, public


@pytest.fixture(scope="module")
async def breakers(watched: Watched) -> MongoBreakerStore:
    """A store with many hosts; an installation has a few."""
    store = MongoBreakerStore(watched.client, watched.database.name)
    crowd = [{"_id": f"host-{number}.example", "stamp": "a"} for number in range(CROWD)]
    await watched.database[BREAKERS].insert_many(crowd)
    return store


async def test_every_query_for_a_breaker_walks_an_index(
    watched: Watched, breakers: MongoBreakerStore
) -> None:
    reads_all = {"open_breakers", "damaged"}  # for an operator, who has a few hosts
    assert public(MongoBreakerStore) - reads_all == {"apply", "get", "time"}
    closed = Breaker("billing.example")
    failed = closed.failed("a", str(ObjectId()), "503", START, BreakerPolicy())
    watched.watch()
    assert await breakers.get(closed.host) == closed
    assert await breakers.apply(closed, failed)
    assert await breakers.apply(failed, failed.closed("b"))
    assert not await breakers.apply(failed, failed.closed("c"))
    await breakers.time()
    assert await watched.scans() == []
    assert len(watched.listener.queries) == 4


async def test_a_query_for_a_breaker_by_anything_but_its_id_is_seen(
    watched: Watched, breakers: MongoBreakerStore
) -> None:
    """`_id` always has its index, so none can be left out here."""
    collection = watched.database[BREAKERS]
    watched.watch()
    await collection.find_one({"stamp": "nobody's"})
    await collection.update_one({"stamp": "nobody's"}, {"$set": {"stamp": "b"}})
    assert len(await watched.scans()) == 2
