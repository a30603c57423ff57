"""The connection to MongoDB: made in one place, its errors classified in one place.

Motor is at its end of life. A change to PyMongo's own asyncio API concerns this file and
`driver.py`, and the callers of `close()`, which becomes a coroutine; all other calls stay the same.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from threading import Thread
from time import monotonic
from typing import Any

import pymongo
from pymongo.errors import (
    AutoReconnect,
    BulkWriteError,
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

from deletion.adapters.mongo.command_spans import CommandSpans
from deletion.adapters.mongo.driver import (
    OTHER_CALLS,
    AgnosticBaseCursor,
    AsyncIOMotorClient,
    AsyncIOMotorCollection,
    AsyncIOMotorDatabase,
    calls_of,
    reserve_threads,
)
from deletion.adapters.mongo.fields import field
from deletion.errors import BuildInterrupted, ConfigurationError, StoreUnavailable
from deletion.tracing import Tracer

Document = dict[str, Any]
Client = AsyncIOMotorClient[Document]
Collection = AsyncIOMotorCollection[Document]
Cursor = AgnosticBaseCursor[Document]
Database = AsyncIOMotorDatabase[Document]

SERVER_SELECTION_SECONDS = 3
"""How long a call outside `bounded` looks for a server. A call inside looks for as long as its
bound allows."""
OPERATION_SECONDS = 30
"""How long a call outside `bounded` waits for a connection, and for each answer."""
IDLE_SECONDS = 60
"""How long an unused connection is kept."""

CALL_SECONDS = 10.0
"""How long one call may take by default."""
PING_SECONDS = 3
"""How long a ping may take. Shorter than a write, which may wait for a new primary."""
CLOSE_SECONDS = 1
"""How long closing may take. Unbounded, the driver would wait for an answer to end its sessions."""
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
TRANSIENT_CODES = frozenset(
    {
        6,  # HostUnreachable
        7,  # HostNotFound
        43,  # CursorNotFound: it was not used for ten minutes, perhaps while a step waited
        89,  # NetworkTimeout
        91,  # ShutdownInProgress
        133,  # FailedToSatisfyReadPreference
        134,  # ReadConcernMajorityNotAvailableYet
        175,  # QueryPlanKilled
        189,  # PrimarySteppedDown
        202,  # NetworkInterfaceExceededTimeLimit
        262,  # ExceededTimeLimit
        365,  # TemporarilyUnavailable
        9001,  # SocketException
        10107,  # NotWritablePrimary
        11600,  # InterruptedAtShutdown
        11602,  # InterruptedDueToReplStateChange
        13435,  # NotPrimaryNoSecondaryOk
        13436,  # NotPrimaryOrSecondary
    }
)
"""Error codes of failovers. A mongos passes them on without the label that the driver relies on:
https://github.com/mongodb/mongo/blob/master/src/mongo/base/error_codes.yml"""


def connect(uri: str, connections: int = OTHER_CALLS, tracer: Tracer | None = None) -> Client:
    """A client that connects when it is first used. With a `tracer` its commands have spans.

    It opens at most `connections` to each server, besides those that monitor it. Raises
    `ConfigurationError` for a URI that the driver refuses. The driver's text is left out, because
    it may quote a password.
    """
    try:
        return _client(uri, connections, [CommandSpans(tracer)] if tracer else [])
    except (PyMongoError, ValueError) as error:
        raise ConfigurationError(
            "BOTDEL_MONGODB_URI, or the uri of a step, is refused by the driver "
            f"({type(error).__name__})",
            "look at its hosts and options; user name and password must be percent-encoded "
            "(RFC 3986)",
        ) from None


def _client(uri: str, connections: int, listeners: list[CommandSpans]) -> Client:
    return AsyncIOMotorClient(
        uri,
        tz_aware=True,
        # Read a date beyond year 9999 as stored: an error would hide everything read with it.
        datetime_conversion="DATETIME_AUTO",
        appname="botdel",
        # These override the URI: records must last, and a read-back must see the latest state.
        w="majority",
        readPreference="primary",
        serverSelectionTimeoutMS=SERVER_SELECTION_SECONDS * 1000,
        connectTimeoutMS=SERVER_SELECTION_SECONDS * 1000,
        socketTimeoutMS=OPERATION_SECONDS * 1000,
        waitQueueTimeoutMS=OPERATION_SECONDS * 1000,
        maxPoolSize=connections,
        minPoolSize=0,
        maxIdleTimeMS=IDLE_SECONDS * 1000,
        event_listeners=listeners,
    )


