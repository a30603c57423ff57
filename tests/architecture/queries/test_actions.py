"""Every query for operators' actions and their previews walks an index."""

from dataclasses import replace
from typing import Final

import pytest
from bson import ObjectId

from deletion.adapters.mongo.operator_actions import COLLECTION as ACTIONS
from deletion.adapters.mongo.operator_actions import PREVIEWS, MongoActionStore, MongoPreviewStore
from deletion.errors import LeaseLost
from deletion.operating.record import ActionKind, Entries, OperatorAction, Order, Preview, Run
from tests.support.clock import START
from tests.support.indexed import indexed
from tests.support.measured import CROWD, Watched, is_an_operators_look_at_letters, public

ORDER: Final = Order(ActionKind.RETRY, "ada", "the API is back")


@pytest.fixture(scope="module")
async def actions(watched: Watched) -> MongoActionStore:
    """A store with many actions of one operator."""
    store = await indexed(MongoActionStore, watched.client, watched.database.name)
    crowded = Order(ActionKind.DISCARD, "crowd")
    action = OperatorAction.started(store.new_id(), crowded, Run("crowd", START, store.new_id()))
    await store.insert(action)
    collection = watched.database[ACTIONS]
    [document] = await collection.find({}).to_list(1)
    await collection.insert_many([{**document, "_id": ObjectId()} for _ in range(CROWD)])
    return store


async def test_every_query_for_actions_walks_an_index(
    watched: Watched, actions: MongoActionStore
) -> None:
    assert public(MongoActionStore) == {"insert", "save", "get", "find"}
    action, taken = (
        OperatorAction.started(actions.new_id(), ORDER, Run("ada", START, actions.new_id()))
        for _ in range(2)
    )
    further = action.added(Entries(), START, begun=0)
    watched.watch()
    assert await actions.insert(action)
    assert not await actions.insert(replace(taken, id=action.id))
    await actions.save(action, further)
    await actions.save(action, further)
    with pytest.raises(LeaseLost):
        await actions.save(action, replace(further, runs=taken.runs))
    assert await actions.get(action.id)
    for by in (None, "ada"):
        for kind in (None, ActionKind.RETRY):
            for before in (None, actions.new_id()):
                await actions.find(by=by, kind=kind, before=before, limit=50)
    assert await watched.scans(may=is_an_operators_look_at_letters) == []
    assert len(watched.listener.queries) == 1 + 5 + 1 + 8


@pytest.fixture(scope="module")
async def previews(watched: Watched) -> MongoPreviewStore:
    """A store with many previews; they are deleted after an hour."""
    store = await indexed(MongoPreviewStore, watched.client, watched.database.name)
    crowd = [{"_id": ObjectId(), "at": START} for _ in range(CROWD)]
    await watched.database[PREVIEWS].insert_many(crowd)
    return store


async def test_every_query_for_previews_walks_an_index(
    watched: Watched, previews: MongoPreviewStore
) -> None:
    assert public(MongoPreviewStore) == {"keep", "get"}
    preview = Preview(previews.new_id(), ORDER, START, (), {}, is_cut_off=False)
    watched.watch()
    await previews.keep(preview)
    assert await previews.get(preview.id) == preview
    assert await watched.scans() == []
    assert len(watched.listener.queries) == 2


async def test_it_is_seen_when_an_index_of_the_actions_or_previews_is_missing(
    watched: Watched,
    actions: MongoActionStore,
    previews: MongoPreviewStore,
    database_name: str,
) -> None:
    before, watched.database = watched.database, watched.client[database_name]
    try:
        for name in (ACTIONS, PREVIEWS):
            crowd = await before[name].find({}).to_list(None)
            await watched.database[name].insert_many(crowd)
        bare = MongoActionStore(watched.client, database_name)
        preview = Preview(previews.new_id(), ORDER, START, (), {}, is_cut_off=False)
        watched.watch()
        await bare.find(by="ada", limit=50)
        await bare.find(kind=ActionKind.RETRY, limit=50)
        await MongoPreviewStore(watched.client, database_name).keep(preview)
        found = [set(query["filter"]) for query in await watched.scans()]
        assert found == [{"by"}, {"kind"}, {"at"}]
    finally:
        watched.database = before
