"""The step of a MongoDB collection, on the real server: all of the bot's, and nothing else."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from bson import ObjectId
from pymongo import DeleteMany
from structlog.testing import capture_logs

from deletion.adapters.mongo.connection import Client, Collection, Document
from deletion.adapters.mongo.step import MongoStep
from deletion.errors import SharedDocument
from deletion.plan import Batch

BOT, OTHER = ObjectId(), ObjectId()


@pytest.fixture
def step(client: Client, database_name: str) -> MongoStep:
    return MongoStep("messages", client[database_name]["messages"], "botId", batch_size=10)


async def fill(collection: Collection, count: int, **fields: Any) -> None:
    await collection.insert_many([{"n": n, **fields} for n in range(count)])


async def batches(step: MongoStep, cursor: str | None = None) -> list[Batch]:
    return [batch async for batch in step.delete(str(BOT), cursor)]


@pytest.mark.proves("nobody-else")
async def test_batches_are_bounded_and_take_the_bots_documents_alone(step: MongoStep) -> None:
    await fill(step.collection, 25, botId=BOT)
    await fill(step.collection, 5, botId=OTHER)
    assert not await step.is_empty(str(BOT))
    assert [batch.deleted for batch in await batches(step)] == [10, 10, 5]
    assert await step.is_empty(str(BOT))
    assert await step.collection.count_documents({"botId": OTHER}) == 5


@pytest.mark.proves("checkpoint")
async def test_a_later_run_goes_on_behind_the_cursor(step: MongoStep) -> None:
    await fill(step.collection, 30, botId=BOT)
    walk = step.delete(str(BOT), None)
    first = await anext(walk)
    await walk.aclose()
    assert [batch.deleted for batch in await batches(step, first.cursor)] == [10, 10]


async def test_nothing_is_deleted_before_it_is_asked_for(step: MongoStep) -> None:
    await fill(step.collection, 30, botId=BOT)
    walk = step.delete(str(BOT), None)
    await anext(walk)
    await walk.aclose()
    assert await step.collection.count_documents({}) == 20


async def test_a_bot_with_nothing_has_no_batches(step: MongoStep) -> None:
    assert await batches(step) == []
    assert await step.is_empty(str(BOT))


@pytest.mark.parametrize("field", ["bot", "owner.bot"])
async def test_the_id_may_be_text_and_lie_inside(step: MongoStep, field: str) -> None:
    step = replace(step, field=field, field_type="string")
    for owner in (str(BOT), str(OTHER)):
        await fill(step.collection, 3, bot=owner, owner={"bot": owner})
    assert [batch.deleted for batch in await batches(step)] == [3]
    assert await step.collection.count_documents({}) == 3


@pytest.mark.proves("nobody-else")
@pytest.mark.parametrize("field", ["botId", "owners.botId"])
async def test_a_document_that_is_others_too_is_never_deleted(step: MongoStep, field: str) -> None:
    step = replace(step, field=field)
    shared = {"botId": [BOT, OTHER], "owners": [{"botId": BOT}, {"botId": OTHER}]}
    await step.collection.insert_one(shared)
    with pytest.raises(SharedDocument, match=field):
        await batches(step)
    assert await step.collection.count_documents({}) == 1
    assert not await step.is_empty(str(BOT))


async def test_ids_of_several_types_are_gone_after_as_many_passes(step: MongoStep) -> None:
    ids: list[Any] = [1, 2, "a", "b", ObjectId(), ObjectId()]
    await step.collection.insert_many([{"_id": each, "botId": BOT} for each in ids])
    for _ in range(3):
        await batches(step)
    assert await step.is_empty(str(BOT))


async def test_what_is_inserted_meanwhile_is_found_by_the_read_back(step: MongoStep) -> None:
    await fill(step.collection, 15, botId=BOT)
    async for _ in step.delete(str(BOT), None):
        await step.collection.insert_one({"_id": ObjectId("0" * 24), "botId": BOT})
        break
    assert not await step.is_empty(str(BOT))


async def test_a_missing_index_is_told_and_created(step: MongoStep) -> None:
    await fill(step.collection, 1, botId=BOT)
    assert "without it every batch scans" in (await step.missing() or "")
    await step.collection.create_index("botId")
    assert await step.missing(), "that one serves no walk in the order of _id"
    narrow = [("botId", 1), ("_id", 1), ("at", 1)]
    await step.collection.create_index(narrow, partialFilterExpression={"at": {"$gt": 0}})
    assert await step.missing(), "that one has not every document"
    await step.provide()
    await step.provide()
    assert await step.missing() is None


class Joined(MongoStep):
    """A step whose collection is written to after each page was read, before it is deleted."""

    written: Document

    def _deletes(self, page: Sequence[Document], bot_id: str) -> list[DeleteMany]:
        self.collection.delegate.insert_one(self.written)
        return super()._deletes(page, bot_id)


@pytest.mark.proves("nobody-else")
@pytest.mark.parametrize("owner", [[BOT, OTHER], [BOT]], ids=["others too", "its alone"])
async def test_a_shared_document_that_comes_behind_the_read_is_not_deleted(
    step: MongoStep, owner: list[ObjectId]
) -> None:
    """Inside the range of the batch, where nobody has looked whose it is."""
    await step.collection.insert_many([{"_id": number, "botId": BOT} for number in (1, 9)])
    late = Joined(step.name, step.collection, step.field, batch_size=10)
    late.written = {"_id": 5, "botId": owner}
    assert [batch.deleted for batch in await batches(late)] == [2]
    assert await step.collection.count_documents({"_id": 5}) == 1
    with pytest.raises(SharedDocument, match="botId of a document"):
        await batches(step)


@pytest.mark.proves("nobody-else")
@pytest.mark.parametrize(
    ("field", "shared"),
    [("botId", {"botId": [BOT, OTHER]}), ("of.botId", {"of": [{"botId": BOT}, {"botId": OTHER}]})],
)
async def test_a_document_that_becomes_shared_behind_the_read_is_not_deleted(
    step: MongoStep, field: str, shared: Document
) -> None:
    class Shared(MongoStep):
        def _deletes(self, page: Sequence[Document], bot_id: str) -> list[DeleteMany]:
            self.collection.delegate.update_one({"_id": 5}, {"$set": shared})
            return super()._deletes(page, bot_id)

    own = [{"_id": number, "botId": BOT, "of": {"botId": BOT}} for number in range(10)]
    await step.collection.insert_many(own)
    late = Shared(step.name, step.collection, field)
    assert [batch.deleted for batch in await batches(late)] == [9]
    assert [document["_id"] async for document in step.collection.find({})] == [5]
    assert not await late.is_empty(str(BOT))


@pytest.mark.proves("unreadable-cursor")
@pytest.mark.parametrize(
    "cursor",
    [
        "page 3",
        "",
        '{"$oid": "7"}',
        '{"$oid": 7}',
        '{"$binary": 7}',
        '{"$date": "yesterday"}',
        "170000000000000000000000",
    ],
)
async def test_a_cursor_that_cannot_be_read_begins_again_and_says_so(
    step: MongoStep, cursor: str
) -> None:
    """The plan has changed under the job: a step of this name was of another kind before."""
    await step.collection.insert_many([{"botId": BOT} for _ in range(4)])
    with capture_logs() as logs:
        assert [batch.deleted for batch in await batches(step, cursor)] == [4]
    assert [(log["log_level"], log["step"]) for log in logs] == [("warning", "messages")]


@pytest.mark.parametrize("cursor", ['{"way": "versions", "bucket": "s3://b"}', "17", '["a", "z"]'])
async def test_a_cursor_of_another_type_finds_nothing_and_the_read_back_does(
    step: MongoStep, cursor: str
) -> None:
    await step.collection.insert_many([{"botId": BOT} for _ in range(4)])
    assert await batches(step, cursor) == []
    assert not await step.is_empty(str(BOT))


async def test_the_bots_own_document_is_found_by_its_id_from_any_cursor(step: MongoStep) -> None:
    step = replace(step, field="_id")
    await step.collection.insert_many([{"_id": owner} for owner in (BOT, OTHER, ObjectId())])
    assert await step.missing() is None
    await step.provide()
    [first] = await batches(step)
    assert first.deleted == 1
    assert await batches(step, first.cursor) == []
    await step.collection.insert_one({"_id": BOT})
    assert [batch.deleted for batch in await batches(step, first.cursor)] == [1]
    assert await step.collection.count_documents({}) == 2
