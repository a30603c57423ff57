"""A database that is watched, and what is shared by the tests of more than one store."""

from collections.abc import AsyncIterator
from uuid import uuid4

import pytest
from bson import ObjectId
from motor.motor_asyncio import AsyncIOMotorClient

from botdel.local.database import EmbeddedMongo
from deletion.adapters.mongo.connection import Client
from deletion.adapters.mongo.dead_letters import COLLECTION as DEAD_LETTERS
from deletion.adapters.mongo.dead_letters import MongoDeadLetterStore
from deletion.adapters.mongo.job_document import to_document
from deletion.adapters.mongo.jobs import COLLECTION, MongoJobStore
from deletion.dead_letter import DeadLetterStatus, Reason
from deletion.job import Status
from tests.support.counting_mongo import CountingMongo
from tests.support.factories import a_letter, new_job
from tests.support.indexed import indexed
from tests.support.measured import CROWD, Listener, Watched


@pytest.fixture(scope="package")
async def mongo(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[CountingMongo]:
    """A server that counts what it reads, for this package only."""
    async with CountingMongo(tmp_path_factory.mktemp("mongodb")) as mongo:
        yield mongo


@pytest.fixture(scope="package")
async def watched(mongo: EmbeddedMongo) -> AsyncIterator[Watched]:
    """A database for this package only. Dropping it would take longer than the tests."""
    listener = Listener()
    client: Client = AsyncIOMotorClient(mongo.uri, tz_aware=True, event_listeners=[listener])
    database = client[f"test_queries_{uuid4().hex[:8]}"]
    yield Watched(client, database, listener)
    client.close()


@pytest.fixture(scope="package")
async def store(watched: Watched) -> MongoJobStore:
    """A store with many complete jobs and ten of each status."""
    store = await indexed(MongoJobStore, watched.client, watched.database.name)
    crowd = [to_document(new_job(status=Status.COMPLETE)) for _ in range(CROWD)]
    await watched.database[COLLECTION].insert_many(crowd)
    await store.record([new_job(status=status) for status in Status for _ in range(10)])
    return store


@pytest.fixture
async def bare_store(watched: Watched, database_name: str) -> AsyncIterator[MongoJobStore]:
    """As many jobs, in a collection without indexes."""
    crowd = [to_document(new_job(status=Status.COMPLETE)) for _ in range(CROWD)]
    database = watched.client[database_name]
    await database[COLLECTION].insert_many(crowd)
    await database[COLLECTION].insert_one(to_document(new_job(status=Status.FAILED)))
    before, watched.database = watched.database, database
    yield MongoJobStore(watched.client, database_name)
    watched.database = before


@pytest.fixture(scope="package")
async def letters(watched: Watched) -> MongoDeadLetterStore:
    """A store with many discarded letters of one service, too new all of them."""
    store = await indexed(MongoDeadLetterStore, watched.client, watched.database.name)
    crowded = {"status": DeadLetterStatus.DISCARDED, "reason": Reason.TOO_NEW}
    await store.record([a_letter(service="crowded", **crowded)])
    collection = watched.database[DEAD_LETTERS]
    [document] = await collection.find({}).to_list(1)
    await collection.insert_many(
        [{**document, "_id": ObjectId(), "messageId": f"crowd {n}"} for n in range(CROWD)]
    )
    return store
