"""MongoDB of a process or a command, connected as its settings say."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from deletion.adapters.mongo.connection import Clients
from deletion.process.store_settings import StoreSettings


@asynccontextmanager
async def connected_clients(settings: StoreSettings, runs: int = 0) -> AsyncIterator[Clients]:
    """The clients of a process with so many `runs`, closed at the end of the block.

    Raises `ConfigurationError` when the URI is refused, or there are too few threads for the runs.
    """
    clients = Clients(settings.mongodb_uri.get_secret_value(), runs)
    try:
        yield clients
    finally:
        clients.close()
