"""Steps as a team would write them, for plan files in tests."""

from collections.abc import AsyncGenerator
from dataclasses import dataclass

from deletion.plan import Batch


@dataclass
class Pause:
    """Does nothing."""

    name: str

    async def delete(self, bot_id: str, cursor: str | None) -> AsyncGenerator[Batch, None]:
        """Yield one batch."""
        yield Batch(0, "paused", last=True)

    async def is_empty(self, bot_id: str) -> bool:
        """Always true."""
        return True


class Resume(Pause):
    """Undoes nothing."""
