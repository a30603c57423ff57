"""The job: one `DeletionJob` per (service, event), and every transition it may make.

A job is a value. Its methods answer with a `Change`: the job as it was, the job as it
should be, and the fields the store must find unchanged for the write to count. A store
knows no rule of its own; the rules stand in `RULES`, drawn in docs/state_machine.md.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum

from deletion.clock import milliseconds
from deletion.errors import TransitionError


class Status(StrEnum):
    """Where a job stands. Each comment names who moves it onwards."""

    IN_PROGRESS = "in_progress"  # its run; once stale, whoever claims it
    FAILED = "failed"  # the consumer that claims it, asked by recovery or a redelivery
    COMPLETE = "complete"  # nobody: the end
    EXHAUSTED = "exhausted"  # an operator, with `botdel jobs retry`


class StepStatus(StrEnum):
    """Where one step of a job stands."""

    PENDING = "pending"
    IN_PROGRESS = "in_progress"
    COMPLETE = "complete"


@dataclass(frozen=True, slots=True)
class StepProgress:
    """The checkpoint of one step: `deleted` counts items, `cursor` is the step's own.

    `batches` counts those that are gone, and `slowest` is how long the slowest took, in seconds.
    """

    name: str
    status: StepStatus = StepStatus.PENDING
    deleted: int = 0
    cursor: str | None = None
    batches: int = 0
    slowest: float = 0.0

    def advanced(self, deleted: int, cursor: str | None, seconds: float) -> "StepProgress":
        """One batch further."""
        return StepProgress(
            self.name,
            StepStatus.IN_PROGRESS,
            self.deleted + deleted,
            cursor,
            self.batches + 1,
            max(self.slowest, seconds),
        )


@dataclass(frozen=True, slots=True)
class Failure:
    """Why the last run ended without completing; `interrupted` says it was no fault."""

    type: str
    message: str
    at: datetime
    interrupted: bool = False


@dataclass(frozen=True, slots=True)
class PastAttempt:
    """Where an attempt stood when it was last heard of: at batch `batch`, from 1, of `step`.

    `step` is None when it had done every one, `reason` its failure's type, or `STALE`.
    """

    attempt: int
    claimed_by: str
    step: str | None
    batch: int
    at: datetime
    reason: str


STALE = "stale"
"""The reason of an attempt that fell silent: a killed process, most of the time."""
KEPT_ATTEMPTS = 20
"""Past attempts a job remembers, the latest ones."""


@dataclass(frozen=True, slots=True)
class LeasePolicy:
    """How long silence is trusted, and how many claims a job may spend."""

    stale_after: timedelta
    max_attempts: int

    @property
    def heartbeat_interval(self) -> float:
        """Seconds between heartbeats: a quarter of the threshold, so that one may be late."""
        return self.stale_after.total_seconds() / 4


@dataclass(frozen=True, slots=True)
class Rule:
    """One transition: from where, to where, and what must still be as it was read."""

    sources: frozenset[Status]
    target: Status
    guard: tuple[str, ...]


_HOLDER = ("status", "attempt", "claimed_by")
_OUTSIDER = (*_HOLDER, "last_modified_at")
"""An outsider also guards the heartbeat it read: a run that still beats is not robbed."""
_UNJOINED = (*_HOLDER, "placed_at")
"""A newer request may join a live job by moving `placed_at`: then it is not complete yet."""

RULES: dict[str, Rule] = {
    "claim": Rule(frozenset({Status.FAILED, Status.IN_PROGRESS}), Status.IN_PROGRESS, _OUTSIDER),
    "checkpoint": Rule(frozenset({Status.IN_PROGRESS}), Status.IN_PROGRESS, _HOLDER),
    "complete": Rule(frozenset({Status.IN_PROGRESS}), Status.COMPLETE, _UNJOINED),
    "fail": Rule(frozenset({Status.IN_PROGRESS}), Status.FAILED, _HOLDER),
    "exhaust": Rule(frozenset({Status.FAILED, Status.IN_PROGRESS}), Status.EXHAUSTED, _OUTSIDER),
    "reopen": Rule(frozenset({Status.EXHAUSTED}), Status.FAILED, _OUTSIDER),
}


@dataclass(frozen=True, slots=True)
class Change:
    """Write `after` where the stored job still equals `before` in every field of `guard`."""

    before: "Job"
    after: "Job"
    guard: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Job:
    """A service's share of one deletion. Ids are 24 hex digits, times UTC in milliseconds.

    `placed_at` is the time of the latest request it stands for: what was written before it is
    deleted once the job is complete.
    """

    id: str
    service: str
    bot_id: str
    event_id: str
    status: Status
    attempt: int
    claimed_by: str
    placed_at: datetime
    created_at: datetime
    last_modified_at: datetime
    steps: tuple[StepProgress, ...] = ()
    finished_at: datetime | None = None
    failure: Failure | None = None
    past_attempts: tuple[PastAttempt, ...] = ()

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
        by: str,
        now: datetime,
    ) -> "Job":
        """The job of a new event: recording it is its first claim."""
        return cls(
            id=id,
            service=service,
            bot_id=bot_id,
            event_id=event_id,
            status=Status.IN_PROGRESS,
            attempt=1,
            claimed_by=by,
            placed_at=milliseconds(placed_at),
            created_at=now,
            last_modified_at=now,
            steps=steps,
        )

    @property
    def live(self) -> bool:
        """Until it is complete a job holds its (service, bot): an exhausted one still does."""
        return self.status is not Status.COMPLETE

    @property
    def end(self) -> str:
        """How its last attempt ended: the type of its failure, or `STALE` when it fell silent."""
        failed = self.failure if self.status is Status.FAILED else None
        return failed.type if failed else STALE

    @property
    def fence(self) -> tuple[str, int, str]:
        """The job and the claim that holds it: a run whose own differs has lost it."""
        return self.id, self.attempt, self.claimed_by

    def progress(self, step: str) -> StepProgress:
        """The checkpoint of `step`, which is a fresh one when it has not begun."""
        return next((p for p in self.steps if p.name == step), StepProgress(step))

    def is_stale(self, now: datetime, policy: LeasePolicy) -> bool:
        """In progress, yet silent for the threshold: its run is gone, or as good as gone."""
        silent = now - self.last_modified_at >= policy.stale_after
        return self.status is Status.IN_PROGRESS and silent

    def is_resumable(self, now: datetime, policy: LeasePolicy) -> bool:
        """Failed or stale: somebody has to take it up."""
        return self.status is Status.FAILED or self.is_stale(now, policy)

    def is_spent(self, policy: LeasePolicy) -> bool:
        """It has used every attempt, so that only an operator may send it on."""
        return self.attempt >= policy.max_attempts

    def claim(self, by: str, now: datetime, policy: LeasePolicy) -> Change:
        """Take the job up. `by` is unique to this claim, and with `attempt` it is the lease."""
        self._require(self.is_resumable(now, policy), "claim", "it is neither failed nor stale")
        self._require(not self.is_spent(policy), "claim", "its attempts are spent")
        return self._move(
            "claim", now, attempt=self.attempt + 1, claimed_by=by, past_attempts=self._past()
        )

    def joined(self, placed_at: datetime) -> "Job":
        """A newer request joins, so `placed_at` moves on: by a millisecond where the clocks of the
        two requests say that it is not newer.
        """
        moved = self.placed_at + timedelta(milliseconds=1)
        return replace(self, placed_at=max(moved, placed_at))

    def checkpoint(self, now: datetime, *steps: StepProgress) -> Change:
        """Record the progress of `steps`; with none it is a bare heartbeat."""
        return self._move("checkpoint", now, steps=merged(self.steps, steps))

    def complete(self, now: datetime) -> Change:
        """Everything is deleted and was read back empty."""
        return self._move("complete", now, finished_at=now, failure=None)

    def fail(self, failure: Failure) -> Change:
        """End this run. An interruption is no fault of the job: its attempt is handed back."""
        attempt = self.attempt - 1 if failure.interrupted else self.attempt
        return self._move("fail", failure.at, attempt=attempt, failure=failure)

    def exhaust(self, now: datetime, policy: LeasePolicy) -> Change:
        """Give up on a job that failed, or went silent, with its last attempt."""
        self._require(self.is_resumable(now, policy), "exhaust", "it is neither failed nor stale")
        self._require(self.is_spent(policy), "exhaust", "it has attempts left")
        return self._move("exhaust", now, past_attempts=self._past())

    def reopen(self, now: datetime) -> Change:
        """An operator's word that the cause is gone: all attempts are given anew."""
        return self._move("reopen", now, attempt=0)

    def _past(self) -> tuple[PastAttempt, ...]:
        """With the attempt that ends here, unless it was handed back or is an operator's reset."""
        handed_back = self.failure and self.failure.interrupted and self.status is Status.FAILED
        if not self.attempt or handed_back:
            return self.past_attempts
        at = next((p for p in self.steps if p.status is not StepStatus.COMPLETE), None)
        ended = PastAttempt(
            self.attempt,
            self.claimed_by,
            at.name if at else None,
            at.batches + 1 if at else 0,
            self.last_modified_at,
            self.end,
        )
        return (*self.past_attempts, ended)[-KEPT_ATTEMPTS:]

    def _require(self, holds: bool, transition: str, otherwise: str) -> None:
        if not holds:
            raise TransitionError(f"cannot {transition} job {self.id}: {otherwise}")

    def _move(self, transition: str, now: datetime, **values: object) -> Change:
        rule = RULES[transition]
        self._require(self.status in rule.sources, transition, f"it is {self.status}")
        after = replace(self, status=rule.target, last_modified_at=now, **values)  # type: ignore[arg-type]
        return Change(self, after, rule.guard)


def merged(
    steps: Iterable[StepProgress], newer: Iterable[StepProgress]
) -> tuple[StepProgress, ...]:
    """The steps in their order, each in its newer form where there is one, then the new ones."""
    by_name = {progress.name: progress for progress in steps}
    by_name.update({progress.name: progress for progress in newer})
    return tuple(by_name.values())
