"""Time: the port that is its one source, the clock of a process, and how times are written."""

import asyncio
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """The one source of time of a process, so that tests can move it."""

    def now(self) -> datetime:
        """UTC with a time zone, truncated to milliseconds (what the database can store)."""

    async def sleep(self, seconds: float) -> None:
        """Return no earlier than `seconds` from now."""


class SystemClock:
    """The machine's clock. Skew between machines can end a lease early, never double it:
    the fence is the attempt, not the time.
    """

    def now(self) -> datetime:
        """UTC, truncated to the milliseconds a database keeps."""
        return milliseconds(datetime.now(UTC))

    async def sleep(self, seconds: float) -> None:
        """Sleep on the event loop."""
        await asyncio.sleep(seconds)


def milliseconds(time: datetime) -> datetime:
    """`time` cut to what the database can store, so that a job reads back as it was written."""
    return time.replace(microsecond=time.microsecond // 1000 * 1000)


def rfc3339(utc: datetime) -> str:
    """`utc` as RFC 3339 writes it, in milliseconds and with a `Z`."""
    return utc.isoformat(timespec="milliseconds").replace("+00:00", "Z")
