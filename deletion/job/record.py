"""What is on record of a job, and the questions that it answers."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import takewhile
from typing import Final

from deletion.job.attempts import (
    ANEW,
    INTERRUPTED,
    KEPT_ATTEMPTS,
    STALE,
    SUSPECT_ENDS,
    Failure,
    PastAttempt,
)
from deletion.job.policy import LeasePolicy
from deletion.job.progress import StepProgress
from deletion.job.status import BY_HAND, ENDED, Direction, Status, StepStatus

MAX_EVENTS: Final = 1000
"""Requests that one job covers at most; one more becomes a dead letter."""


@dataclass(frozen=True, slots=True)
class Record:
    """A service's share of one deletion. Ids are 24 hex digits, times UTC in milliseconds.

    `event_ids` are the requests it covers: its own and those that joined, each of which moves
    `placed_at`. `due` is the time from which a worker may claim it; None while none may. `parks`
    counts how often it was parked since its last batch.

    A saga's job has a `point_of_no_return`, the name of a step. `compensations` are the checkpoints
    of those it owes, in the order in which their steps were begun; `turned_back` is why it goes
    through them, None as long as it goes forward.
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
    turned_back: Failure | None = None
    requested_by: str = ""
    traceparent: str | None = None

    @property
    def event_id(self) -> str:
        """The event that the job was created for."""
        return self.event_ids[0]

    @property
    def live(self) -> bool:
        """Whether it holds its (service, bot): until it has ended, also while it is exhausted."""
        return self.status not in ENDED

    @property
    def direction(self) -> Direction:
        """Which way it goes."""
        return Direction.BACKWARD if self.turned_back else Direction.FORWARD

    @property
    def way(self) -> tuple[StepProgress, ...]:
        """The checkpoints of the way it goes: of its steps, or of the compensations it owes."""
        return self.compensations if self.turned_back else self.steps

    @property
    def may_turn_back(self) -> bool:
        """Whether it goes forward in a saga whose point of no return it has not reached."""
        if self.point_of_no_return is None or self.turned_back:
            return False
        return not self.progress(self.point_of_no_return).is_begun

    @property
    def queue(self) -> str | None:
        """The queue of workers that may claim it; None while none may."""
        if self.due is None:
            return None
        return suspects(self.service) if self.is_suspect else self.service

    @property
    def is_suspect(self) -> bool:
        """Whether so many of its attempts ended with their process that it may be the cause."""
        return self._ends(STALE, INTERRUPTED) >= SUSPECT_ENDS

    @property
    def end(self) -> str:
        """How its last attempt ended: the type of its failure, or `STALE` when it fell silent."""
        failed = self.failure if self.status is Status.FAILED else None
        return failed.type if failed else STALE

    @property
    def fence(self) -> tuple[str, int, str]:
        """The job and the claim that holds it: a run with another value has lost the job."""
        return self.id, self.attempt, self.claimed_by

    def progress(self, step: str) -> StepProgress:
        """The checkpoint of `step`; a fresh one when there is none."""
        return next((p for p in self.way if p.name == step), StepProgress(step))

    def is_due(self, now: datetime) -> bool:
        """Whether a worker may claim it."""
        return self.due is not None and self.due <= now

    def is_parked(self, now: datetime) -> bool:
        """Whether it is pending, and not due yet."""
        return self.status is Status.PENDING and not self.is_due(now)

    def is_stale(self, now: datetime, policy: LeasePolicy) -> bool:
        """Whether it is in progress but silent for the threshold: its run is taken for dead."""
        silent = now - self.last_modified_at >= policy.stale_after
        return self.status is Status.IN_PROGRESS and silent

    def is_spent(self, policy: LeasePolicy) -> bool:
        """Whether it has used every attempt."""
        return self.attempt >= policy.max_attempts

    def is_resumable(self, now: datetime, policy: LeasePolicy) -> bool:
        """Whether a sweep has to move it: its attempt has ended, and it has rested."""
        rested = now - self.last_modified_at >= self.rest(policy)
        return rested and self._has_ended(now, policy)

    def is_retryable(self, now: datetime, policy: LeasePolicy) -> bool:
        """Whether an operator may retry it: it need not have rested, and may be parked."""
        return self.status in BY_HAND or self.is_parked(now) or self._has_ended(now, policy)

    def rest(self, policy: LeasePolicy) -> timedelta:
        """How long a sweep leaves it alone: longer after each failed attempt, and each silence but
        the first, so that an outage can pass. Without attempts left, only the shortest rest.
        """
        ends = self.attempt if self.status is Status.FAILED else self._ends(STALE)
        if not ends:
            return timedelta(0)
        return policy.rest_after(1 if self.is_spent(policy) else ends)

    def _has_ended(self, now: datetime, policy: LeasePolicy) -> bool:
        failed = self.status is Status.FAILED and self.due is None
        return failed or self.is_stale(now, policy)

    def _ends(self, *reasons: str, place: tuple[str | None, int] | None = None) -> int:
        """How many attempts ended for one of `reasons` (at `place`, if given) since the job was
        last given all its attempts.
        """
        latest = takewhile(lambda past: past.reason not in ANEW, reversed(self.past_attempts))
        return sum(past.reason in reasons and place in (None, past.place) for past in latest)

    def _past(self, reason: str) -> tuple[PastAttempt, ...]:
        """The past attempts and the one that ends here; interruptions of its batch only."""
        ended = self._ended(reason, self.last_modified_at)
        before = [
            p for p in self.past_attempts if p.reason != INTERRUPTED or p.place == ended.place
        ]
        return (*before, ended)[-KEPT_ATTEMPTS:]

    def _ended(self, reason: str, at: datetime) -> PastAttempt:
        way = self.way[::-1] if self.turned_back else self.way
        begun = [p for p in way if p.status is StepStatus.IN_PROGRESS]
        pending = [p for p in way if p.status is StepStatus.PENDING]
        step = next(iter(begun + pending), None)  # a pending one may have left the plan
        name, batch = (step.name, step.batches + 1) if step else (None, 0)
        return PastAttempt(self.attempt, self.claimed_by, name, batch, at, reason)


def suspects(service: str) -> str:
    """The queue of a service's suspects; a process runs one of them at a time."""
    return f"{service}/suspect"
