"""Every transition that a job may make.

A job is a value. Its methods return a `Change`: the job as it was, the job as it should be, and
the fields that must be unchanged in the store for the write to be made. Stores have no rules of
their own: all rules are in `RULES`, drawn in docs/state_machine.md. A request that joins a job is
no transition: stores add it, and move `placed_at` by `later`.
"""

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from deletion.clock import TICK, truncated
from deletion.errors import TransitionError
from deletion.job.attempts import (
    INTERRUPTED,
    KEPT_ATTEMPTS,
    MAX_INTERRUPTIONS,
    RETRIED,
    ROLLED_BACK,
    STALE,
    Failure,
)
from deletion.job.policy import LeasePolicy
from deletion.job.progress import StepProgress, merged
from deletion.job.record import Record
from deletion.job.rules import RULES
from deletion.job.status import BY_HAND, Status

_RESTS: Final = "it is neither failed nor stale, or it still rests"


@dataclass(frozen=True, slots=True)
class Change:
    """Write `after` if the stored job still equals `before` in every field of `guard`."""

    before: "Job"
    after: "Job"
    guard: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Job(Record):
    """One `DeletionJob` per (service, event): its record, and a method for each transition."""

    @classmethod
    def placed(
        cls,
        *,
        id: str,
        service: str,
        bot_id: str,
        event_id: str,
        placed_at: datetime,
        steps: tuple[StepProgress, ...],
        now: datetime,
        point_of_no_return: str | None = None,
        requested_by: str = "",
        traceparent: str | None = None,
    ) -> "Job":
        """The job of a new event, which any worker of the service may claim at once."""
        return cls(
            id=id,
            service=service,
            bot_id=bot_id,
            event_ids=(event_id,),
            status=Status.PENDING,
            attempt=0,
            claimed_by="",
            placed_at=truncated(placed_at),
            created_at=now,
            last_modified_at=now,
            due=now,
            steps=steps,
            point_of_no_return=point_of_no_return,
            requested_by=requested_by,
            traceparent=traceparent,
        )

    def claim(self, by: str, now: datetime) -> Change:
        """Claim the job. `by` is unique to this claim; together with `attempt` it is the lease."""
        self._require(self.is_due(now), "claim", "it is not due")
        return self._move("claim", now, attempt=self.attempt + 1, claimed_by=by)

    def checkpoint(self, now: datetime, *steps: StepProgress) -> Change:
        """Record the progress of `steps`; without steps, this is a heartbeat."""
        noted = self.noted(*steps)
        return self._move(
            "checkpoint",
            now,
            parks=0 if steps else self.parks,
            steps=noted.steps,
            compensations=noted.compensations,
            past_attempts=noted._past_kept,
        )

    def noted(self, *steps: StepProgress) -> "Job":
        """The job with the progress of `steps` in its current direction."""
        name = "compensations" if self.rollback_cause else "steps"
        return replace(self, **{name: merged(self.current_steps, steps)})  # type: ignore[arg-type]

    def begin(self, now: datetime, step: StepProgress, *, is_compensated: bool) -> Change:
        """Record that `step` has begun, before its first call, because the answer may be lost. From
        then on a rollback runs the step's compensation, if there is one. Beginning the point of no
        return drops all compensations.
        """
        added = (StepProgress(step.name),) if is_compensated else ()
        is_point = step.name == self.point_of_no_return
        compensations = () if is_point else merged(self.compensations, added)
        steps = merged(self.steps, (step,))
        return self._move("checkpoint", now, steps=steps, compensations=compensations)

    def complete(self, now: datetime) -> Change:
        """End the job: everything is deleted and was read back empty."""
        self._require(self.rollback_cause is None, "complete", "it is being rolled back")
        return self._move("complete", now, finished_at=now, failure=None)

    def compensate(self, now: datetime) -> Change:
        """End the job: everything it had begun is undone and was read back."""
        self._require(self.rollback_cause is not None, "compensate", "it is not being rolled back")
        return self._move("compensate", now, finished_at=now, failure=None)

    def roll_back(self, failure: Failure) -> Change:
        """End this run with a permanent error before the point of no return: the next runs roll the
        job back, with all attempts restored.
        """
        self._require(self.may_roll_back, "roll_back", "it has passed its point of no return")
        return self._rolled_back("roll_back", failure.at, failure)

    def fail(self, failure: Failure) -> Change:
        """End this run with an error: the job rests until a sweep resumes it."""
        return self._move("fail", failure.at, failure=failure)

    def hand_over(self, failure: Failure, *, has_tried: bool = True) -> Change:
        """End this run although nothing was wrong: its attempt is handed back, and any replica
        may claim the job at once, before newer jobs.

        This happens at most `MAX_INTERRUPTIONS` times at the same batch. After that, the run fails
        instead, because the job may be the reason why its processes stop. A run that has not tried
        the batch (`has_tried` is False), because it stopped before that or waited for its turn,
        does not count.
        """
        past = self._past_kept
        if has_tried:
            times = 1 + self._times_ended(INTERRUPTED, place=self.place)
            if times > MAX_INTERRUPTIONS:
                message = f"interrupted {times} times at the same batch: {failure.message}"
                return self.fail(replace(failure, message=message, interrupted=False))
            past = self._past(INTERRUPTED)
        return self._move(
            "hand_over",
            failure.at,
            attempt=self.attempt - 1,
            failure=replace(failure, interrupted=True),
            due=self.created_at,
            past_attempts=past,
        )

    def park(
        self,
        failure: Failure,
        until: datetime,
        policy: LeasePolicy,
        *,
        has_called: bool,
        is_busy: bool = False,
    ) -> Change:
        """End this run, with the job due again at `until`: an external API must not be called now,
        as `failure` says.

        The attempt is handed back unless this run has called the API in vain (`has_called`). If it
        has, the job rests as after a failure, so that an outage of a day exhausts nothing. If that
        was the last attempt, the job cannot park: were its own call the cause, it would never be
        exhausted. `parks` does not count a wait for an API that is only busy (`is_busy`).
        """
        if has_called:
            self._require(not self.is_spent(policy), "park", "its attempts are spent")
            attempt, due = self.attempt, max(until, failure.at + policy.rest_after(self.attempt))
        else:
            attempt, due = self.attempt - 1, until
        parks = self.parks if is_busy else self.parks + 1
        return self._move(
            "park",
            failure.at,
            failure=failure,
            attempt=attempt,
            due=truncated(due),
            parks=parks,
            past_attempts=self._past_kept,
        )

    def sweep(self, now: datetime, policy: LeasePolicy) -> Change:
        """What a sweep does with a job that `needs_sweep`: resume it, or, if its attempts are
        spent, roll it back if that is possible, and otherwise exhaust it.
        """
        if not self.is_spent(policy):
            return self.resume(now, policy)
        if self.may_roll_back:
            return self.roll_back_spent(now, policy)
        return self.exhaust(now, policy)

    def resume(self, now: datetime, policy: LeasePolicy) -> Change:
        """Make it pending again, due before newer jobs."""
        self._require(self.needs_sweep(now, policy), "resume", _RESTS)
        self._require(not self.is_spent(policy), "resume", "its attempts are spent")
        return self._move(
            "resume", now, due=self.created_at, past_attempts=self._past(self.end_reason)
        )

    def roll_back_spent(self, now: datetime, policy: LeasePolicy) -> Change:
        """Roll the job back, because its attempts to go forward are spent."""
        self._require(self.needs_sweep(now, policy), "roll_back", _RESTS)
        self._require(self.is_spent(policy), "roll_back", "it has attempts left")
        self._require(self.may_roll_back, "roll_back", "it has passed its point of no return")
        silent = Failure(STALE, "its last attempt fell silent", now)
        failed = self.failure if self.status is Status.FAILED else None
        return self._rolled_back("roll_back_spent", now, failed or silent)

    def exhaust(self, now: datetime, policy: LeasePolicy) -> Change:
        """Exhaust the job: its last attempt has failed or gone silent."""
        self._require(self.needs_sweep(now, policy), "exhaust", _RESTS)
        self._require(self.is_spent(policy), "exhaust", "it has attempts left")
        self._require(not self.may_roll_back, "exhaust", "it has to be rolled back")
        return self._move("exhaust", now, past_attempts=self._past(self.end_reason))

    def retry(self, now: datetime, policy: LeasePolicy) -> Change:
        """Make it pending for an operator, without a rest, and with all attempts restored if they
        were spent. A parked job is due at once; a compensated job starts anew, forward.
        """
        due = "it was interrupted, and is due already"
        why = due if self.is_handed_over else f"it is {self.status}"
        self._require(self.is_retryable(now, policy), "retry", why)
        is_by_hand = self.status in BY_HAND
        was_parked = self.status is Status.PENDING
        past = self.past_attempts if is_by_hand or was_parked else self._past(self.end_reason)
        if not was_parked or self.is_spent(policy):
            past = (*past, self._past_attempt(RETRIED, now))[-KEPT_ATTEMPTS:]
        never_run = self._never_run() if self.status is Status.COMPENSATED else {}
        return self._move(
            "retry",
            now,
            due=self.created_at,
            attempt=0 if is_by_hand or self.is_spent(policy) else self.attempt,
            past_attempts=past,
            parks=0,
            **never_run,
        )

    def _never_run(self) -> dict[str, object]:
        """The fields that a run changes, as they are in a job that has never run."""
        steps = tuple(StepProgress(step.name) for step in self.steps)
        return {"steps": steps, "compensations": (), "rollback_cause": None, "finished_at": None}

    def _rolled_back(self, transition: str, now: datetime, why: Failure) -> Change:
        """The change after which workers roll the job back, with all attempts."""
        past = self._past(why.type)
        return self._move(
            transition,
            now,
            due=self.created_at,
            attempt=0,
            parks=0,
            failure=why,
            rollback_cause=why,
            past_attempts=(*past, self._past_attempt(ROLLED_BACK, now))[-KEPT_ATTEMPTS:],
        )

    def _require(self, holds: bool, transition: str, otherwise: str) -> None:
        if not holds:
            raise TransitionError(f"cannot {transition} job {self.id}: {otherwise}")

    def _move(
        self, transition: str, now: datetime, *, due: datetime | None = None, **values: object
    ) -> Change:
        """The change for `transition`, which sets `values` and `due`. Without `due`, no worker may
        claim the job afterwards.

        `last_modified_at` grows with every write, so that no two states of a job match the same
        guard, even if the writers' clocks disagree.
        """
        rule = RULES[transition]
        self._require(self.status in rule.sources, transition, f"it is {self.status}")
        modified = max(now, self.last_modified_at + TICK)
        after = replace(self, status=rule.target, last_modified_at=modified, due=due, **values)  # type: ignore[arg-type]
        return Change(self, after, rule.guard)


def later(placed_at: datetime, newer: datetime) -> datetime:
    """The `placed_at` of a job that a request placed at `newer` has joined: `newer`, but at least a
    millisecond after `placed_at`, so that every join moves it.
    """
    return max(placed_at + TICK, truncated(newer))
