"""Where a job and its steps stand."""

from enum import StrEnum
from typing import Final


class Status(StrEnum):
    """Where a job stands: what it means, who moves it onwards, what an operator does about it.

    docs/state_machine.md draws the way from each to the next.
    """

    PENDING = "pending"
    """Recorded, and waiting for a worker from `due` on. A worker that claims it moves it onwards.

    Nothing to do; if many wait for long, start consumers or give them more slots.
    """
    IN_PROGRESS = "in_progress"
    """Held by a run, which moves it onwards. If the run goes silent, a sweep does.

    Nothing to do; if it is stale, wait for the next sweep.
    """
    FAILED = "failed"
    """Its last run ended with an error, or was interrupted. If interrupted, a worker claims it at
    once; else a sweep moves it onwards, once it has rested.

    Look at `failure` and remove the cause; `botdel jobs retry` if it must not rest.
    """
    COMPLETE = "complete"
    """Everything was deleted and read back empty. It has ended: nobody moves it onwards.

    Nothing to do.
    """
    COMPENSATED = "compensated"
    """A saga was rolled back: what had been begun is undone, except for steps without a
    compensation, and the bot is not deleted. It has ended: nobody moves it onwards by itself.

    Remove the cause, then `botdel jobs retry` starts it anew.
    """
    EXHAUSTED = "exhausted"
    """Its attempts are spent. Only an operator moves it onwards; until then it stays live, so that
    new requests for the bot join it.

    Follow docs/runbooks/exhausted_jobs.md, then `botdel jobs retry`.
    """


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
