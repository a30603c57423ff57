"""The consumer: takes in events, records their jobs and runs them. Also the public API for steps.

A team's own consumer needs only `from consumers import Batch, Plan, run`. A step is a class with a
`name`, `delete` and `is_empty` (see `Step`), a plan has a service and steps, and `run(plan)` runs
the process. Test a step with `deletion.testing.StepConformance`.

Names are imported when they are first used, so that `import consumers` costs nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from consumers.own import run
    from deletion.adapters.plan_source import PlanSource
    from deletion.adapters.spec import StepConnections
    from deletion.errors import (
        BotDeletionError,
        Parked,
        PermanentError,
        PlanError,
        PressureUnknown,
        SharedDocument,
        TransientError,
    )
    from deletion.pace import UNPACED, Gauge, Pace, Pressure
    from deletion.plan import (
        AnswerOnly,
        Batch,
        Doubt,
        Doubted,
        Paced,
        Permitted,
        Plan,
        Previewed,
        Provisioned,
        Sampled,
        Sized,
        Step,
        Verified,
    )

_HOMES: Final = {
    "consumers.own": ("run",),
    "deletion.adapters.plan_source": ("PlanSource",),
    "deletion.adapters.spec": ("StepConnections",),
    "deletion.errors": (
        "BotDeletionError",
        "Parked",
        "PermanentError",
        "PlanError",
        "PressureUnknown",
        "SharedDocument",
        "TransientError",
    ),
    "deletion.pace": ("UNPACED", "Gauge", "Pace", "Pressure"),
    "deletion.plan": (
        "AnswerOnly",
        "Batch",
        "Doubt",
        "Doubted",
        "Paced",
        "Permitted",
        "Plan",
        "Previewed",
        "Provisioned",
        "Sampled",
        "Sized",
        "Step",
        "Verified",
    ),
}

__all__ = [
    "UNPACED",
    "AnswerOnly",
    "Batch",
    "BotDeletionError",
    "Doubt",
    "Doubted",
    "Gauge",
    "Pace",
    "Paced",
    "Parked",
    "PermanentError",
    "Permitted",
    "Plan",
    "PlanError",
    "PlanSource",
    "Pressure",
    "PressureUnknown",
    "Previewed",
    "Provisioned",
    "Sampled",
    "SharedDocument",
    "Sized",
    "Step",
    "StepConnections",
    "TransientError",
    "Verified",
    "run",
]


def __getattr__(name: str) -> object:
    for module, names in _HOMES.items():
        if name in names:
            return getattr(import_module(module), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
