"""Waiting for what no event reports: looked at again and again, up to a deadline."""

import asyncio
from collections.abc import Callable

import psutil

SOON = 30.0
"""Seconds; far more than anything waited for takes."""
LOOK_EVERY = 0.01
"""Seconds between two looks."""


async def eventually(condition: Callable[[], bool], within: float = SOON) -> None:
    """Return once the condition holds; raises TimeoutError after `within` seconds."""
    async with asyncio.timeout(within):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(LOOK_EVERY)


def runs(pid: int) -> bool:
    """Whether the process is there, and not as a zombie that only waits for its parent."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
