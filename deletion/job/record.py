"""The record of a job, and what can be derived from it."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import takewhile
from typing import Final

from deletion.job.attempts import (
    FRESH_STARTS,
    INTERRUPTED,
    KEPT_ATTEMPTS,
    STALE,
    SUSPECT_ENDS,
    Failure,
    PastAttempt,
)
from deletion.job.policy import LeasePolicy
from deletion.job.progress import StepProgress
from deletion.job.status import BY_HAND, NOT_LIVE, Direction, Status, StepStatus

MAX_EVENTS: Final = 1000
"""How many requests one job may cover; one more becomes a dead letter."""


@dataclass(frozen=True, slots=True)
class Record:
    """A service's share of one deletion. Ids are 24 hex digits, times UTC in milliseconds.

    `event_ids` are the requests it covers: the one it was created for and those that joined, each
    of which moves `placed_at`. `due` is the time from which a worker may claim it; None while no
    worker may. `parks` counts how often it was parked since its last batch.

    The job of a saga has a `point_of_no_return`, the name of a step. `compensations` is the
    progress of those that a rollback has to run, in the order in which the steps began.
    `rollback_cause` is why it is rolled back, None while it goes forward; records call it
    `turnedBack`.
    """

    id: str
    service: str
    bot_id: str
    event_ids: tuple[str, ...]
    status: Status
    attempt: int
    claimed_by: str
    placed_at: datetime
    created_at: datetime
    last_modified_at: datetime
    due: datetime | None = None
    steps: tuple[StepProgress, ...] = ()
    finished_at: datetime | None = None
    failure: Failure | None = None
    past_attempts: tuple[PastAttempt, ...] = ()
    parks: int = 0
    point_of_no_return: str | None = None
    compensations: tuple[StepProgress, ...] = ()
    rollback_cause: Failure | None = None
    requested_by: str = ""
    traceparent: str | None = None

    @property
    def event_id(self) -> str:
        """The event that the job was created for."""
        return self.event_ids[0]

    @property
    def live(self) -> bool:
        """Whether it is neither complete nor compensated. A bot has one live job per service."""
        return self.status not in NOT_LIVE

    @property
    def direction(self) -> Direction:
        """Whether it goes forward or is rolled back."""
        return Direction.BACKWARD if self.rollback_cause else Direction.FORWARD

    @property
    def current_steps(self) -> tuple[StepProgress, ...]:
        """The progress of its steps or, in a rollback, of its compensations."""
        return self.compensations if self.rollback_cause else self.steps

    @property
    def may_roll_back(self) -> bool:
        """Whether it goes forward in a saga and has not begun the point of no return."""
        if self.point_of_no_return is None or self.rollback_cause:
            return False
        return not self.progress(self.point_of_no_return).is_begun

    @property
    def queue(self) -> str | None:
        """The queue from which workers may claim it; None while none may."""
        if self.due is None:
            return None
        return suspect_queue(self.service) if self.is_suspect else self.service

    @property
    def is_suspect(self) -> bool:
        """Whether it may be what ends its processes: `SUSPECT_ENDS` attempts ended with theirs."""
        return self._times_ended(STALE, INTERRUPTED) >= SUSPECT_ENDS

    @property
    def end_reason(self) -> str:
        """How the last attempt of a failed or stale job ended: the type of its failure, or `STALE`.
        Meaningless in any other state.
        """
        failed = self.failure if self.status is Status.FAILED else None
        return failed.type if failed else STALE

    @property
    def claim_key(self) -> tuple[str, int, str]:
        """The job's id and its current claim. A run whose key differs has lost the job."""
        return self.id, self.attempt, self.claimed_by

    @property
    def place(self) -> tuple[str | None, int]:
        """The step at which it stands, in its direction, and the number of the next batch there;
        (None, 0) when all steps are done.
        """
        steps = self.current_steps[::-1] if self.rollback_cause else self.current_steps
        begun = [p for p in steps if p.status is StepStatus.IN_PROGRESS]
        pending = [p for p in steps if p.status is StepStatus.PENDING]
        step = next(iter(begun + pending), None)  # a pending one may no longer be in the plan
        return (step.name, step.batches + 1) if step else (None, 0)

    def progress(self, step: str) -> StepProgress:
        """The progress of `step` in the current direction; empty when nothing is recorded."""
        return next((p for p in self.current_steps if p.name == step), StepProgress(step))

    @property
    def is_handed_over(self) -> bool:
        """Whether it was interrupted, so that any worker may claim it."""
        return self.status is Status.FAILED and self.due is not None

    def is_due(self, now: datetime) -> bool:
        """Whether a worker may claim it at `now`."""
        return self.due is not None and self.due <= now

    def is_parked(self, now: datetime) -> bool:
        """Whether it is pending and not due yet."""
        return self.status is Status.PENDING and not self.is_due(now)

    def is_stale(self, now: datetime, policy: LeasePolicy) -> bool:
        """Whether it is in progress and has been silent for the stale threshold."""
        silent = now - self.last_modified_at >= policy.stale_after
        return self.status is Status.IN_PROGRESS and silent

    def is_spent(self, policy: LeasePolicy) -> bool:
        """Whether it has no attempt left after the latest one."""
        return self.attempt >= policy.max_attempts

    def needs_sweep(self, now: datetime, policy: LeasePolicy) -> bool:
        """Whether a sweep has to move it: it has failed or is stale, and has rested."""
        rested = now - self.last_modified_at >= self.rest(policy)
        return rested and self._attempt_is_over(now, policy)

    def is_retryable(self, now: datetime, policy: LeasePolicy) -> bool:
        """Whether an operator may retry it. It need not have rested, and may be parked."""
        return self.status in BY_HAND or self.is_parked(now) or self._attempt_is_over(now, policy)

    def rest(self, policy: LeasePolicy) -> timedelta:
        """How long a failed or stale job rests before a sweep moves it: longer after each failed
        attempt, and after each silence except the first, so that an outage can pass. With all
        attempts spent, it rests for the shortest time.
        """
        ends = self.attempt if self.status is Status.FAILED else self._times_ended(STALE)
        if not ends:  # this silence is the first: it is not a past attempt yet
            return timedelta(0)
        return policy.rest_after(1 if self.is_spent(policy) else ends)

    def _attempt_is_over(self, now: datetime, policy: LeasePolicy) -> bool:
        """Whether it has failed or is stale. One that is handed over does not count: it is due."""
        failed = self.status is Status.FAILED and not self.is_handed_over
        return failed or self.is_stale(now, policy)

    def _times_ended(self, *reasons: str, place: tuple[str | None, int] | None = None) -> int:
        """How many past attempts ended for one of `reasons`, and at `place` if given, since the
        latest of `FRESH_STARTS`.
        """
        latest = takewhile(
            lambda past: past.reason not in FRESH_STARTS, reversed(self.past_attempts)
        )
        return sum(past.reason in reasons and place in (None, past.place) for past in latest)

    @property
    def _past_kept(self) -> tuple[PastAttempt, ...]:
        """The past attempts, without interruptions at batches that are done now."""
        past = self.past_attempts
        return tuple(p for p in past if p.reason != INTERRUPTED or not self._is_done(p))

    def _is_done(self, past: PastAttempt) -> bool:
        """Whether the batch at which an attempt ended is done. Without a step it was the read-back
        at the end, which is never done, because it comes again while anybody writes.
        """
        if past.step is None:
            return False
        progress = self.progress(past.step)
        return progress.status is StepStatus.COMPLETE or progress.batches >= past.batch

    def _past(self, reason: str) -> tuple[PastAttempt, ...]:
        """`_past_kept`, and the attempt that ends now for `reason`."""
        ended = self._past_attempt(reason, self.last_modified_at)
        return (*self._past_kept, ended)[-KEPT_ATTEMPTS:]

    def _past_attempt(self, reason: str, at: datetime) -> PastAttempt:
        return PastAttempt(
            self.attempt, self.claimed_by, *self.place, at, reason, direction=self.direction
        )


def suspect_queue(service: str) -> str:
    """The queue of the suspects of `service`; a process runs one of them at a time."""
    return f"{service}/suspect"
