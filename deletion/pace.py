"""The pace of a step: how large its batches are, how long it pauses, and what slows it down.

`deletion.turns` enforces it. Decision: docs/decisions/0033.
"""

from dataclasses import dataclass
from typing import Final, Protocol

from deletion.errors import PlanError

TARGET_MS: Final = 100
MIN_BATCH: Final = 10
BUSY_SHARE: Final = 0.5


class Gauge(Protocol):
    """Measures the load on the service that a step deletes from."""

    @property
    def what(self) -> str:
        """What it measures, in words: `replication lag`."""

    @property
    def unit(self) -> str:
        """The unit of the value; empty when there is none, or it is unknown."""

    async def read(self) -> float:
        """The value now. Raises `PressureUnknown` when there is none."""


def check_limits(slow_above: float, wait_above: float) -> None:
    """Check the limits of a `Pressure`. Raises `PlanError`, which names the field."""
    if not slow_above < wait_above:
        raise PlanError("expected less than wait_above", field="slow_above")


@dataclass(frozen=True, slots=True)
class Pressure:
    """The limits between which a step slows down.

    Above `slow_above`, pauses grow with the value of `gauge`; from `wait_above` on, the step waits.
    Raises `PlanError` unless `slow_above` is less than `wait_above`.
    """

    gauge: Gauge
    slow_above: float
    wait_above: float

    def __post_init__(self) -> None:
        check_limits(self.slow_above, self.wait_above)

    def level(self, value: float) -> float:
        """Where `value` is between `slow_above` (0) and `wait_above` (1); never outside."""
        level = (value - self.slow_above) / (self.wait_above - self.slow_above)
        return min(1.0, max(0.0, level))

    def described(self, value: float) -> str:
        """The value in words: `replication lag 12 s`."""
        unit = f" {self.gauge.unit}" if self.gauge.unit else ""
        return f"{self.gauge.what} {value:g}{unit}"


@dataclass(frozen=True, slots=True)
class Pace:
    """How fast one process runs one step.

    `target_ms` is how long a batch should take, in milliseconds. The size of the next batch, from
    `min_batch` to `max_batch` items, follows from how long the latest took; with `max_batch` None,
    the step's own batch size is the maximum. With `target_ms` None, batches keep their size.

    `busy_share` is the share of the time that all runs of the process together may spend on
    batches, one at a time. With 1 there are no pauses, and each run may delete a batch at once.

    Raises `PlanError`, which names the field.
    """

    target_ms: float | None = TARGET_MS
    min_batch: int = MIN_BATCH
    max_batch: int | None = None
    busy_share: float = BUSY_SHARE
    pressure: Pressure | None = None

    def __post_init__(self) -> None:
        if self.target_ms is not None and self.target_ms <= 0:
            raise PlanError("expected more than 0", field="target_ms")
        if self.min_batch < 1:
            raise PlanError("expected at least 1", field="min_batch")
        if self.max_batch is not None and self.max_batch < self.min_batch:
            raise PlanError("expected at least min_batch", field="max_batch")
        if not 0 < self.busy_share <= 1:
            raise PlanError("expected more than 0, and 1 at most", field="busy_share")

    @property
    def may_wait(self) -> bool:
        """Whether a batch may have to wait."""
        return self.busy_share < 1 or self.pressure is not None


UNPACED: Final = Pace(target_ms=None, busy_share=1)
"""No pauses, and batches of the step's own size."""
