"""The clock of a process."""

import asyncio
from datetime import UTC, datetime

from deletion.job import milliseconds


class SystemClock:
    """The machine's clock. Skew between machines can end a lease early, never double it:
    the fence is the attempt, not the time.
    """

    def now(self) -> datetime:
        """UTC, truncated to the milliseconds a database keeps."""
        return milliseconds(datetime.now(UTC))

    async def sleep(self, seconds: float) -> None:
        """Sleep on the event loop."""
        await asyncio.sleep(seconds)
