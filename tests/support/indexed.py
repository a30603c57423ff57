"""Stores on MongoDB, with the indexes they need."""

from collections.abc import Mapping
from typing import Final, TypeVar

from deletion.adapters.mongo import dead_letters, jobs, requests
from deletion.adapters.mongo.connection import Client
from deletion.adapters.mongo.coverage import MongoCoverageStore
from deletion.adapters.mongo.dead_letters import MongoDeadLetterStore
from deletion.adapters.mongo.indexes import Indexes, prepare
from deletion.adapters.mongo.jobs import MongoJobStore
from deletion.adapters.mongo.requests import MongoRequestStore
from deletion.adapters.mongo.services import MongoServiceStore
from recovery import mongo_sweeps
from recovery.mongo_sweeps import MongoSweepStore

S = TypeVar(
    "S",
    MongoJobStore,
    MongoDeadLetterStore,
    MongoSweepStore,
    MongoRequestStore,
    MongoServiceStore,
    MongoCoverageStore,
)

WANTED: Final[Mapping[type, Indexes]] = {
    MongoJobStore: {jobs.COLLECTION: jobs.INDEXES},
    MongoDeadLetterStore: {dead_letters.COLLECTION: dead_letters.INDEXES},
    MongoSweepStore: {mongo_sweeps.COLLECTION: mongo_sweeps.INDEXES},
    MongoRequestStore: {requests.COLLECTION: requests.INDEXES},
    MongoServiceStore: {},
    MongoCoverageStore: {jobs.COLLECTION: jobs.INDEXES},
}


async def indexed(store: type[S], client: Client, database: str) -> S:
    """A store on `database`, whose indexes are built. Raises `ConfigurationError`."""
    await prepare(client[database], WANTED[store], build=True)
    return store(client, database)
