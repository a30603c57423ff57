"""What pulling waits for: each delivery of a message is counted, so none is to be wasted."""

from collections.abc import Awaitable, Callable


class Proven:
    """Whether the database can be relied on: `prove` returns once it can, and raises until then.

    It has to be proven before the first pull, and again after each `doubt`.
    """

    def __init__(self, prove: Callable[[], Awaitable[None]]) -> None:
        self._prove = prove
        self.holds = False

    async def renew(self) -> None:
        """Return at once while it holds; otherwise prove it. Raises what `prove` raises."""
        if not self.holds:
            await self._prove()
            self.holds = True

    def doubt(self) -> None:
        """Something could not be recorded."""
        self.holds = False
