"""Our own steps pass the suite that a team's step has to pass, over real servers."""

from typing import Any, cast

import pytest
from bson import ObjectId
from pymongo.errors import AutoReconnect

from deletion.adapters.mongo.connection import Client, Collection, Document
from deletion.adapters.mongo.step import FieldType, MongoStep
from deletion.testing import Faults, StepConformance


class FaultyCursor:
    """A cursor, each read of which is a call."""

    def __init__(self, cursor: Any, faults: Faults) -> None:
        self._cursor = cursor
        self._faults = faults

    def sort(self, *by: Any) -> "FaultyCursor":
        return FaultyCursor(self._cursor.sort(*by), self._faults)

    def batch_size(self, size: int) -> "FaultyCursor":
        return FaultyCursor(self._cursor.batch_size(size), self._faults)

    async def to_list(self, length: int) -> list[Document]:
        with self._faults.call():
            return cast("list[Document]", await self._cursor.to_list(length))


class FaultyCollection:
    """A collection, each call of which may fail: those that a deletion and a read-back make."""

    def __init__(self, collection: Any, faults: Faults) -> None:
        self._collection = collection
        self._faults = faults
        self.database = collection.database
        self.full_name = collection.full_name

    def with_options(self, **options: Any) -> "FaultyCollection":
        return FaultyCollection(self._collection.with_options(**options), self._faults)

    def find(self, *query: Any) -> FaultyCursor:
        return FaultyCursor(self._collection.find(*query), self._faults)

    async def find_one(self, *query: Any) -> Document | None:
        with self._faults.call():
            return cast("Document | None", await self._collection.find_one(*query))

    async def bulk_write(self, deletes: list[Any], *, ordered: bool) -> Any:
        with self._faults.call():
            return await self._collection.bulk_write(deletes, ordered=ordered)


class TestMongoStep(StepConformance):
    """Over the ids as `objectid`."""

    field_type: FieldType = "objectid"

    @pytest.fixture(autouse=True)
    def _collection(self, client: Client, database_name: str) -> None:
        self.collection: Collection = client[database_name]["messages"]

    def step(self) -> MongoStep:
        return MongoStep(
            "messages", self.collection, "botId", self.field_type, batch_size=self.batch_size
        )

    def faulty_step(self, faults: Faults) -> MongoStep:
        step = self.step()
        step.collection = cast("Collection", FaultyCollection(self.collection, faults))
        return step

    def fault(self) -> Exception:
        return AutoReconnect("injected by a test")

    async def plant(self, bot_id: str, number: int) -> None:
        owner = self.owner(bot_id)
        await self.collection.insert_many([{"botId": owner} for _ in range(number)])

    async def count(self, bot_id: str) -> int:
        return await self.collection.count_documents({"botId": self.owner(bot_id)})

    def owner(self, bot_id: str) -> ObjectId | str:
        return ObjectId(bot_id)


class TestMongoStepOfTexts(TestMongoStep):
    """Over the ids as `string`."""

    field_type: FieldType = "string"

    def owner(self, bot_id: str) -> ObjectId | str:
        return bot_id


def test_our_own_steps_pass_the_suite() -> None:
    """All of it: no part is declined, and every one that is inherited is a test."""
    for suite in (TestMongoStep, TestMongoStepOfTexts):
        assert not suite.unexercised
        assert len([name for name in dir(suite) if name.startswith("test_")]) >= 15
