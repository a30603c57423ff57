"""The signals that end a process."""

import asyncio
import os
import signal
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import structlog

from deletion.errors import Interrupted

T = TypeVar("T")

log = structlog.get_logger(__name__)


@contextmanager
def stop_on_signals() -> Iterator[asyncio.Event]:
    """Yields an event that the first SIGTERM or SIGINT sets; a second one ends the process."""
    loop = asyncio.get_running_loop()
    stopping = asyncio.Event()

    def stop(received: signal.Signals) -> None:
        if stopping.is_set():
            os._exit(128 + received)
        log.info("stopping", signal=received.name)
        stopping.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop, number)
    try:
        yield stopping
    finally:
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)


async def unless_stopped(work: Coroutine[Any, Any, T], stopping: asyncio.Event) -> T:
    """Return the result of `work`; once `stopping` is set, cancel it and raise `Interrupted`.

    For the start of a process, which a signal ends at once, whatever it is waiting for.
    """
    working = asyncio.create_task(work)
    asked = asyncio.create_task(stopping.wait())
    try:
        await asyncio.wait({working, asked}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        asked.cancel()
        if not working.done():
            working.cancel()
            await asyncio.wait({working})
    if working.cancelled():
        raise Interrupted("the process was asked to stop")
    return working.result()
