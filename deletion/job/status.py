"""Where a job and its steps stand."""

from enum import StrEnum
from typing import Final


class Status(StrEnum):
    """Where a job stands. Each comment names who moves it onwards."""

    PENDING = "pending"  # a worker claims it, from `due` on
    IN_PROGRESS = "in_progress"  # its run; if the run goes silent, a sweep
    FAILED = "failed"  # a sweep, once it has rested; if it was interrupted, a worker at once
    COMPLETE = "complete"  # nobody: it has ended
    COMPENSATED = "compensated"  # nobody: it was undone; an operator may start it anew
    EXHAUSTED = "exhausted"  # an operator, with `botdel jobs retry`


class Direction(StrEnum):
    """Which way a job goes: through its plan, or back through the compensations of a saga."""

    FORWARD = "forward"
    BACKWARD = "backward"


class StepStatus(StrEnum):
    """Where one step of a job stands."""

    PENDING = "pending"
    IN_PROGRESS = "in_progress"
    COMPLETE = "complete"


ENDED: Final = frozenset({Status.COMPLETE, Status.COMPENSATED})
"""The statuses of jobs that are no longer live."""
BY_HAND: Final = frozenset({Status.EXHAUSTED, Status.COMPENSATED})
"""The statuses that only an operator moves onwards."""
