"""The clock of a process."""

import asyncio
from datetime import UTC, datetime


class SystemClock:
    """The machine's clock. Skew between machines can end a lease early, never double it:
    the fence is the attempt, not the time.
    """

    def now(self) -> datetime:
        """UTC, truncated to the milliseconds a database keeps."""
        now = datetime.now(UTC)
        return now.replace(microsecond=now.microsecond // 1000 * 1000)

    async def sleep(self, seconds: float) -> None:
        """Sleep on the event loop."""
        await asyncio.sleep(seconds)
