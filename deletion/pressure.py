"""Reads the pressure of a step. A gauge that fails or hangs never delays a deletion for long."""

import asyncio
from collections.abc import Callable
from typing import Final

import structlog

from deletion.clock import Clock
from deletion.errors import PressureUnknown
from deletion.kept import Kept
from deletion.pace import Gauge

SAMPLE_SECONDS: Final = 5.0
"""How long a value is used, in seconds."""
READ_SECONDS: Final = 2.0
"""How long one reading may take, in seconds."""

log = structlog.get_logger(__name__)


class PressureReader:
    """Reads the gauge of one step for all runs of a process. `on_unread` is called with the step's
    name after each reading that failed.
    """

    def __init__(
        self, step: str, gauge: Gauge, clock: Clock, on_unread: Callable[[str], None]
    ) -> None:
        self._step = step
        self._gauge = gauge
        self._on_unread = on_unread
        self._problem: str | None = None
        self._sample = Kept(self._read_now, SAMPLE_SECONDS, clock.monotonic)

    async def value(self) -> float | None:
        """The value, at most `SAMPLE_SECONDS` old; None when the gauge cannot be read."""
        return await self._sample.get()

    async def _read_now(self) -> float | None:
        value, problem = await _read(self._gauge)
        if problem:
            self._on_unread(self._step)
        if problem != self._problem:
            self._log(problem)
        self._problem = problem
        return value

    def _log(self, problem: str | None) -> None:
        gauge = {"step": self._step, "of": self._gauge.what}
        if problem:
            log.warning("pressure not read", **gauge, reason=problem)
        else:
            log.info("pressure read again", **gauge)


async def _read(gauge: Gauge) -> tuple[float | None, str | None]:
    """The value, or why there is none. An error of a gauge never ends a deletion."""
    try:
        async with asyncio.timeout(READ_SECONDS):
            return await gauge.read(), None
    except TimeoutError:
        return None, f"no answer in {READ_SECONDS:g} s"
    except PressureUnknown as error:
        return None, str(error)
    except Exception as error:
        log.exception("a gauge of pressure failed")
        return None, f"unexpected {type(error).__name__}"
