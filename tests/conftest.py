"""The real parts that tests share, started once, and what keeps tests on them apart.

They run for the whole session: a test that stops or kills one starts one of its own instead.
A part that is not installed fails the tests that need it, with what to install.
"""

from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import pytest
from pymongo import AsyncMongoClient

from local.database import EmbeddedMongo
from local.emulator import PubSubEmulator


@pytest.fixture(scope="session")
async def emulator() -> AsyncIterator[PubSubEmulator]:
    """Google's Pub/Sub emulator; `emulator.host` is what PUBSUB_EMULATOR_HOST wants."""
    async with PubSubEmulator() as emulator:
        yield emulator


@pytest.fixture(scope="session")
async def mongo(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[EmbeddedMongo]:
    """The embedded MongoDB; `mongo.uri` is what BOTDEL_MONGODB_URI wants."""
    async with EmbeddedMongo(tmp_path_factory.mktemp("mongodb")) as mongo:
        yield mongo


@pytest.fixture
def project() -> str:
    """A project id of this test's own, so that it sees no other test's topics."""
    return f"test-{uuid4().hex[:16]}"


@pytest.fixture
async def database_name(mongo: EmbeddedMongo) -> AsyncIterator[str]:
    """The name of an empty database of this test's own, dropped afterwards."""
    name = f"test_{uuid4().hex[:16]}"
    yield name
    client: AsyncMongoClient[dict[str, Any]]
    async with AsyncMongoClient(mongo.uri, timeoutMS=10_000) as client:
        await client.drop_database(name)
