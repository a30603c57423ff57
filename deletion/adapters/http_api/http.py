"""What HTTP steps share: the connections of their process, and the gates of the hosts."""

from dataclasses import dataclass

from deletion.adapters.http_api.client import HttpClient
from deletion.breaker import LocalBreakerStore
from deletion.clock import Clock, SystemClock
from deletion.gate import Gates


@dataclass(frozen=True, slots=True)
class Http:
    """Whoever made it closes `client`."""

    client: HttpClient
    gates: Gates
    clock: Clock


def alone() -> Http:
    """For a process that only looks at plans: it opens no connection, and shares no breaker."""
    clock = SystemClock()
    return Http(HttpClient(clock), Gates(LocalBreakerStore(clock), clock), clock)
