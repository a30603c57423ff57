"""Opens a store for a command, over the database of its settings, and records what it does."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from typing import TypeVar

from deletion.adapters.mongo.connection import Client
from deletion.adapters.mongo.operator_actions import MongoActionStore
from deletion.clock import SystemClock
from deletion.errors import ConfigurationError
from deletion.operating.acting import R, Tally, unwatched, why_not_read
from deletion.operating.journal import Before, on_record
from deletion.operating.ports import ActionStore
from deletion.operating.record import Looks, Order
from deletion.ports import Unreadable
from deletion.process.database import connected_clients
from deletion.process.store_settings import StoreSettings

S = TypeVar("S")
T = TypeVar("T")


@asynccontextmanager
async def opened(store: Callable[[Client, str], S], settings: StoreSettings) -> AsyncIterator[S]:
    """Yield a store over the settings' database, and close its connections at the end."""
    async with connected_clients(settings) as clients:
        yield store(clients.get(), settings.mongodb_database)


def present(kind: str, record_id: str, found: T | Unreadable | None, *, shown_by: str) -> T:
    """Return the record that was found.

    Raises `ConfigurationError` if there is none, or it cannot be read. `kind` names such a record,
    `shown_by` the command that lists them.
    """
    if found is None:
        raise ConfigurationError(f"there is no {kind} {record_id}", f"`{shown_by}` shows them")
    if isinstance(found, Unreadable):
        raise ConfigurationError(f"{kind} {record_id}: {why_not_read(found)}")
    return found


def with_actions(
    store: Callable[[Client, str], S],
) -> Callable[[Client, str], tuple[S, MongoActionStore]]:
    """Return how to open `store` together with that of operators' actions."""
    return lambda client, database: (store(client, database), MongoActionStore(client, database))


def recorded(
    order: Order,
    tally: Tally,
    looks: Callable[[R], Looks],
    actions: ActionStore,
    *,
    dry_run: bool,
) -> AbstractAsyncContextManager[Before[R]]:
    """As `on_record`; a dry run does nothing, so it is not on record."""
    return (
        nullcontext(unwatched)
        if dry_run
        else on_record(order, tally, looks, actions, SystemClock())
    )
