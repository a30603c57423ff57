"""Our own steps pass the suite that a team's step has to pass, over real servers."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any, cast

import httpx
import pytest
from bson import ObjectId
from pymongo.errors import AutoReconnect

from deletion.adapters.http_api.client import HttpClient
from deletion.adapters.http_api.shared import Http
from deletion.adapters.http_api.spec import HttpSpec
from deletion.adapters.http_api.step import HttpStep
from deletion.adapters.mongo.connection import Client, Collection, Document
from deletion.adapters.mongo.owner import FieldType
from deletion.adapters.mongo.step import MongoStep
from deletion.adapters.spec import StepConnections
from deletion.breaker import LocalBreakerStore
from deletion.clock import SystemClock
from deletion.gate import Gates
from deletion.testing import Faults, StepConformance
from tests.support.api import Api, Call, Reply


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


class FaultyTransport(httpx.AsyncHTTPTransport):
    """Connections, each request of which may fail."""

    def __init__(self, faults: Faults) -> None:
        super().__init__(trust_env=False)
        self._faults = faults

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        with self._faults.call():
            return await super().handle_async_request(request)


class Impatient(SystemClock):
    """Waits for nothing."""

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(0)


class TestHttpStep(StepConformance):
    """With a call that reads back. An API has the bot, or has it not."""

    items = 1
    verified = True

    @pytest.fixture(autouse=True)
    async def _api(self) -> AsyncIterator[None]:
        self.clients: list[HttpClient] = []
        async with Api(behave=self.behave) as self.api:
            yield
            for client in self.clients:
                await client.close()

    def behave(self, call: Call) -> Reply | None:
        """As the API does by default."""
        return None

    def step(self) -> HttpStep:
        return self.faulty_step(Faults())

    def faulty_step(self, faults: Faults) -> HttpStep:
        clock = Impatient()
        client = HttpClient(clock, transport=FaultyTransport(faults))
        self.clients.append(client)
        http = Http(client, Gates(LocalBreakerStore(clock), clock), clock)
        verify = {"verify": {"url": self.api.url}} if self.verified else {}
        spec = HttpSpec.model_validate({"url": self.api.url, **verify})
        return spec.build("account", StepConnections(_no_database, http=http))

    def fault(self) -> Exception:
        return httpx.ConnectError("injected by a test")

    async def plant(self, bot_id: str, number: int) -> None:
        self.api.bots.add(bot_id)

    async def count(self, bot_id: str) -> int:
        return int(bot_id in self.api.bots)


class TestHttpStepByAnswerOnly(TestHttpStep):
    """Without a call that reads back."""

    verified = False


class TestHttpStepThatIsPolled(TestHttpStep):
    """The API accepts the call, and has done it when it is asked for the second time."""

    unexercised = {  # noqa: RUF012 - as in the class that it inherits from
        "test_a_deletion_may_be_repeated": "what is polled once more is found done once more, and "
        "counted: its checkpoint was lost, and the first count with it"
    }

    def behave(self, call: Call) -> Reply | None:
        if call.method == "DELETE":
            known = call.bot in self.api.bots
            return Reply(202, {"Location": f"/operations/{call.bot}"}) if known else Reply(404)
        if not call.target.startswith("/operations"):
            return None
        if sum(each.target == call.target for each in self.api.calls) == 1:
            return Reply(202)
        self.api.bots.discard(call.bot)
        return Reply(200)


def _no_database(_: str | None) -> Client:
    raise AssertionError("no step has a database")


@pytest.mark.proves("step-suite")
def test_our_own_steps_pass_the_suite() -> None:
    """All of it: no part is declined, and every one that is inherited is a test."""
    for suite in (TestMongoStep, TestMongoStepOfTexts, TestHttpStep, TestHttpStepByAnswerOnly):
        assert not suite.unexercised
        assert len([name for name in dir(suite) if name.startswith("test_")]) >= 15
