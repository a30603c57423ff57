"""What HTTP steps share: the connections of their process, and the gates of the hosts."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from deletion.adapters.http_api.client import HttpClient
from deletion.breaker import LocalBreakerStore
from deletion.clock import Clock, SystemClock
from deletion.gate import Gates


@dataclass(frozen=True, slots=True)
class Http:
    """`client` is closed by the code that created it."""

    client: HttpClient
    gates: Gates
    clock: Clock


def alone() -> Http:
    """For a process that only looks at plans: its breakers are its own."""
    clock = SystemClock()
    return Http(HttpClient(clock), Gates(LocalBreakerStore(clock), clock), clock)


@asynccontextmanager
async def closing(client: HttpClient) -> AsyncIterator[HttpClient]:
    """The client, closed at the end."""
    try:
        yield client
    finally:
        await client.close()


@asynccontextmanager
async def opened_alone() -> AsyncIterator[Http]:
    """See `alone`; what its calls have opened is closed at the end."""
    http = alone()
    async with closing(http.client):
        yield http
