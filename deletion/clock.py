"""Time: the port that is its one source, the clock of a process, and how times are written."""

import asyncio
import time
from datetime import UTC, datetime
from typing import Final, Protocol

_ELAPSED: Final[int | None] = getattr(time, "CLOCK_BOOTTIME", None)


class Clock(Protocol):
    """The one source of time of a process, so that tests can move it."""

    def now(self) -> datetime:
        """UTC with a time zone, truncated to milliseconds (what the database can store)."""

    def monotonic(self) -> float:
        """Seconds since some moment, whatever happens to `now`: for how long something took."""

    async def sleep(self, seconds: float) -> None:
        """Return no earlier than `seconds` from now."""


class SystemClock:
    """The machine's clock. Skew between machines can end a lease early, never double it:
    the fence is the attempt, not the time.
    """

    def now(self) -> datetime:
        """UTC, truncated to the milliseconds a database keeps."""
        return milliseconds(datetime.now(UTC))

    def monotonic(self) -> float:
        """Where the system has such a clock, it also counts the time that it was suspended."""
        return time.clock_gettime(_ELAPSED) if _ELAPSED else time.monotonic()

    async def sleep(self, seconds: float) -> None:
        """Sleep on the event loop."""
        await asyncio.sleep(seconds)


def milliseconds(moment: datetime) -> datetime:
    """`moment` cut to what the database can store, so that a job reads back as it was written."""
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)


def rfc3339(utc: datetime) -> str:
    """`utc` as RFC 3339 writes it, in milliseconds and with a `Z`."""
    return utc.isoformat(timespec="milliseconds").replace("+00:00", "Z")
