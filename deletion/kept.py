"""A value that is kept for a while, because reading it again costs a call."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Kept(Generic[T]):
    """What `read` returned last, at most `seconds` ago by `monotonic`.

    One caller reads at a time, and those who wait for it get the same value. If `read` raises, so
    does its caller, and the next one reads again.
    """

    def __init__(
        self, read: Callable[[], Awaitable[T]], seconds: float, monotonic: Callable[[], float]
    ) -> None:
        self._read = read
        self._seconds = seconds
        self._monotonic = monotonic
        self._one_at_a_time = asyncio.Lock()
        self._value: T
        self._holds_until = float("-inf")

    async def get(self) -> T:
        """Return the value, read now if it is too old. Raises what `read` raises."""
        async with self._one_at_a_time:
            if self._monotonic() >= self._holds_until:
                self._value = await self._read()
                self._holds_until = self._monotonic() + self._seconds
            return self._value

    def forget(self) -> None:
        """Let the next caller read again."""
        self._holds_until = float("-inf")