@contextmanager
def bounded(seconds: float) -> Iterator[None]:
    """As `translated`, and bound the block to `seconds`, the driver's own retries included.

    Never use it around a `yield`: the bound belongs to the awaiting task.
    """
    with translated(), pymongo.timeout(seconds):
        yield


async def ping(database: Database) -> None:
    """Make one round trip. Raises `StoreUnavailable` within `PING_SECONDS`."""
    with bounded(PING_SECONDS):
        await database.command("ping")


async def server_time(database: Database, seconds: float) -> datetime:
    """The server's clock, UTC, within `seconds`."""
    with bounded(seconds):
        answer = await database.command("hello")
    local = field(answer, "localTime", datetime)
    return local.replace(tzinfo=UTC)  # the answer to a command is decoded without a time zone


async def build_indexes(collection: Collection, indexes: Sequence[pymongo.IndexModel]) -> None:
    """Create those of `indexes` that are missing; returns when they are built.

    Raises `ConfigurationError` when one exists and differs, `StoreUnavailable` before the build
    begins, and `BuildInterrupted` after that.
    """
    # Ping first: the long bound is for the build, not for a server that is unreachable.
    await ping(collection.database)  # type: ignore[arg-type]
    try:
        with bounded(INDEX_SECONDS):
            await collection.create_indexes(list(indexes))
    except StoreUnavailable as error:
        raise BuildInterrupted(error.what, error.remedy) from error
    except OperationFailure as error:
        raise ConfigurationError(
            f"the indexes of {collection.full_name} cannot be built: {error}"
        ) from error


@contextmanager
def translated() -> Iterator[None]:
    """Turn errors that may pass by themselves into `StoreUnavailable`; let all others through."""
    try:
        yield
    except _MAY_PASS as error:
        raise StoreUnavailable(f"MongoDB cannot be used now ({type(error).__name__})") from error
    except PyMongoError as error:
        if _may_pass(error):
            raise StoreUnavailable(
                f"MongoDB cannot be used now ({type(error).__name__})"
            ) from error
        raise


def _may_pass(error: PyMongoError) -> bool:
    labelled = error.has_error_label("RetryableWriteError") or error.timeout
    return labelled or not TRANSIENT_CODES.isdisjoint(_codes(error))


def _codes(error: PyMongoError) -> set[int | None]:
    """The error code of a command, or of each write of a bulk that was refused or not confirmed."""
    if isinstance(error, BulkWriteError):
        kinds = ("writeErrors", "writeConcernErrors")
        return {each.get("code") for kind in kinds for each in error.details.get(kind, ())}
    return {error.code} if isinstance(error, OperationFailure) else set()


class Clients:
    """One client for each URI, created on first use; None means the default URI.

    `runs` is how many jobs the process runs at once. It bounds the connections to each server, and
    sizes the thread pool that the clients share. Raises `ConfigurationError` when
    `MOTOR_MAX_WORKERS` makes the pool too small.
    """

    def __init__(self, default_uri: str, runs: int = 0, tracer: Tracer | None = None) -> None:
        if runs:  # a command-line process has no heartbeats that would wait for a thread
            reserve_threads(runs)
        self._default_uri = default_uri
        self._runs = runs
        self._tracer = tracer
        self._by_uri: dict[str, Client] = {}

    def get(self, uri: str | None = None) -> Client:
        """The client of `uri`."""
        uri = uri or self._default_uri
        if uri not in self._by_uri:
            self._by_uri[uri] = connect(uri, self._connections(uri), self._tracer)
        return self._by_uri[uri]

    def _connections(self, uri: str) -> int:
        """One connection for each run to a server with data only; a command has no runs."""
        return calls_of(self._runs) if uri == self._default_uri else self._runs or OTHER_CALLS

    def close(self) -> None:
        """Close all of them within `CLOSE_SECONDS`, without waiting for a server that hangs."""
        closing = [Thread(target=client.close, daemon=True) for client in self._by_uri.values()]
        for thread in closing:
            thread.start()
        latest = monotonic() + CLOSE_SECONDS
        for thread in closing:
            thread.join(max(0, latest - monotonic()))
