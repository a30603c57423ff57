"""The check before a pull: a message has few deliveries, so it must be possible to store it."""

from collections.abc import Awaitable, Callable


class StorageCheck:
    """A check of the database that must have passed before the next pull.

    `check` returns if it passes, and raises if not: a consumer lets the database confirm a write,
    recovery requires the indexes. It is made before the first pull, and after each `invalidate`.
    """

    def __init__(self, check: Callable[[], Awaitable[None]]) -> None:
        self._check = check
        self.has_passed = False

    async def ensure(self) -> None:
        """Make the check, unless it has passed. Raises what `check` raises."""
        if not self.has_passed:
            await self._check()
            self.has_passed = True

    def invalidate(self) -> None:
        """Require a new check, because something could not be recorded."""
        self.has_passed = False
