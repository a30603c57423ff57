"""Whether a process can work: whether the parts it depends on answer."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Final

from deletion.errors import BotDeletionError
from deletion.kept import Kept

ANSWER_SECONDS: Final = 2.0
"""How long a probe waits for all subjects, which are asked side by side."""
KEEP_SECONDS: Final = 1.0
"""How long an answer is kept, so that many probes cause no load."""

Ask = Callable[[], Awaitable[object]]
"""Returns when the subject answers, and raises when something is missing."""


class Readiness:
    """A `ReadinessCheck` over several subjects by their names, asked side by side."""

    def __init__(
        self, subjects: Mapping[str, Ask], monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._subjects = subjects
        self._asking: dict[str, asyncio.Task[str | None]] = {}
        self._answer = Kept(self._ask_all, KEEP_SECONDS, monotonic)

    async def __call__(self) -> str | None:
        """What is missing, or None. Concurrent callers share one answer."""
        return await self._answer.get()

    async def _ask_all(self) -> str | None:
        answers = await asyncio.gather(*(self._ask(name) for name in self._subjects))
        return "; ".join(missing for missing in answers if missing) or None

    async def _ask(self, name: str) -> str | None:
        """Ask one subject. If it does not answer in time, the call goes on, and is not repeated."""
        asking = self._asking.get(name)
        if asking is None or asking.done():
            asking = self._asking[name] = asyncio.create_task(self._answer_of(name))
        answered, _ = await asyncio.wait({asking}, timeout=ANSWER_SECONDS)
        if not answered:
            return f"{name} does not answer within {ANSWER_SECONDS:g} s"
        return asking.result()

    async def _answer_of(self, name: str) -> str | None:
        try:
            await self._subjects[name]()
        except BotDeletionError as error:
            return str(error)
        return None
