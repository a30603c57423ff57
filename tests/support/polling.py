"""Waiting for a condition by polling, up to a deadline."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import psutil

SOON = 30.0
"""Seconds; far longer than anything takes that a test waits for."""
LOOK_EVERY = 0.01
"""Seconds between two checks."""


async def eventually(condition: Callable[[], bool], within: float = SOON) -> None:
    """Return once the condition holds. Raises `TimeoutError` after `within` seconds."""
    async with asyncio.timeout(within):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(LOOK_EVERY)


def runs(pid: int) -> bool:
    """Whether the process exists and is not a zombie."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@asynccontextmanager
async def frozen(child: int | None) -> AsyncIterator[None]:
    """Stop every thread of a child process inside the block.

    SIGSTOP takes effect in one thread, which then stops the others; on a busy machine they may run
    for a while. The kernel reports the stop to the parent once all threads have stopped.
    """
    assert child is not None, "it does not run"
    os.kill(child, signal.SIGSTOP)
    try:
        options = os.WSTOPPED | os.WNOWAIT | os.WNOHANG
        await eventually(lambda: os.waitid(os.P_PID, child, options) is not None)
        yield
    finally:
        os.kill(child, signal.SIGCONT)
