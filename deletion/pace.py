"""The pace of a step: how large its batches are, how long it rests, and what holds it back.

`deletion.turns` keeps to it. Decision: docs/decisions/0033.
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
        """What it measures, for people: `replication lag`."""

    @property
    def unit(self) -> str:
        """Of what it measures; empty when it has none, or nobody knows it."""

    async def read(self) -> float:
        """The value now. Raises `PressureUnknown` when there is none."""


def check_limits(slow_above: float, wait_above: float) -> None:
    """Check those of a pressure. Raises `PlanError`, which names the field."""
    if not slow_above < wait_above:
        raise PlanError("expected less than wait_above", field="slow_above")


@dataclass(frozen=True, slots=True)
class Pressure:
    """Above `slow_above` the rests grow with the value of `gauge`; from `wait_above` on, the step
    waits. Raises `PlanError` unless `slow_above` is less than `wait_above`.
    """

    gauge: Gauge
    slow_above: float
    wait_above: float

    def __post_init__(self) -> None:
        check_limits(self.slow_above, self.wait_above)

    def share(self, value: float) -> float:
        """How much of the way from `slow_above` to `wait_above` it has gone, from 0 to 1."""
        way = (value - self.slow_above) / (self.wait_above - self.slow_above)
        return min(1.0, max(0.0, way))

    def described(self, value: float) -> str:
        """The value for people: `replication lag 12 s`."""
        unit = f" {self.gauge.unit}" if self.gauge.unit else ""
        return f"{self.gauge.what} {value:g}{unit}"


@dataclass(frozen=True, slots=True)
class Pace:
    """How one step is deleted by one process.

    `target_ms` is what a batch should take, in milliseconds: its size follows the time that the
    latest one took, from `min_batch` to `max_batch` items (None: what the step begins with), and
    stays as it is without a target. At most `busy_share` of the time is spent deleting, by all
    runs of the process together; 1 means without a rest, and as many batches at once as there are
    runs. Raises `PlanError`, which names the field.
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
    def rests(self) -> bool:
        """Whether there is a reason to hold a batch back."""
        return self.busy_share < 1 or self.pressure is not None


UNPACED: Final = Pace(target_ms=None, busy_share=1)
"""As fast as it goes, in batches of the size that the step has."""
