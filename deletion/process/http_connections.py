"""The open connections of a server, within a bound that idle clients cannot exhaust."""

from asyncio import AbstractEventLoop
from collections import OrderedDict
from dataclasses import dataclass
from typing import Final, Protocol

import structlog

log = structlog.get_logger(__name__)

LOG_SECONDS: Final = 10.0
"""Seconds between two log lines about reaching the bound, because any client can cause them."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """Bounds of one server.

    It waits at most `seconds` for a client, and `idle_seconds` between requests. After a refusal it
    keeps the connection for `linger_seconds`. A head has at most `head_bytes` bytes and `headers`
    headers: a header of two bytes takes a hundred in memory. At most `head_bytes` pipelined bytes
    are kept until it is their turn.
    """

    connections: int = 100
    head_bytes: int = 16 * 1024
    headers: int = 100
    seconds: float = 10.0
    idle_seconds: float = 5.0
    linger_seconds: float = 1.0


BOUNDS: Final = Bounds()
"""The bounds of every process that sets no others."""


class Connection(Protocol):
    """One open connection."""

    loop: AbstractEventLoop

    def drop(self) -> None:
        """Close at once, to make room for another connection."""


class Connections:
    """The open connections of one server, and the order in which they began to wait.

    A connection waits while it is its client's turn: to send a request, or to finish one, or to
    read an answer. When there are as many as allowed, a new one replaces the one that has waited
    longest, so that clients that only hold connections cannot keep others out.
    """

    def __init__(self, bounds: Bounds) -> None:
        self.bounds = bounds
        self._open: set[Connection] = set()
        self._waiting: OrderedDict[Connection, None] = OrderedDict()
        self._logged_at = float("-inf")

    def opened(self, connection: Connection) -> bool:
        """Add `connection`, dropping the one that has waited longest if there are too many.

        Returns False when every other one has a request under way.
        """
        if len(self._open) >= self.bounds.connections:
            self._log(connection.loop.time())
            if not self._waiting:
                return False
            longest, _ = self._waiting.popitem(last=False)
            self._open.discard(longest)
            longest.drop()
        self._open.add(connection)
        return True

    def closed(self, connection: Connection) -> None:
        """Remove `connection`, which is closed."""
        self._open.discard(connection)
        self._waiting.pop(connection, None)

    def waits(self, connection: Connection) -> None:
        """It is the client's turn from now on."""
        self._waiting[connection] = None

    def works(self, connection: Connection) -> None:
        """`connection` has a request under way."""
        self._waiting.pop(connection, None)

    def _log(self, now: float) -> None:
        if now - self._logged_at >= LOG_SECONDS:
            self._logged_at = now
            log.warning("no more connections", open=len(self._open), waiting=len(self._waiting))
