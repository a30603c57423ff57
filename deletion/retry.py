"""Retries in place: exponential back-off with full jitter, for errors that may pass.

Full jitter: https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/
"""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import TypeVar

from tenacity import AsyncRetrying, AttemptManager, RetryCallState, retry_if_exception_type

from deletion.clock import Clock, first_of
from deletion.errors import TransientError

T = TypeVar("T")
LONGEST_REQUESTED_WAIT = 60.0
"""Longest wait, in seconds, that a retry in place grants when the other side asks for one. A step
that is asked to wait for longer raises `Parked`, so that its job does not occupy a slot."""
_MAX_DOUBLINGS = 64  # beyond any cap; a thousand doublings would overflow a float


def doubled(base: float, times: int, cap: float) -> float:
    """`base` doubled `times` times, at most `cap` (seconds)."""
    return min(cap, base * 2.0 ** min(times, _MAX_DOUBLINGS))


async def pause(clock: Clock, seconds: float, *events: asyncio.Event) -> None:
    """Return after `seconds`, or as soon as one of `events` is set: a stop ends a back-off."""
    if any(event.is_set() for event in events):
        return
    await first_of(*(event.wait() for event in events), clock.sleep(seconds))


class BackOff:
    """Pauses after failures in a row: `first` seconds, doubled each time, at most `longest`."""

    def __init__(self, clock: Clock, first: float, longest: float) -> None:
        self._clock = clock
        self._first = first
        self._longest = longest
        self._failures = 0

    async def pause(self, *events: asyncio.Event) -> None:
        """Pause after a failure. The pause ends early when one of `events` is set."""
        seconds = doubled(self._first, self._failures, self._longest)
        self._failures += 1
        await pause(self._clock, seconds, *events)

    def reset(self) -> None:
        """Start anew after a success: the next failure counts as the first."""
        self._failures = 0


def requested_wait(state: RetryCallState) -> float:
    """Seconds that the last error asks to wait, at most `LONGEST_REQUESTED_WAIT`. Jitter is added
    to it, so that callers that got the error at the same time do not come back at the same time.
    """
    error = state.outcome.exception() if state.outcome else None
    seconds = error.retry_after if isinstance(error, TransientError) else None
    return min(seconds or 0.0, LONGEST_REQUESTED_WAIT)


@dataclass(frozen=True, slots=True)
class Retry:
    """Up to `attempts` calls, with waits of up to `base` seconds, doubled each time up to `cap`."""

    clock: Clock
    attempts: int = 6
    base: float = 0.5
    cap: float = 20.0
    rng: random.Random = field(default_factory=random.Random)

    async def call(
        self,
        function: Callable[[], Awaitable[T]],
        *,
        unless: Callable[[], Exception | None] | None = None,
    ) -> T:
        """Call until it succeeds, at most `attempts` times, or until `unless` ends it.

        `unless` replaces the bound of `attempts`. It is called after each `TransientError`, and
        returns the error to raise, or None to go on.
        """
        async for attempt in self._attempts(bounded=unless is None):
            with attempt:
                return await function()
            outcome = attempt.retry_state.outcome
            error = outcome.exception() if outcome else None
            if unless and isinstance(error, TransientError) and (reason := unless()):
                raise reason from error  # here and not above: a transient one would be retried
        raise AssertionError("unreachable: the loop returns or raises")

    def _attempts(self, *, bounded: bool) -> AsyncRetrying:
        return AsyncRetrying(
            retry=retry_if_exception_type(TransientError),
            stop=lambda state: bounded and state.attempt_number >= self.attempts,
            wait=lambda state: requested_wait(state) + self.jitter(state.attempt_number - 1),
            sleep=self.clock.sleep,
            reraise=True,
        )

    def jitter(self, failures: int) -> float:
        """Seconds to wait before the next try, when `failures` tries failed before the last."""
        return self.rng.uniform(0, doubled(self.base, failures, self.cap))


class Patience:
    """Attempts to loop over, until `seconds` have passed without progress. A stop ends every wait.

    When the time is up, the last `TransientError` is raised unchanged. `latest` is the latest error
    since there was progress.
    """

    def __init__(self, retry: Retry, seconds: float, stopping: asyncio.Event) -> None:
        self._retry = retry
        self._seconds = seconds
        self._stopping = stopping
        self._began = retry.clock.monotonic()
        self._failures = 0
        self._extended = 0.0  # seconds, since the first failure in a row
        self.latest: TransientError | None = None

    @property
    def error(self) -> TransientError | None:
        """The error being retried, from the second failure in a row on: a single one is routine,
        because the database cuts long walks off (docs/decisions/0026).
        """
        return self.latest if self._failures > 1 else None

    def renew(self) -> None:
        """Start the time and the back-off anew, because there was progress."""
        self._began = self._retry.clock.monotonic()
        self._failures = 0
        self._extended = 0.0
        self.latest = None

    def extend(self, seconds: float) -> None:
        """Extend the time by a wait for a turn, which took `seconds`.

        Between retries, all extensions together are at most as long as the time itself. So the
        retries end within twice that time and one wait after the first try, however long the waits
        are.
        """
        if self._failures:
            seconds = min(seconds, self._seconds - self._extended)
            self._extended += seconds
        self._began += seconds

    async def __aiter__(self) -> AsyncIterator[AttemptManager]:
        async for attempt in AsyncRetrying(
            retry=retry_if_exception_type(TransientError),
            stop=self._is_over,
            wait=self._wait,
            sleep=lambda seconds: pause(self._retry.clock, seconds, self._stopping),
            reraise=True,
        ):
            yield attempt

    def _wait(self, state: RetryCallState) -> float:
        seconds = self._retry.jitter(self._failures)
        self._failures += 1
        return requested_wait(state) + seconds

    def _is_over(self, state: RetryCallState) -> bool:
        error = state.outcome.exception() if state.outcome else None
        self.latest = error if isinstance(error, TransientError) else None
        return self._retry.clock.monotonic() - self._began >= self._seconds
