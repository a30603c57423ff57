"""Several processes on one store, as the suites over the stores want them."""

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from deletion.adapters.mongo.connection import Client, connect
from tests.support.indexed import S, indexed

M = TypeVar("M")

PARTS = ("memory", "mongo")
"""What each suite runs over: a store in memory, and MongoDB's over the wire."""


@contextmanager
def replicas(
    part: str, memory: M, store: type[S], uri: str, database: str
) -> Iterator[Callable[[], Awaitable[M | S]]]:
    """Yield what opens another store on the same records each time it is called: on MongoDB with a
    connection of its own, in memory always `memory` itself.
    """
    clients: list[Client] = []

    async def connected() -> M | S:
        if part == "memory":
            return memory
        clients.append(connect(uri))
        return await indexed(store, clients[-1], database)

    try:
        yield connected
    finally:
        for client in clients:
            client.close()
