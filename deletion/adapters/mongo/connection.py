"""The connection to MongoDB: made in one place, its errors told apart in one place.

Motor is at its end of life. Changing over to PyMongo's own asyncio API is a matter of this file
and of its callers' `close()`, which becomes a coroutine: all other calls are the same.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from threading import Thread
from time import monotonic
from typing import Any

import pymongo
from motor.motor_asyncio import AsyncIOMotorClient, AsyncIOMotorCollection, AsyncIOMotorDatabase
from pymongo.errors import (
    AutoReconnect,
    ConnectionFailure,
    CursorNotFound,
    ExecutionTimeout,
    NetworkTimeout,
    OperationFailure,
    PyMongoError,
    ServerSelectionTimeoutError,
    WaitQueueTimeoutError,
    WTimeoutError,
)

from deletion.errors import ConfigurationError, StoreUnavailable

Document = dict[str, Any]
Client = AsyncIOMotorClient[Document]
Collection = AsyncIOMotorCollection[Document]
Database = AsyncIOMotorDatabase[Document]

SERVER_SELECTION_SECONDS = 3
"""How long one call looks for a server. Not the driver's `timeoutMS`, which would replace it:
while the database is away each call would take all of its time."""
OPERATION_SECONDS = 30
"""How long one call waits for a connection, and for each answer on it."""

PING_SECONDS = 3
"""A probe must tell soon, where a write may wait for a new primary."""
CLOSE_SECONDS = 1
"""The driver ends its sessions when it closes, and would wait for the answer."""
INDEX_SECONDS = 24 * 3600
"""How long the build of an index may take."""

_MAY_PASS = (
    AutoReconnect,
    ConnectionFailure,
    CursorNotFound,
    ExecutionTimeout,
    NetworkTimeout,
    ServerSelectionTimeoutError,
    WTimeoutError,
    WaitQueueTimeoutError,
)


def connect(uri: str) -> Client:
    """A client that gives up on a silent server after seconds, and connects when first used."""
    return AsyncIOMotorClient(
        uri,
        tz_aware=True,
        appname="botdel",
        # Whatever the URI says: what is recorded must last, and what is read back must be so.
        w="majority",
        readPreference="primary",
        serverSelectionTimeoutMS=SERVER_SELECTION_SECONDS * 1000,
        connectTimeoutMS=SERVER_SELECTION_SECONDS * 1000,
        socketTimeoutMS=OPERATION_SECONDS * 1000,
        waitQueueTimeoutMS=OPERATION_SECONDS * 1000,
    )


async def ping(database: Database) -> None:
    """One round trip, or `StoreUnavailable` within `PING_SECONDS`."""
    with translated(), pymongo.timeout(PING_SECONDS):
        await database.command("ping")


async def build_indexes(collection: Collection, indexes: Sequence[pymongo.IndexModel]) -> None:
    """Create what is missing of `indexes`; returns when they are built, however long it takes.

    Raises `ConfigurationError` when one exists and differs.
    """
    # First, because the long time is for the build and not for a server that is missing.
    await ping(collection.database)  # type: ignore[arg-type]
    try:
        with translated(), pymongo.timeout(INDEX_SECONDS):
            await collection.create_indexes(indexes)
    except OperationFailure as error:
        raise ConfigurationError(f"indexes of {collection.full_name}: {error}") from error


@contextmanager
def translated() -> Iterator[None]:
    """Turn what may pass by itself into `StoreUnavailable`; let everything else through."""
    try:
        yield
    except _MAY_PASS as error:
        raise StoreUnavailable(f"MongoDB: {type(error).__name__}") from error
    except PyMongoError as error:
        if error.has_error_label("RetryableWriteError") or error.timeout:
            raise StoreUnavailable(f"MongoDB: {type(error).__name__}") from error
        raise


class Clients:
    """One client for each URI, made when it is first asked for; None means the default."""

    def __init__(self, default_uri: str) -> None:
        self._default_uri = default_uri
        self._by_uri: dict[str, Client] = {}

    def get(self, uri: str | None = None) -> Client:
        """The client of `uri`."""
        uri = uri or self._default_uri
        if uri not in self._by_uri:
            self._by_uri[uri] = connect(uri)
        return self._by_uri[uri]

    def close(self) -> None:
        """Close all of them, within `CLOSE_SECONDS`: a server that hangs gets no farewell."""
        closing = [Thread(target=client.close, daemon=True) for client in self._by_uri.values()]
        for thread in closing:
            thread.start()
        latest = monotonic() + CLOSE_SECONDS
        for thread in closing:
            thread.join(max(0, latest - monotonic()))
