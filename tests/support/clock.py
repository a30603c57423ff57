"""Virtual time that a test controls."""

import asyncio
import heapq
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import count

from deletion.clock import truncated

START = datetime(2025, 3, 30, 1, 59, 59, 250_000, UTC)


class VirtualClock:
    """`deletion.clock.Clock` whose time passes only when nothing else can happen.

    With `auto_advance` the earliest sleeper wakes once every task of the loop waits; without it,
    sleepers wake only in `advance`. It sees tasks but not sockets or threads, so use it with fakes.
    A sleep past `horizon` raises an `AssertionError`, so that endless waiting is found at once.
    """

    def __init__(
        self,
        start: datetime = START,
        *,
        auto_advance: bool = True,
        horizon: timedelta = timedelta(days=30),
    ) -> None:
        self._now = self._start = start
        self._off = timedelta(0)
        self._end = start + horizon
        self._auto_advance = auto_advance
        self._sleepers: list[tuple[datetime, int, asyncio.Future[None]]] = []
        self._order = count()
        self._watching = False

    def now(self) -> datetime:
        """See the port."""
        return truncated(self._now + self._off)

    def set(self, by: timedelta) -> None:
        """Set the clock, without letting time pass."""
        self._off += by

    def monotonic(self) -> float:
        """See the port."""
        return (self._now - self._start).total_seconds()

    async def sleep(self, seconds: float) -> None:
        """See the port."""
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        due = self._now + max(timedelta(seconds=seconds), timedelta(microseconds=1))
        woken = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (due, next(self._order), woken))
        if self._auto_advance:
            self._watch()
        await woken

    async def advance(self, seconds: float) -> None:
        """Let `seconds` pass, and wake each sleeper at its time; return when all wait again."""
        target = self._now + timedelta(seconds=seconds)
        await settle()
        while self._sleepers and self._sleepers[0][0] <= target:
            self._wake_next()
            await settle()
        self._now = max(self._now, target)

    def pause(self, seconds: float) -> None:
        """Let time pass without waking anybody, as when a suspended process continues."""
        self._now += timedelta(seconds=seconds)

    def _watch(self) -> None:
        if not self._watching:
            self._watching = True
            asyncio.get_running_loop().call_soon(self._tick)

    def _tick(self) -> None:
        self._watching = False
        if _all_wait():
            self._wake_next()
        if any(not woken.done() for _, _, woken in self._sleepers):
            self._watch()

    def _wake_next(self) -> None:
        while self._sleepers:
            due, _, woken = heapq.heappop(self._sleepers)
            if woken.done():  # its task was cancelled
                continue
            self._now = max(self._now, due)
            if self._now > self._end:
                woken.set_exception(AssertionError("virtual time ran past its horizon"))
            else:
                woken.set_result(None)
            return


def _all_wait() -> bool:
    """Whether this loop can only wait for time to pass."""
    ready = asyncio.get_running_loop()._ready  # type: ignore[attr-defined]
    return all(getattr(handle._callback, "__name__", "") == "_tick" for handle in ready)


async def settle() -> None:
    """Return once every other task is waiting."""
    await asyncio.sleep(0)
    while not _all_wait():  # noqa: ASYNC110 - no event tells that all wait
        await asyncio.sleep(0)


async def until(condition: Callable[[], bool], clock: VirtualClock, within: float = 3600) -> None:
    """Let virtual time pass until `condition` holds; fail after `within` virtual seconds."""
    deadline = clock.now() + timedelta(seconds=within)
    while not condition():
        assert clock.now() < deadline, f"not within {within:g} virtual seconds"
        await clock.sleep(0.05)
