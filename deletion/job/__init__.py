"""The job: one `DeletionJob` per (service, event), and every transition it may make.

`Job` (transitions) is a `Record` (record) with a method for each transition of `RULES` (rules).
The other modules hold its `Status` (status), the progress of its steps (progress), how its
attempts ended (attempts), and how long it may be silent and has to rest (policy).
"""

from deletion.job.attempts import (
    INTERRUPTED,
    KEPT_ATTEMPTS,
    RETRIED,
    ROLLED_BACK,
    STALE,
    SUSPECT_ENDS,
    Failure,
    PastAttempt,
)
from deletion.job.policy import LONGEST_REST, LeasePolicy
from deletion.job.progress import StepProgress, Throttled, merged
from deletion.job.record import MAX_EVENTS, suspect_queue
from deletion.job.rules import HOLDER, OUTSIDER, RULES, UNJOINED, Rule
from deletion.job.status import NOT_LIVE, Direction, Status, StepStatus
from deletion.job.transitions import Change, Job, later

__all__ = [
    "HOLDER",
    "INTERRUPTED",
    "KEPT_ATTEMPTS",
    "LONGEST_REST",
    "MAX_EVENTS",
    "NOT_LIVE",
    "OUTSIDER",
    "RETRIED",
    "ROLLED_BACK",
    "RULES",
    "STALE",
    "SUSPECT_ENDS",
    "UNJOINED",
    "Change",
    "Direction",
    "Failure",
    "Job",
    "LeasePolicy",
    "PastAttempt",
    "Rule",
    "Status",
    "StepProgress",
    "StepStatus",
    "Throttled",
    "later",
    "merged",
    "suspect_queue",
]
