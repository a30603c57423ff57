"""Whether the gateway can work: whether Pub/Sub answers."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Final

from deletion.errors import BotDeletionError

ANSWER_SECONDS: Final = 2.0
"""Pub/Sub gets this long to answer a probe."""
KEEP_SECONDS: Final = 1.0
"""An answer holds this long, so that probes, however many, never become a load."""


class Readiness:
    """`deletion.adapters.http.Check` over `ask`, which raises when something is missing."""

    def __init__(
        self,
        ask: Callable[[], Awaitable[object]],
        *,
        answer_seconds: float = ANSWER_SECONDS,
        keep_seconds: float = KEEP_SECONDS,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._ask = ask
        self._answer_seconds = answer_seconds
        self._keep_seconds = keep_seconds
        self._monotonic = monotonic
        self._one_at_a_time = asyncio.Lock()
        self._holds_until = float("-inf")
        self._missing: str | None = None

    async def __call__(self) -> str | None:
        """What is missing, or None. Those who ask together share one answer."""
        async with self._one_at_a_time:
            if self._monotonic() >= self._holds_until:
                self._missing = await self._asked()
                self._holds_until = self._monotonic() + self._keep_seconds
            return self._missing

    async def _asked(self) -> str | None:
        try:
            async with asyncio.timeout(self._answer_seconds):
                await self._ask()
        except TimeoutError:
            return f"Pub/Sub does not answer within {self._answer_seconds:g} s"
        except BotDeletionError as error:
            return str(error)
        return None
