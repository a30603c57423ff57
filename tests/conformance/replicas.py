"""Several processes on one database, as the suites over the stores want them."""

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Protocol, TypeVar

from deletion.adapters.mongo.connection import Client, connect


class Indexed(Protocol):
    """A store that needs its indexes."""

    async def ensure_indexes(self) -> None: ...


S = TypeVar("S", bound=Indexed)


@contextmanager
def replicas(
    store: Callable[[Client, str], S], uri: str, database: str
) -> Iterator[Callable[[], Awaitable[S]]]:
    """Opens another store each time it is called, with a connection of its own."""
    clients: list[Client] = []

    async def connected() -> S:
        clients.append(connect(uri))
        opened = store(clients[-1], database)
        await opened.ensure_indexes()
        return opened

    try:
        yield connected
    finally:
        for client in clients:
            client.close()
