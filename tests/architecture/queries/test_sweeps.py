"""Every query for a sweep walks an index."""

from datetime import timedelta

import pytest
from bson import ObjectId

from deletion.adapters.mongo.sweeps import COLLECTION as SWEEPS
from deletion.adapters.mongo.sweeps import RUNNING
from deletion.errors import LeaseLost
from deletion.silence import EPOCH
from deletion.sweep import Sweep, SweepStatus
from recovery.mongo_sweeps import MongoSweepStore
from tests.support.clock import START
from tests.support.indexed import indexed
from tests.support.measured import CROWD, Watched, public


@pytest.fixture(scope="module")
async def sweeps(watched: Watched) -> MongoSweepStore:
    """A store with the sweeps of years."""
    store = await indexed(MongoSweepStore, watched.client, watched.database.name)
    ended = {"status": SweepStatus.COMPLETE.value, "lastModifiedAt": EPOCH}
    await watched.database[SWEEPS].insert_many([ended | {"_id": ObjectId()} for _ in range(CROWD)])
    return store


async def test_every_query_for_a_sweep_walks_an_index(
    watched: Watched, sweeps: MongoSweepStore
) -> None:
    assert public(MongoSweepStore) == {"start", "save", "get"}
    first, second, third = (
        Sweep.started(sweeps.new_id(), at) for at in (EPOCH, START, START + timedelta(days=1))
    )
    watched.watch()
    assert await sweeps.start(first, silent_since=EPOCH) == first
    assert await sweeps.start(second, silent_since=EPOCH) == first, "it runs already"
    assert await sweeps.start(third, silent_since=START) == third, "the first one is silent"
    await sweeps.save(third.completed(third.started_at))
    with pytest.raises(LeaseLost):
        await sweeps.save(first.completed(START))
    assert await watched.scans() == []
    assert len(watched.listener.queries) >= 8


async def test_it_is_seen_when_the_index_of_the_sweeps_is_missing(
    watched: Watched, sweeps: MongoSweepStore, database_name: str
) -> None:
    before, watched.database = watched.database, watched.client[database_name]
    try:
        crowd = await before[SWEEPS].find({}).to_list(None)
        await watched.database[SWEEPS].insert_many(crowd)
        watched.watch()
        await watched.database[SWEEPS].find_one(RUNNING)
        assert len(await watched.scans()) == 1
    finally:
        watched.database = before
