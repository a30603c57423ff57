"""A pipeline of each test's own, its topology in place before any process starts."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from pymongo import AsyncMongoClient

from local.database import EmbeddedMongo
from local.emulator import PubSubEmulator
from tests.pipeline import Pipeline, create_topology


@pytest.fixture
async def pipeline(
    emulator: PubSubEmulator,
    mongo: EmbeddedMongo,
    project: str,
    database_name: str,
    tmp_path: Path,
) -> AsyncIterator[Pipeline]:
    client: AsyncMongoClient[dict[str, Any]]
    async with AsyncMongoClient(mongo.uri, timeoutMS=30_000) as client:
        pipeline = Pipeline(emulator.host, mongo.uri, project, database_name, tmp_path, client)
        await create_topology(pipeline)
        yield pipeline
