"""What is on record of a job, how its attempts end, its policy and its rules: deletion/job/."""

from typing import Final

from tests.mutations.mutants.base import MODEL, SAGA, Mutant

ATTEMPTS: Final = "deletion/job/attempts.py"
POLICY: Final = "deletion/job/policy.py"
PROGRESS: Final = "deletion/job/progress.py"
RECORD: Final = "deletion/job/record.py"
RULES: Final = "deletion/job/rules.py"
STATUS: Final = "deletion/job/status.py"

MUTANTS: Final = (
    Mutant(
        "a run's writes do not expect its claim",
        RULES,
        'HOLDER: Final = ("status", "attempt", "claimed_by")',
        'HOLDER: Final = ("status", "attempt")',
    ),
    Mutant(
        "a run's writes do not expect its attempt",
        RULES,
        'HOLDER: Final = ("status", "attempt", "claimed_by")',
        'HOLDER: Final = ("status", "claimed_by")',
    ),
    Mutant(
        "an outsider does not expect the heartbeat it read",
        RULES,
        'OUTSIDER: Final = (*HOLDER, "last_modified_at")',
        "OUTSIDER: Final = HOLDER",
    ),
    Mutant(
        "a claim expects nothing",
        RULES,
        "Status.FAILED}), Status.IN_PROGRESS, OUTSIDER),",
        "Status.FAILED}), Status.IN_PROGRESS, ()),",
    ),
    Mutant(
        "a claim does not ask for the status",
        RULES,
        "Rule(frozenset({Status.PENDING, Status.FAILED}), Status.IN_PROGRESS, OUTSIDER)",
        "Rule(frozenset(Status), Status.IN_PROGRESS, OUTSIDER)",
    ),
    Mutant(
        "what is due later counts as due",
        RECORD,
        "return self.due is not None and self.due <= now",
        "return self.due is not None",
    ),
    Mutant(
        "a completion does not expect that nobody has joined",
        RULES,
        'UNJOINED: Final = (*HOLDER, "placed_at")',
        "UNJOINED: Final = HOLDER",
    ),
    Mutant(
        "every running job counts as stale",
        RECORD,
        "return self.status is Status.IN_PROGRESS and silent",
        "return self.status is Status.IN_PROGRESS",
    ),
    Mutant(
        "no running job counts as stale",
        RECORD,
        "return self.status is Status.IN_PROGRESS and silent",
        "return False and silent",
    ),
    Mutant(
        "a failed job does not rest",
        RECORD,
        "ends = self.attempt if self.status is Status.FAILED else self._times_ended(STALE)",
        "ends = 0 if self.status is Status.FAILED else self._times_ended(STALE)",
    ),
    Mutant(
        "a silent job does not rest",
        RECORD,
        "ends = self.attempt if self.status is Status.FAILED else self._times_ended(STALE)",
        "ends = self.attempt if self.status is Status.FAILED else 0",
    ),
    Mutant(
        "a first silence rests",
        RECORD,
        "ends = self.attempt if self.status is Status.FAILED else self._times_ended(STALE)",
        "ends = self.attempt",
    ),
    Mutant(
        "a spent job rests as if there were another attempt",
        RECORD,
        "policy.rest_after(1 if self.is_spent(policy) else ends)",
        "policy.rest_after(ends)",
    ),
    Mutant(
        "every rest is as long as the first",
        POLICY,
        "longer: int = 4 ** min(max(0, attempt - 1), 16)",
        "longer: int = 4 ** min(max(0, attempt - 1), 0)",
    ),
    Mutant(
        "a sweep takes what was handed over",
        RECORD,
        "failed = self.status is Status.FAILED and not self.is_handed_over",
        "failed = self.status is Status.FAILED",
    ),
    Mutant(
        "attempts are never spent",
        RECORD,
        "return self.attempt >= policy.max_attempts",
        "return self.attempt >= policy.max_attempts and False",
    ),
    Mutant(
        "an interruption at a batch that is done counts on",
        RECORD,
        "if p.reason != INTERRUPTED or not self._is_done(p))",
        "if p)",
    ),
    Mutant(
        "read-backs that end their process are forgotten once somebody has written",
        RECORD,
        "        if past.step is None:\n            return False\n",
        "",
    ),
    Mutant(
        "an interruption before the point of no return is forgotten with a batch of another step",
        RECORD,
        "return progress.status is StepStatus.COMPLETE or progress.batches >= past.batch",
        "return past.place != self.place",
    ),
    Mutant(
        "what fell silent before an operator's retry counts on",
        ATTEMPTS,
        "FRESH_STARTS: Final = frozenset({RETRIED, ROLLED_BACK})",
        "FRESH_STARTS: Final = frozenset({ROLLED_BACK})",
    ),
    Mutant(
        "a parked job cannot be hurried",
        RECORD,
        "in BY_HAND or self.is_parked(now) or self._attempt_is_over",
        "in BY_HAND or self._attempt_is_over",
    ),
    Mutant(
        "where an attempt stood is forgotten",
        RECORD,
        "return (*self._past_kept, ended)[-KEPT_ATTEMPTS:]",
        "return self._past_kept",
    ),
    Mutant(
        "a failure of an earlier attempt hides a silence",
        RECORD,
        "failed = self.failure if self.status is Status.FAILED else None\n        return failed.type",
        "failed = self.failure\n        return failed.type",
    ),
    Mutant(
        "there is no queue of suspects",
        RECORD,
        "return self._times_ended(STALE, INTERRUPTED) >= SUSPECT_ENDS",
        "return False",
    ),
    Mutant(
        "an interruption makes nobody a suspect",
        RECORD,
        "return self._times_ended(STALE, INTERRUPTED) >= SUSPECT_ENDS",
        "return self._times_ended(STALE) >= SUSPECT_ENDS",
    ),
    Mutant(
        "a step that left the plan is where a job stands",
        RECORD,
        "next(iter(begun + pending), None)",
        "next((p for p in self.steps if p.status is not StepStatus.COMPLETE), None)",
    ),
    Mutant(
        "a saga may always be rolled back",
        RECORD,
        "return not self.progress(self.point_of_no_return).is_begun",
        "return True",
        SAGA,
    ),
    Mutant(
        "a job may be rolled back twice",
        RECORD,
        "if self.point_of_no_return is None or self.rollback_cause:",
        "if self.point_of_no_return is None:",
        SAGA,
    ),
    Mutant(
        "a compensated job stays live",
        STATUS,
        "NOT_LIVE: Final = frozenset({Status.COMPLETE, Status.COMPENSATED})",
        "NOT_LIVE: Final = frozenset({Status.COMPLETE})",
        SAGA,
    ),
    Mutant(
        "what fell silent on the way forward counts in a rollback",
        ATTEMPTS,
        "FRESH_STARTS: Final = frozenset({RETRIED, ROLLED_BACK})",
        "FRESH_STARTS: Final = frozenset({RETRIED})",
        SAGA,
    ),
    Mutant(
        "a point that an older version has passed counts as ahead",
        PROGRESS,
        "return not is_pending or self.batches > 0 or self.placed_at is not None",
        "return self.placed_at is not None",
        SAGA,
    ),
    Mutant(
        "a checkpoint does not expect the last one",
        RULES,
        '"checkpoint": Rule(_RUNNING, Status.IN_PROGRESS, OUTSIDER)',
        '"checkpoint": Rule(_RUNNING, Status.IN_PROGRESS, HOLDER)',
        MODEL,
    ),
    Mutant(
        "a step does not keep for which request it began",
        PROGRESS,
        "return replace(self, status=StepStatus.IN_PROGRESS, placed_at=placed_at)",
        "return replace(self, status=StepStatus.IN_PROGRESS)",
        SAGA,
    ),
)
