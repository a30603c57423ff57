"""Time: the port `Clock`, the clock of a process, how times are written, and waiting for the first
of several.
"""

import asyncio
import time
from collections.abc import Awaitable
from datetime import UTC, datetime, timedelta
from typing import Final, Protocol

TICK: Final = timedelta(milliseconds=1)
"""The smallest difference between two times that a database keeps."""
_ELAPSED: Final[int | None] = getattr(time, "CLOCK_BOOTTIME", None)


class Clock(Protocol):
    """The time that jobs, leases and waits go by. Tests move it."""

    def now(self) -> datetime:
        """UTC with a time zone, truncated to milliseconds (what the database can store)."""

    def monotonic(self) -> float:
        """Seconds since some moment, unaffected by changes of `now`: for measuring durations."""

    async def sleep(self, seconds: float) -> None:
        """Return no earlier than `seconds` from now."""


class SystemClock:
    """The machine's clock. Skew between machines can end a lease early, but never gives a job two
    holders: the fence is attempt and claim, not the time.
    """

    def now(self) -> datetime:
        """UTC, truncated to the milliseconds a database keeps."""
        return truncated(datetime.now(UTC))

    def monotonic(self) -> float:
        """Counts the time while the machine was suspended too, where the system supports it."""
        return time.clock_gettime(_ELAPSED) if _ELAPSED else time.monotonic()

    async def sleep(self, seconds: float) -> None:
        """Sleep on the event loop."""
        await asyncio.sleep(seconds)


async def first_of(*waits: Awaitable[object]) -> None:
    """Return as soon as one of `waits` is over, and cancel the others."""
    tasks = {asyncio.ensure_future(wait) for wait in waits}
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()


def truncated(moment: datetime) -> datetime:
    """`moment` truncated to what a database stores, so that a job reads back as it was written."""
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)


def rfc3339(utc: datetime) -> str:
    """`utc` in the format of RFC 3339, with milliseconds and a `Z`."""
    return utc.isoformat(timespec="milliseconds").replace("+00:00", "Z")
