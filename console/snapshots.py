"""What pages show, read at most once a second, however many browsers ask for it."""

from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeVar

from deletion.kept import Kept
from deletion.process.answers import answered, in_time

T = TypeVar("T")

KEPT_SECONDS: Final = 1.0
MOST: Final = 50
"""Snapshots in memory: each is a page of a list, or one record."""


class Snapshots:
    """Keeps what was read, by a key that says what that was."""

    def __init__(self, monotonic: Callable[[], float], seconds: float = KEPT_SECONDS) -> None:
        self._monotonic = monotonic
        self._seconds = seconds
        self._kept: OrderedDict[object, Kept[Any]] = OrderedDict()

    async def get(self, key: object, read: Callable[[], Awaitable[T]]) -> T:
        """What `read` returned for `key` at most a second ago. Concurrent calls read once.

        Raises a 503 problem when the database does not answer in time.
        """
        kept = self._kept.setdefault(key, Kept(read, self._seconds, self._monotonic))
        self._kept.move_to_end(key)
        while len(self._kept) > MOST:
            self._kept.popitem(last=False)
        return await self.once(kept.get)

    @staticmethod
    async def once(read: Callable[[], Awaitable[T]]) -> T:
        """What `read` returns, which is not kept. Raises a 503 problem, as `get` does."""
        return await answered(lambda: in_time(read()))
