"""Reads the pressure of a step: a gauge that fails or hangs never holds a deletion up."""

import asyncio
from collections.abc import Callable
from typing import Final

import structlog

from deletion.clock import Clock
from deletion.errors import PressureUnknown
from deletion.pace import Gauge

SAMPLE_SECONDS: Final = 5.0
"""Seconds for which a value is used."""
READ_SECONDS: Final = 2.0
"""Seconds that one reading may take."""

log = structlog.get_logger(__name__)


class PressureReader:
    """The gauge of one step, for all runs of a process. `on_unread` is called with the step's name
    whenever it could not be read.
    """

    def __init__(
        self, step: str, gauge: Gauge, clock: Clock, on_unread: Callable[[str], None]
    ) -> None:
        self._step = step
        self._gauge = gauge
        self._clock = clock
        self._on_unread = on_unread
        self._problem: str | None = None
        self._value: float | None = None
        self._read_at = clock.monotonic() - SAMPLE_SECONDS

    async def value(self) -> float | None:
        """The value, at most `SAMPLE_SECONDS` old; None when it cannot be read."""
        if self._clock.monotonic() - self._read_at < SAMPLE_SECONDS:
            return self._value
        self._value, problem = await _read(self._gauge)
        self._read_at = self._clock.monotonic()
        if problem:
            self._on_unread(self._step)
        if problem != self._problem:
            log.warning("pressure", step=self._step, of=self._gauge.what, unread=problem)
        self._problem = problem
        return self._value


async def _read(gauge: Gauge) -> tuple[float | None, str | None]:
    """The value, or why there is none. No error of a gauge ends a deletion."""
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
