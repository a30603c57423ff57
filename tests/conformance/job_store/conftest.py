"""The stores that the suite runs over: those in memory, and MongoDB's over the wire."""

from collections.abc import AsyncIterator

import pytest

from botdel.local.database import EmbeddedMongo
from deletion.adapters.mongo.jobs import MongoJobStore
from deletion.ports import JobStore
from tests.conformance.job_store.jobs import Open
from tests.conformance.replicas import PARTS, replicas
from tests.support.large_store import LargeJobStore
from tests.support.memory_stores import MemoryJobStore


@pytest.fixture(params=(*PARTS, "large"))
async def open_store(
    request: pytest.FixtureRequest, mongo: EmbeddedMongo, database_name: str
) -> AsyncIterator[Open]:
    memory = LargeJobStore() if request.param == "large" else MemoryJobStore()
    part = "mongo" if request.param == "mongo" else "memory"
    with replicas(part, memory, MongoJobStore, mongo.uri, database_name) as connected:
        yield connected


@pytest.fixture
async def store(open_store: Open) -> JobStore:
    return await open_store()
