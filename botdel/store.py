"""Opens a store for a command, over the database that its settings name."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import TypeVar

from deletion.adapters.mongo.connection import Client
from deletion.process.database import connected_clients
from deletion.process.store_settings import StoreSettings

S = TypeVar("S")


@asynccontextmanager
async def opened(store: Callable[[Client, str], S], settings: StoreSettings) -> AsyncIterator[S]:
    """Yield a store over the settings' database, and close its connections at the end."""
    async with connected_clients(settings) as clients:
        yield store(clients.get(), settings.mongodb_database)
