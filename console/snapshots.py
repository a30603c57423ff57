"""What pages show, read at most once a second, however many browsers ask for it."""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeVar

from deletion.kept import Kept
from deletion.process.answers import ANSWER_SECONDS, answered, in_time

T = TypeVar("T")

KEPT_SECONDS: Final = 1.0
OLD_SECONDS: Final = ANSWER_SECONDS + 1
"""After so long without a question a snapshot is dropped. No read of it is under way by then."""
MOST: Final = 50
"""Snapshots in memory: each is a page of a list, or one record."""


class Snapshots:
    """Keeps what was read, by a key that says what that was."""

    def __init__(self, monotonic: Callable[[], float], seconds: float = KEPT_SECONDS) -> None:
        self._monotonic = monotonic
        self._seconds = seconds
        self._kept: OrderedDict[object, Kept[Any]] = OrderedDict()
        """Those that were asked for last are at the end."""
        self._asked_at: dict[object, float] = {}
        self._dropping: asyncio.TimerHandle | None = None

    async def get(self, key: object, read: Callable[[], Awaitable[T]]) -> T:
        """What `read` returned for `key` at most a second ago. Concurrent calls read once.

        Raises a 503 problem when the database does not answer in time.
        """
        kept = self._kept.setdefault(key, Kept(read, self._seconds, self._monotonic))
        self._kept.move_to_end(key)
        self._asked_at[key] = self._monotonic()
        while len(self._kept) > MOST:
            self._drop(next(iter(self._kept)))
        if self._dropping is None:
            self._drop_old()
        return await self.once(kept.get)

    def _drop(self, key: object) -> None:
        del self._kept[key], self._asked_at[key]

    def _drop_old(self) -> None:
        """Drop what is old now, and again once the next is."""
        self._dropping = None
        for key in list(self._kept):
            left = self._asked_at[key] + OLD_SECONDS - self._monotonic()
            if left > 0:
                self._dropping = asyncio.get_running_loop().call_later(left, self._drop_old)
                return
            self._drop(key)

    @staticmethod
    async def once(read: Callable[[], Awaitable[T]]) -> T:
        """What `read` returns, which is not kept. Raises a 503 problem, as `get` does."""
        return await answered(lambda: in_time(read()))
