"""Waiting for a condition by polling, up to a deadline."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import psutil

SOON = 30.0
"""Seconds; far longer than anything takes that a test waits for."""
SLACK = 5.0
"""Seconds that a busy machine may take longer than an idle one, where something ends in time."""
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
async def frozen(pid: int | None) -> AsyncIterator[None]:
    """Stop every thread of a process inside the block.

    SIGSTOP takes effect in one thread, which then stops the others; on a busy machine they may run
    for a while. `waitid` would report only the stop of a child, and forked programs are none.
    """
    assert pid is not None, "it does not run"
    os.kill(pid, signal.SIGSTOP)
    try:
        await eventually(lambda: _all_stopped(pid))
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def _all_stopped(pid: int) -> bool:
    """Whether the kernel says of every thread that it is stopped."""
    threads = Path(f"/proc/{pid}/task").glob("*/status")
    return all("\nState:\tT (stopped)\n" in thread.read_text() for thread in threads)
