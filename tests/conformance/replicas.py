"""Several processes on one database, as the suites over the stores want them."""

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager

from deletion.adapters.mongo.connection import Client, connect
from tests.support.indexed import S, indexed


@contextmanager
def replicas(store: type[S], uri: str, database: str) -> Iterator[Callable[[], Awaitable[S]]]:
    """Opens another store each time it is called, with a connection of its own."""
    clients: list[Client] = []

    async def connected() -> S:
        clients.append(connect(uri))
        return await indexed(store, clients[-1], database)

    try:
        yield connected
    finally:
        for client in clients:
            client.close()
