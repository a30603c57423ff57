"""The database of a command, connected as its settings say."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import TypeVar

from deletion.adapters.mongo.connection import Client, Clients
from deletion.process.store_settings import StoreSettings

S = TypeVar("S")


@asynccontextmanager
async def opened(store: Callable[[Client, str], S], settings: StoreSettings) -> AsyncIterator[S]:
    """The store over the database of the settings; its connections are closed at the end."""
    clients = Clients(settings.mongodb_uri.get_secret_value())
    try:
        yield store(clients.get(), settings.mongodb_database)
    finally:
        clients.close()
