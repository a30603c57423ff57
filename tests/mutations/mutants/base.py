"""What a mutation is, and which suites may notice it."""

from dataclasses import dataclass
from typing import Final

LIFE_CYCLE: Final = ("unit", "simulation")
DATABASE: Final = ("conformance",)
SAGA: Final = ("saga",)
MODEL: Final = ("model",)
DATA: Final = ("data",)
EDGE: Final = ("edge",)
TRACES: Final = ("traces",)
TEAMS: Final = ("teams",)
HTTP: Final = ("http",)
UNIT: Final = ("unit",)
BUCKETS: Final = ("objects",)
PLANS: Final = ("plans",)
BROKER: Final = ("broker",)
CONSOLE: Final = ("console",)
LISTS: Final = ("lists",)
BROKER_PROCESS: Final = ("broker process",)
ALERTS: Final = ("alerts",)
CALLERS: Final = ("callers",)


@dataclass(frozen=True, slots=True)
class Mutant:
    """`old`, which stands in `file` once, becomes `new`. The suites that may notice are named."""

    name: str
    file: str
    old: str
    new: str
    suites: tuple[str, ...] = LIFE_CYCLE
