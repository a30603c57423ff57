"""The transitions of a job, and what each expects of the stored job.

The code takes its rules from `RULES`. They are written down again elsewhere on purpose: a rule that
is changed here by mistake then contradicts one of these.

- docs/state_machine.md is for people. A test compares its table and its drawing with `RULES`.
- tests/conformance/job_model.py and tests/simulation/world.py state the rules independently, and
  check stores and whole fleets against them. If they used `RULES`, they would accept any change.

tests/model imports `RULES` and explores every order of moves within its bounds, to show that the
rules suffice.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from deletion.job.status import Status


@dataclass(frozen=True, slots=True)
class Rule:
    """One transition: from which statuses, to which, and which fields must be unchanged."""

    sources: frozenset[Status]
    target: Status
    guard: tuple[str, ...]


HOLDER: Final = ("status", "attempt", "claimed_by")
"""Guard for a run that holds the job."""
OUTSIDER: Final = (*HOLDER, "last_modified_at")
"""Guard for everybody else. It includes the time of the last write, so that a run that is alive
keeps its job.

The holder's checkpoints use it too: one that arrives late, after its repetition, must not overwrite
what the run has recorded since.
"""
UNJOINED: Final = (*HOLDER, "placed_at")
"""Guard for a completion: a request that joins moves `placed_at`, and needs another look."""

_RUNNING: Final = frozenset({Status.IN_PROGRESS})
_FAILED_OR_RUNNING: Final = frozenset({Status.FAILED, Status.IN_PROGRESS})

RULES: Final[Mapping[str, Rule]] = {
    "claim": Rule(frozenset({Status.PENDING, Status.FAILED}), Status.IN_PROGRESS, OUTSIDER),
    "checkpoint": Rule(_RUNNING, Status.IN_PROGRESS, OUTSIDER),
    "complete": Rule(_RUNNING, Status.COMPLETE, UNJOINED),
    "compensate": Rule(_RUNNING, Status.COMPENSATED, HOLDER),
    "fail": Rule(_RUNNING, Status.FAILED, HOLDER),
    "hand_over": Rule(_RUNNING, Status.FAILED, HOLDER),
    "park": Rule(_RUNNING, Status.PENDING, HOLDER),
    "roll_back": Rule(_RUNNING, Status.PENDING, HOLDER),
    "resume": Rule(_FAILED_OR_RUNNING, Status.PENDING, OUTSIDER),
    "roll_back_spent": Rule(_FAILED_OR_RUNNING, Status.PENDING, OUTSIDER),
    "exhaust": Rule(_FAILED_OR_RUNNING, Status.EXHAUSTED, OUTSIDER),
    "retry": Rule(frozenset(Status) - {Status.COMPLETE}, Status.PENDING, OUTSIDER),
}
