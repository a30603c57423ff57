"""Which transitions there are, and what each expects of the stored job.

`RULES` is what runs. The rules are written down again in other places, on purpose: a rule that is
changed here by mistake then contradicts one of them.

- docs/state_machine.md is for people. A test compares its table and its drawing with `RULES`.
- tests/conformance/job_model.py and tests/simulation/world.py state the rules in words of their own
  and hold stores and whole fleets to them. A test that took them from here would follow any change.

tests/model takes the rules from here and explores every order of moves within its bounds, to show
that they suffice.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from deletion.job.status import Status


@dataclass(frozen=True, slots=True)
class Rule:
    """One transition: from which statuses, to which, and which fields must still be as read."""

    sources: frozenset[Status]
    target: Status
    guard: tuple[str, ...]


HOLDER: Final = ("status", "attempt", "claimed_by")
"""Guard of a run: the fields it expects unchanged in the job it holds."""
OUTSIDER: Final = (*HOLDER, "last_modified_at")
"""Guard of everybody else, and of a checkpoint. It includes the heartbeat, so that a run that is
alive keeps its job, and so that a checkpoint that arrives late, after its repetition, does not
overwrite what the run has recorded since.
"""
UNJOINED: Final = (*HOLDER, "placed_at")
"""Guard of a completion: a newer request joins by moving `placed_at`, and must be looked for."""

_RUNNING: Final = frozenset({Status.IN_PROGRESS})
_RESUMABLE: Final = frozenset({Status.FAILED, Status.IN_PROGRESS})

RULES: Final[Mapping[str, Rule]] = {
    "claim": Rule(frozenset({Status.PENDING, Status.FAILED}), Status.IN_PROGRESS, OUTSIDER),
    "checkpoint": Rule(_RUNNING, Status.IN_PROGRESS, OUTSIDER),
    "complete": Rule(_RUNNING, Status.COMPLETE, UNJOINED),
    "compensate": Rule(_RUNNING, Status.COMPENSATED, HOLDER),
    "fail": Rule(_RUNNING, Status.FAILED, HOLDER),
    "hand_over": Rule(_RUNNING, Status.FAILED, HOLDER),
    "park": Rule(_RUNNING, Status.PENDING, HOLDER),
    "turn_back": Rule(_RUNNING, Status.PENDING, HOLDER),
    "resume": Rule(_RESUMABLE, Status.PENDING, OUTSIDER),
    "turn_back_spent": Rule(_RESUMABLE, Status.PENDING, OUTSIDER),
    "exhaust": Rule(_RESUMABLE, Status.EXHAUSTED, OUTSIDER),
    "retry": Rule(frozenset(Status) - {Status.COMPLETE}, Status.PENDING, OUTSIDER),
}
