"""Retries in place: exponential back-off with full jitter, for errors that may pass.

Full jitter: https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/
"""

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TypeVar

from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type

from deletion.clock import Clock
from deletion.errors import TransientError

T = TypeVar("T")
_MAX_DOUBLINGS = 64  # beyond any cap; a thousand doublings would not fit into a float


def doubled(base: float, times: int, cap: float) -> float:
    """`base` doubled `times` times, `cap` at the most; all but `times` in seconds."""
    return min(cap, base * 2.0 ** min(times, _MAX_DOUBLINGS))


async def rest(clock: Clock, seconds: float, stopping: asyncio.Event) -> None:
    """Return after `seconds`, or once `stopping` is set: a stop waits for no back-off."""
    either = {asyncio.create_task(clock.sleep(seconds)), asyncio.create_task(stopping.wait())}
    try:
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in either:
            task.cancel()


@dataclass(frozen=True, slots=True)
class Retry:
    """How often (`attempts`, calls in all) and how patiently (`base`, `cap`: seconds)."""

    clock: Clock
    attempts: int = 6
    base: float = 0.5
    cap: float = 20.0
    rng: random.Random = field(default_factory=random.Random)

    def attempts_of(self, *, bounded: bool = True) -> AsyncRetrying:
        """Attempts to loop over; the last `TransientError` comes out as it is."""
        return AsyncRetrying(
            retry=retry_if_exception_type(TransientError),
            stop=lambda state: bounded and state.attempt_number >= self.attempts,
            wait=self._full_jitter,
            sleep=self.clock.sleep,
            reraise=True,
        )

    async def call(
        self,
        function: Callable[[], Awaitable[T]],
        *,
        give_up: Callable[[], Exception | None] | None = None,
    ) -> T:
        """Call until it answers, at most `attempts` times, or for as long as `give_up` says.

        `give_up` is asked after each failure and answers with the error to end on, which may
        be a `TransientError` itself.
        """
        async for attempt in self.attempts_of(bounded=give_up is None):
            with attempt:
                return await function()
            outcome = attempt.retry_state.outcome
            error = outcome.exception() if outcome else None
            if give_up and isinstance(error, TransientError) and (reason := give_up()):
                raise reason from error  # here and not above: a transient one would be retried
        raise AssertionError("unreachable: the loop returns or raises")

    def _full_jitter(self, state: RetryCallState) -> float:
        return self.rng.uniform(0, doubled(self.base, state.attempt_number - 1, self.cap))
