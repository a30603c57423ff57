"""What is checked: Pub/Sub and the database, connected as the settings say."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from deletion.adapters.http_api.shared import opened_alone
from deletion.adapters.mongo.breakers import MongoBreakerStore
from deletion.adapters.mongo.connection import Database
from deletion.adapters.mongo.dead_letters import MongoDeadLetterStore
from deletion.adapters.mongo.doctor_results import MongoExaminationStore
from deletion.adapters.mongo.jobs import MongoJobStore
from deletion.adapters.mongo.services import MongoServiceStore
from deletion.adapters.spec import StepConnections
from deletion.job import LeasePolicy
from deletion.process.bus import Bus, connected_bus
from deletion.process.database import connected_clients
from deletion.process.settings import PubSubSettings, load
from deletion.process.store_settings import JobsSettings


@dataclass(frozen=True, slots=True)
class Store:
    """The database of all records, and what steps use to reach other servers."""

    database: Database
    jobs: MongoJobStore
    letters: MongoDeadLetterStore
    breakers: MongoBreakerStore
    results: MongoExaminationStore
    services: MongoServiceStore
    lease: LeasePolicy
    connections: StepConnections


@asynccontextmanager
async def connected_pubsub() -> AsyncIterator[Bus]:
    """Connect Pub/Sub. Raises `ConfigurationError` for wrong settings or missing credentials."""
    async with connected_bus(load(PubSubSettings)) as bus:
        yield bus


@asynccontextmanager
async def connected_store() -> AsyncIterator[Store]:
    """Connect the database. Raises `ConfigurationError` for wrong settings, including the URI."""
    settings = load(JobsSettings)
    async with opened_alone() as http, connected_clients(settings) as clients:
        client, name = clients.get(), settings.mongodb_database
        yield Store(
            client[name],
            MongoJobStore(client, name),
            MongoDeadLetterStore(client, name),
            MongoBreakerStore(client, name),
            MongoExaminationStore(client, name),
            MongoServiceStore(client, name),
            settings.lease,
            StepConnections(clients.get, own_database=name, http=http),
        )
