"""Pub/Sub of a process or a command, connected as its settings say."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from google.pubsub_v1.services.publisher import PublisherAsyncClient
from google.pubsub_v1.services.subscriber import SubscriberAsyncClient

from deletion.adapters.pubsub.connection import PubSub
from deletion.adapters.pubsub.topology import Topology
from deletion.process.settings import PubSubSettings


@dataclass(frozen=True, slots=True)
class Bus:
    """The Pub/Sub clients, each with its own channel, and the topology of the installation."""

    publisher: PublisherAsyncClient
    subscriber: SubscriberAsyncClient
    topology: Topology
    is_emulated: bool


@asynccontextmanager
async def connected_bus(settings: PubSubSettings) -> AsyncIterator[Bus]:
    """Connect for the block. Raises `ConfigurationError` without credentials."""
    pubsub = PubSub(settings.emulator)
    try:
        publisher, subscriber = pubsub.publisher(), pubsub.subscriber()
        topology = Topology(publisher, subscriber, settings.names, emulated=pubsub.is_emulated)
        yield Bus(publisher, subscriber, topology, pubsub.is_emulated)
    finally:
        await pubsub.close()
