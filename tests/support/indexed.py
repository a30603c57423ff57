"""Stores on MongoDB, with the indexes they need."""

from collections.abc import Mapping
from typing import Final, TypeVar

from deletion.adapters.mongo import dead_letters, jobs, operator_actions, requests, sweeps
from deletion.adapters.mongo.connection import Client
from deletion.adapters.mongo.coverage import MongoCoverageStore
from deletion.adapters.mongo.dead_letters import MongoDeadLetterStore
from deletion.adapters.mongo.doctor_results import MongoExaminationStore
from deletion.adapters.mongo.indexes import Indexes, prepare
from deletion.adapters.mongo.jobs import MongoJobStore
from deletion.adapters.mongo.operator_actions import MongoActionStore, MongoPreviewStore
from deletion.adapters.mongo.requests import MongoRequestStore
from deletion.adapters.mongo.services import MongoServiceStore
from recovery.mongo_sweeps import MongoSweepStore

S = TypeVar(
    "S",
    MongoJobStore,
    MongoDeadLetterStore,
    MongoSweepStore,
    MongoRequestStore,
    MongoServiceStore,
    MongoCoverageStore,
    MongoActionStore,
    MongoPreviewStore,
    MongoExaminationStore,
)

WANTED: Final[Mapping[type, Indexes]] = {
    MongoJobStore: {jobs.COLLECTION: jobs.INDEXES},
    MongoDeadLetterStore: {dead_letters.COLLECTION: dead_letters.INDEXES},
    MongoActionStore: {operator_actions.COLLECTION: operator_actions.INDEXES},
    MongoPreviewStore: {operator_actions.PREVIEWS: operator_actions.PREVIEW_INDEXES},
    MongoSweepStore: {sweeps.COLLECTION: sweeps.INDEXES},
    MongoRequestStore: {requests.COLLECTION: requests.INDEXES},
    MongoServiceStore: {},
    MongoExaminationStore: {},
    MongoCoverageStore: {jobs.COLLECTION: jobs.INDEXES},
}


async def indexed(store: type[S], client: Client, database: str) -> S:
    """A store on `database`, whose indexes are built. Raises `ConfigurationError`."""
    await prepare(client[database], WANTED[store], build=True)
    return store(client, database)
