"""What pulling waits for: messages have few deliveries, so none is pulled that cannot be stored."""

from collections.abc import Awaitable, Callable


class WriteProof:
    """Whether the database is known to take writes: `prove` returns if it does, and raises if not.

    It must be proven before the first pull, and again after each `doubt`.
    """

    def __init__(self, prove: Callable[[], Awaitable[None]]) -> None:
        self._prove = prove
        self.holds = False

    async def renew(self) -> None:
        """Prove it, unless it holds. Raises what `prove` raises."""
        if not self.holds:
            await self._prove()
            self.holds = True

    def doubt(self) -> None:
        """Require a new proof, because something could not be recorded."""
        self.holds = False
