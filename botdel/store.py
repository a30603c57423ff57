"""The database of a command, connected as its settings say."""

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import TypeVar

from deletion.adapters.mongo.connection import Client, Clients
from deletion.process.store_settings import StoreSettings

S = TypeVar("S")


@contextmanager
def connected(settings: StoreSettings) -> Iterator[Clients]:
    """The clients of a command, closed at the end."""
    clients = Clients(settings.mongodb_uri.get_secret_value())
    try:
        yield clients
    finally:
        clients.close()


@asynccontextmanager
async def opened(store: Callable[[Client, str], S], settings: StoreSettings) -> AsyncIterator[S]:
    """The store over the database of the settings; its connections are closed at the end."""
    with connected(settings) as clients:
        yield store(clients.get(), settings.mongodb_database)
