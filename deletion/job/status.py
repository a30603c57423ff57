"""Where a job and its steps stand."""

from enum import StrEnum
from typing import Final


class Status(StrEnum):
    """Where a job stands. Each status says what it means, who moves the job on, and what an
    operator should do. docs/state_machine.md draws the transitions.
    """

    PENDING = "pending"
    """Recorded, and claimable by a worker from `due` on. The worker that claims it moves it on.

    Nothing to do. If many wait for long, start more consumers or give them more slots.
    """
    IN_PROGRESS = "in_progress"
    """Held by a run, which moves it on. If the run goes silent, a sweep returns it to pending.

    Nothing to do. If it is stale, wait for the next sweep.
    """
    FAILED = "failed"
    """Its last run ended with an error, or was interrupted. An interrupted job is claimed by a
    worker at once; any other is moved on by a sweep, once it has rested.

    Look at `failure` and remove the cause. To skip the rest, use `botdel jobs retry`.
    """
    COMPLETE = "complete"
    """Everything was deleted and read back empty. This is final.

    Nothing to do.
    """
    COMPENSATED = "compensated"
    """A saga was rolled back: what it had begun is undone, except for steps without a compensation,
    and the bot is not deleted. Only an operator moves it on.

    Remove the cause, then start it anew with `botdel jobs retry`.
    """
    EXHAUSTED = "exhausted"
    """Its attempts are spent. Only an operator moves it on; until then it stays live, so that new
    requests for the bot join it.

    Follow docs/runbooks/exhausted_jobs.md, then `botdel jobs retry`.
    """


class Direction(StrEnum):
    """Whether a job goes forward through its plan, or is rolled back."""

    FORWARD = "forward"
    BACKWARD = "backward"


class StepStatus(StrEnum):
    """Where one step of a job stands."""

    PENDING = "pending"
    IN_PROGRESS = "in_progress"
    COMPLETE = "complete"


NOT_LIVE: Final = frozenset({Status.COMPLETE, Status.COMPENSATED})
"""The statuses of jobs that are no longer live: nothing is left to do for their requests."""
BY_HAND: Final = frozenset({Status.EXHAUSTED, Status.COMPENSATED})
"""The statuses from which only an operator moves a job on."""
