"""MongoDB of a process or a command, connected as its settings say."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from deletion.adapters.mongo.connection import Clients
from deletion.process.store_settings import StoreSettings
from deletion.tracing import Tracer


@asynccontextmanager
async def connected_clients(
    settings: StoreSettings, runs: int = 0, tracer: Tracer | None = None
) -> AsyncIterator[Clients]:
    """Yield the clients of a process with this many `runs`, and close them at the end.

    With a `tracer`, calls below a recorded span have spans. Raises `ConfigurationError` when the
    URI is refused, or there are too few threads for the runs.
    """
    clients = Clients(settings.mongodb_uri.get_secret_value(), runs, tracer)
    try:
        yield clients
    finally:
        clients.close()
