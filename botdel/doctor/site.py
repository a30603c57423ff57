"""What is checked: Pub/Sub and the database, connected as the settings say."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from google.pubsub_v1.services.publisher import PublisherAsyncClient
from google.pubsub_v1.services.subscriber import SubscriberAsyncClient

from botdel.store import connected
from deletion.adapters.http_api.shared import opened_alone
from deletion.adapters.mongo.breakers import MongoBreakerStore
from deletion.adapters.mongo.connection import Database
from deletion.adapters.mongo.dead_letters import MongoDeadLetterStore
from deletion.adapters.mongo.jobs import MongoJobStore
from deletion.adapters.pubsub.connection import PubSub
from deletion.adapters.pubsub.names import Names
from deletion.adapters.pubsub.topology import Topology
from deletion.adapters.spec import Outside
from deletion.job import LeasePolicy
from deletion.process.settings import PubSubSettings, load
from deletion.process.store_settings import JobsSettings


@dataclass(frozen=True, slots=True)
class Bus:
    """Pub/Sub. `grace` is the grace period in seconds, which is one of its settings."""

    publisher: PublisherAsyncClient
    subscriber: SubscriberAsyncClient
    topology: Topology
    is_emulated: bool
    grace: float

    @property
    def names(self) -> Names:
        """The names of its topics and subscriptions."""
        return self.topology.names


@dataclass(frozen=True, slots=True)
class Store:
    """The database of all records, and what steps reach the outside through."""

    database: Database
    jobs: MongoJobStore
    letters: MongoDeadLetterStore
    breakers: MongoBreakerStore
    lease: LeasePolicy
    outside: Outside


@asynccontextmanager
async def connected_bus() -> AsyncIterator[Bus]:
    """Connect Pub/Sub. Raises `ConfigurationError` for wrong settings or missing credentials."""
    settings = load(PubSubSettings)
    pubsub = PubSub(settings.emulator)
    try:
        publisher, subscriber = pubsub.publisher(), pubsub.subscriber()
        topology = Topology(publisher, subscriber, settings.names, emulated=pubsub.is_emulated)
        grace = settings.shutdown_grace_seconds
        yield Bus(publisher, subscriber, topology, pubsub.is_emulated, grace)
    finally:
        await pubsub.close()


@asynccontextmanager
async def connected_store() -> AsyncIterator[Store]:
    """Connect the database. Raises `ConfigurationError` for wrong settings, including the URI."""
    settings = load(JobsSettings)
    async with opened_alone() as http:
        with connected(settings) as clients:
            client, name = clients.get(), settings.mongodb_database
            outside = Outside(clients.get, own_database=name, http=http)
            yield Store(
                client[name],
                MongoJobStore(client, name),
                MongoDeadLetterStore(client, name),
                MongoBreakerStore(client, name),
                settings.lease,
                outside,
            )
