"""A process of the product that is started again whenever it ends, as an orchestrator does it."""

import asyncio
import json
import signal
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from botdel.local.processes import ChildProcess

FOREVER = 24 * 3600.0
"""Seconds."""
PAUSE = 0.5
"""Seconds before a process that ended by itself is started again."""
GRACE = 8.0
"""Seconds a process of the suite has to end after SIGTERM, by its own promise."""

LISTENING_WITHIN = 120.0
"""Seconds; without its database a consumer does not start, and tries again."""

OnLine = Callable[[str], None]


class Supervised:
    """Makes its process anew for each start. `log` is the file of all its output.

    `skew` is by how many seconds the clock of the next start is off. `ends` counts exit codes
    before the last one, `said` the events of its log.
    """

    def __init__(
        self, name: str, make: Callable[[float, OnLine], ChildProcess], skew: float, log: Path
    ) -> None:
        self.name = name
        self.skew = skew
        self.ends: Counter[int] = Counter()
        self.exited: int | None = None
        self.said: Counter[str] = Counter()
        self._make = make
        self._log = log.open("a")
        self._down_for = 0.0
        self._listening = asyncio.Event()

    async def start(self) -> None:
        """Start it for the first time, and wait until it listens."""
        self._running = asyncio.create_task(self._run())
        await self.listening()

    async def stop(self) -> None:
        """End it for good with SIGTERM; `exited` tells what it makes of that."""
        self._running.cancel()
        with suppress(asyncio.CancelledError):
            await self._running
        self.signal(signal.SIGCONT)
        self.exited = await self._process.stop(within=2 * GRACE)
        self._log.close()

    async def listening(self) -> None:
        """Wait until it listens; raises TimeoutError when it does not in time."""
        async with asyncio.timeout(LISTENING_WITHIN):
            await self._listening.wait()

    async def end(self, number: signal.Signals, *, down_for: float, skew: float) -> None:
        """Send a signal it ends by, and wait until it listens again, with another clock."""
        await self.listening()
        self._down_for, self.skew = down_for, skew
        self._listening.clear()
        self.signal(number)
        await self.listening()

    def signal(self, number: signal.Signals) -> None:
        """To the process as it runs now, if it does."""
        self._process.signal(number)

    async def _run(self) -> None:
        while True:
            self._process = self._make(self.skew, self._heard)
            await self._process.start()
            self.ends[await self._process.wait(FOREVER)] += 1
            self._listening.clear()
            await asyncio.sleep(max(PAUSE, self._down_for))
            self._down_for = 0.0

    def _heard(self, line: str) -> None:
        print(line, file=self._log, flush=True)
        with suppress(ValueError):
            entry = json.loads(line)
            event = entry.get("event", "") if isinstance(entry, dict) else ""
            self.said[event] += 1
            if event == "listening":
                self._listening.set()
