"""The cron client without a scheduler: it calls at once, and then again at each interval."""

from asyncio import Event
from collections.abc import Callable, Coroutine
from typing import Any, Final

from deletion.clock import Clock, first_of
from deletion.errors import Interrupted
from deletion.process.signals import stop_on_signals, unless_stopped
from recovery.client import Exit

Call = Callable[[], Coroutine[Any, Any, int]]
AGAIN_SECONDS: Final = 60.0
"""When the next call begins after the first failure; twice as long after each further one. A sweep
that did not end in time is such a failure: the process that swept may be gone. If it is not, the
next call joins the sweep."""


async def repeat_until_stopped(call: Call, every_seconds: float, clock: Clock) -> int:
    """`repeat` until SIGTERM or SIGINT."""
    with stop_on_signals() as stopping:
        return await repeat(call, every_seconds, clock, stopping)


async def repeat(call: Call, every_seconds: float, clock: Clock, stopping: Event) -> int:
    """Call every `every_seconds`, and sooner after a failure, until `stopping`. Then return
    `Exit.OK`.

    Returns `Exit.USAGE` as soon as a call does, because any further call would do the same.
    """
    again = AGAIN_SECONDS
    while True:
        began = clock.monotonic()
        try:
            code = await unless_stopped(call(), stopping)
        except Interrupted:
            return Exit.OK
        if code == Exit.USAGE:
            return code
        wait = every_seconds if code == Exit.OK else min(again, every_seconds)
        again = AGAIN_SECONDS if code == Exit.OK else wait * 2
        await _next_call(began + wait - clock.monotonic(), clock, stopping)
        if stopping.is_set():
            return Exit.OK


async def _next_call(seconds: float, clock: Clock, stopping: Event) -> None:
    seconds = max(0.0, seconds)
    print(f"the next call is in {seconds:.0f} s", flush=True)
    await first_of(clock.sleep(seconds), stopping.wait())
