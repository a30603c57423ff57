"""Clock skew: a process with a wrong clock takes live runs for stale, or makes its own look so."""

from collections.abc import Callable, Coroutine
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any, Final

from deletion.clock import Clock, truncated
from deletion.errors import ClockSkew, TransientError
from deletion.job import LeasePolicy
from deletion.kept import Kept
from deletion.ports import JobStore

KEEP_SECONDS: Final = 60.0
"""How long the result of a comparison is used, in seconds."""

Check = Callable[[], Coroutine[Any, Any, None]]
"""Raises `ClockSkew` or `TransientError` when the process must not go on."""


async def unchecked() -> None:
    """A `Check` that lets everything pass."""


async def check_clock(jobs: JobStore, clock: Clock, policy: LeasePolicy) -> None:
    """Compare this process's clock with the database's.

    Raises `ClockSkew` when they differ by more than `LeasePolicy.max_skew`, and `StoreUnavailable`.
    The database may read its clock at any moment during the call, so a slow call is not skew.
    """
    sent_at = clock.now()
    server_time = await jobs.time()
    apart = max(sent_at - server_time, min(clock.now() - server_time, timedelta(0)))
    if abs(apart) > policy.max_skew:
        raise ClockSkew(
            f"this process's clock is {apart.total_seconds():+.1f} s off the database's, more than "
            f"{policy.max_skew.total_seconds():g} s",
            "synchronise them with NTP, then try again",
        )


class ClockCheck:
    """`check_clock` for a whole process: every `KEEP_SECONDS`, and when its clock was set."""

    def __init__(self, jobs: JobStore, clock: Clock, policy: LeasePolicy) -> None:
        self._jobs = jobs
        self._clock = clock
        self._policy = policy
        self._skew = Kept(self._compare, KEEP_SECONDS, clock.monotonic)
        self._offset = 0.0

    async def __call__(self) -> None:
        """Raise `ClockSkew` while the clock is wrong, or `StoreUnavailable`."""
        if self._was_set():
            self._skew.forget()
        if skew := await self._skew.get():
            raise skew

    def _was_set(self) -> bool:
        """Whether the clock was set since the last comparison: it moved by another amount than the
        monotonic clock.
        """
        moved = abs(self._apart() - self._offset)
        return moved > self._policy.max_skew.total_seconds() / 2

    def _apart(self) -> float:
        return self._clock.now().timestamp() - self._clock.monotonic()

    async def _compare(self) -> ClockSkew | None:
        found = None
        try:
            await check_clock(self._jobs, self._clock, self._policy)
        except ClockSkew as skew:
            found = skew
        self._offset = self._apart()
        return found


class RunClock:
    """The clock of one run: its time when the run began, plus the time that has passed since.

    When the process's clock is set, this follows it only if the database's clock agrees. So a wrong
    clock makes no job stale or immortal, and a correction, as after the machine was suspended,
    takes effect.
    """

    def __init__(self, jobs: JobStore, clock: Clock, policy: LeasePolicy) -> None:
        self._jobs = jobs
        self._clock = clock
        self._policy = policy
        self._began = clock.now(), clock.monotonic()

    def now(self) -> datetime:
        """UTC, truncated to milliseconds."""
        wall, monotonic = self._began
        return truncated(wall + timedelta(seconds=self._clock.monotonic() - monotonic))

    async def follow(self) -> None:
        """Begin anew at the time of the process's clock, if that was set and is right."""
        if abs(self._clock.now() - self.now()) <= self._policy.max_skew / 4:
            return
        with suppress(ClockSkew, TransientError):
            await check_clock(self._jobs, self._clock, self._policy)
            self._began = self._clock.now(), self._clock.monotonic()
