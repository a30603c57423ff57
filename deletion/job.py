"""The job: one `DeletionJob` per (service, event), and every transition it may make.

A job is a value. Its methods return a `Change`: the job as it was, the job as it should be, and
the fields that must be unchanged in the store for the write to be made. A store has no rules of its
own; they are in `RULES`, drawn in docs/state_machine.md.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from itertools import takewhile
from typing import Final

from deletion.clock import milliseconds
from deletion.errors import TransitionError

MAX_EVENTS: Final = 1000
"""Requests that one job covers at most; one more becomes a dead letter."""
STALE: Final = "stale"
"""How an attempt ended that fell silent: mostly because its process was killed."""
INTERRUPTED: Final = "interrupted"
"""How an attempt ended that was handed over, because its process was asked to stop."""
RETRIED: Final = "retried"
"""Marks an operator's retry: attempts that ended with their process before it no longer count."""
TURNED_BACK: Final = "turned back"
"""Marks where a job turned back: from there it makes other calls, so earlier ends do not count."""
_ANEW: Final = frozenset({RETRIED, TURNED_BACK})
KEPT_ATTEMPTS: Final = 20
"""How many of its past attempts a job keeps, the latest ones."""
SUSPECT_ENDS: Final = 2
"""Attempts that ended with their process before a job goes to the queue of suspects: it may be what
kills the process."""
LONGEST_REST: Final = timedelta(days=1)
_TICK: Final = timedelta(milliseconds=1)


class Status(StrEnum):
    """Where a job stands. Each comment names who moves it onwards."""

    PENDING = "pending"  # a worker claims it, from `due` on
    IN_PROGRESS = "in_progress"  # its run; if the run goes silent, a sweep
    FAILED = "failed"  # a sweep, once it has rested; if it was interrupted, a worker at once
    COMPLETE = "complete"  # nobody: it has ended
    COMPENSATED = "compensated"  # nobody: it was undone; an operator may start it anew
    EXHAUSTED = "exhausted"  # an operator, with `botdel jobs retry`


class Direction(StrEnum):
    """Which way a job goes: through its plan, or back through the compensations of a saga."""

    FORWARD = "forward"
    BACKWARD = "backward"


class StepStatus(StrEnum):
    """Where one step of a job stands."""

    PENDING = "pending"
    IN_PROGRESS = "in_progress"
    COMPLETE = "complete"


@dataclass(frozen=True, slots=True)
class Throttled:
    """For how many seconds the pace of a step has held its runs back, and why the last time."""

    by: str
    seconds: float

    def __str__(self) -> str:
        return f"{self.seconds:.1f} s by {self.by}"


@dataclass(frozen=True, slots=True)
class StepProgress:
    """The checkpoint of one step.

    `deleted` counts items, `cursor` is the step's own, `batches` counts the batches deleted, and
    `slowest` is how long the slowest of them took, in seconds. `read_back` says how the step was
    last read back. `placed_at` is that of the job when the step last began, None before its first
    call. `throttled` is how its pace has held it back. `found` says that a step which must find
    something has seen data of the bot: recorded before it deletes any, because a crash may lose
    the count of a batch. `extra` holds fields of later versions, which are kept on a write.
    """

    name: str
    status: StepStatus = StepStatus.PENDING
    deleted: int = 0
    cursor: str | None = None
    batches: int = 0
    slowest: float = 0.0
    read_back: str | None = None
    placed_at: datetime | None = None
    throttled: Throttled | None = None
    found: bool = False
    extra: Mapping[str, object] = field(default_factory=dict)

    @property
    def is_begun(self) -> bool:
        """Whether it may have made a call. Versions before sagas kept no `placed_at`."""
        is_pending = self.status is StepStatus.PENDING
        return not is_pending or self.batches > 0 or self.placed_at is not None

    def began(self, placed_at: datetime) -> "StepProgress":
        """The step once it has begun for requests until `placed_at`."""
        return replace(self, status=StepStatus.IN_PROGRESS, placed_at=placed_at)

    def advanced(self, deleted: int, cursor: str | None, seconds: float) -> "StepProgress":
        """The progress after one more batch, which took `seconds`."""
        return replace(
            self,
            status=StepStatus.IN_PROGRESS,
            deleted=self.deleted + deleted,
            cursor=cursor,
            batches=self.batches + 1,
            slowest=max(self.slowest, seconds),
        )

    @property
    def has_found(self) -> bool:
        """Whether the step has ever found anything of the bot."""
        return self.found or self.deleted > 0

    def held(self, by: str, seconds: float) -> "StepProgress":
        """The progress after a wait of `seconds` more, because of `by`."""
        before = self.throttled.seconds if self.throttled else 0.0
        return replace(self, throttled=Throttled(by, before + seconds))

    def again(self) -> "StepProgress":
        """The step from its beginning; its counts are kept."""
        return replace(self, status=StepStatus.PENDING, cursor=None)


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a run ended without completing; `interrupted` means that nothing was wrong."""

    type: str
    message: str
    at: datetime
    interrupted: bool = False
    extra: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class PastAttempt:
    """Where an attempt stood when it was last heard of: at batch `batch`, from 1, of `step`.

    `step` is None when every step was done. `reason` is the type of its failure, `STALE`,
    `INTERRUPTED`, `RETRIED` or `TURNED_BACK`. Interruptions are dropped once the job has got a
    batch further.
    """

    attempt: int
    claimed_by: str
    step: str | None
    batch: int
    at: datetime
    reason: str
    extra: Mapping[str, object] = field(default_factory=dict)

    @property
    def place(self) -> tuple[str | None, int]:
        """The step and its batch."""
        return self.step, self.batch


@dataclass(frozen=True, slots=True)
class LeasePolicy:
    """How long a silent job keeps its lease, how many claims it may spend, and how long it rests.

    `rest` is the rest after the first failed attempt; each further rest is four times as long, up
    to a day. `batch` is how long the heartbeat goes on during one batch of a step.
    """

    stale_after: timedelta
    max_attempts: int
    rest: timedelta = timedelta(minutes=20)
    batch: timedelta = timedelta(minutes=5)

    @property
    def heartbeat_interval(self) -> float:
        """Seconds between heartbeats: a quarter of the threshold, so that one may be missed."""
        return self.stale_after.total_seconds() / 4

    @property
    def call_seconds(self) -> float:
        """Seconds that one database call may take: it ends well before the lease is stale."""
        return min(10.0, self.stale_after.total_seconds() / 3)

    @property
    def max_skew(self) -> timedelta:
        """How far a process's clock may be from the database's for it to claim, sweep or retry."""
        return self.stale_after / 3

    def rest_after(self, attempt: int) -> timedelta:
        """How long a job waits after its failed `attempt`, counted from 1."""
        longer: int = 4 ** min(max(0, attempt - 1), 16)
        return min(LONGEST_REST, self.rest * longer)


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

ENDED: Final = frozenset({Status.COMPLETE, Status.COMPENSATED})
"""The statuses of jobs that are no longer live."""
_BY_HAND: Final = frozenset({Status.EXHAUSTED, Status.COMPENSATED})
"""The statuses that only an operator moves onwards."""
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


@dataclass(frozen=True, slots=True)
class Change:
    """Write `after` where the stored job still equals `before` in every field of `guard`."""

    before: "Job"
    after: "Job"
    guard: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Job:
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
            placed_at=milliseconds(placed_at),
            created_at=now,
            last_modified_at=now,
            due=now,
            steps=steps,
            point_of_no_return=point_of_no_return,
            requested_by=requested_by,
            traceparent=traceparent,
        )

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

    def is_resumable(self, now: datetime, policy: LeasePolicy) -> bool:
        """Whether a sweep has to move it: its attempt has ended, and it has rested."""
        rested = now - self.last_modified_at >= self.rest(policy)
        return rested and self._has_ended(now, policy)

    def is_retryable(self, now: datetime, policy: LeasePolicy) -> bool:
        """Whether an operator may retry it: it need not have rested, and may be parked."""
        return self.status in _BY_HAND or self.is_parked(now) or self._has_ended(now, policy)

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
        latest = takewhile(lambda past: past.reason not in _ANEW, reversed(self.past_attempts))
        return sum(past.reason in reasons and place in (None, past.place) for past in latest)

    def is_spent(self, policy: LeasePolicy) -> bool:
        """Whether it has used every attempt."""
        return self.attempt >= policy.max_attempts

    def joined(self, event_ids: Sequence[str], placed_at: datetime) -> "Job":
        """The job with further requests: `placed_at` moves to theirs, or by a millisecond when
        theirs is not later.
        """
        moved = later(self.placed_at, placed_at)
        return replace(self, event_ids=(*self.event_ids, *event_ids), placed_at=moved)

    def claim(self, by: str, now: datetime) -> Change:
        """Claim the job. `by` is unique to this claim; together with `attempt` it is the lease."""
        self._require(self.is_due(now), "claim", "it is not due")
        return self._move("claim", now, attempt=self.attempt + 1, claimed_by=by)

    def checkpoint(self, now: datetime, *steps: StepProgress) -> Change:
        """Record the progress of `steps`; without any, this is only a heartbeat."""
        noted, parks = self.noted(*steps), 0 if steps else self.parks
        return self._move(
            "checkpoint", now, parks=parks, steps=noted.steps, compensations=noted.compensations
        )

    def noted(self, *steps: StepProgress) -> "Job":
        """The job with the progress of `steps` on the way it goes."""
        way = "compensations" if self.turned_back else "steps"
        return replace(self, **{way: merged(self.way, steps)})  # type: ignore[arg-type]

    def begin(self, now: datetime, step: StepProgress, *, is_compensated: bool) -> Change:
        """Record that `step` has begun, before its first call: an answer may be lost. From then on
        the job owes its compensation, if it has one; at the point of no return it owes none.
        """
        owed = merged(self.compensations, (StepProgress(step.name),) if is_compensated else ())
        if step.name == self.point_of_no_return:
            owed = ()
        steps = merged(self.steps, (step,))
        return self._move("checkpoint", now, steps=steps, compensations=owed)

    def complete(self, now: datetime) -> Change:
        """End the job: everything is deleted and was read back empty."""
        self._require(self.turned_back is None, "complete", "it goes backwards")
        return self._move("complete", now, finished_at=now, failure=None)

    def compensate(self, now: datetime) -> Change:
        """End the job: everything that it had begun is undone and was read back."""
        self._require(self.turned_back is not None, "compensate", "it goes forward")
        return self._move("compensate", now, finished_at=now, failure=None)

    def turn_back(self, failure: Failure) -> Change:
        """End this run with an error that will not pass, before the point of no return: the job
        goes backwards from now on, with all attempts restored.
        """
        self._require(self.may_turn_back, "turn_back", "it has passed its point of no return")
        return self._turned("turn_back", failure.at, failure)

    def fail(self, failure: Failure) -> Change:
        """End this run with an error: the job rests until a sweep resumes it."""
        return self._move("fail", failure.at, failure=failure)

    def hand_over(self, failure: Failure, *, has_tried: bool = True) -> Change:
        """End this run although nothing was wrong: its attempt is handed back, and any replica
        may claim the job at once, before newer ones.

        At the same batch that happens `SUSPECT_ENDS` times; after that the job may be the reason
        why its process has to stop, and the run fails instead. One that only waited for its turn,
        and has not tried the batch (`has_tried`), is no reason.
        """
        past = self._past(INTERRUPTED) if has_tried else self.past_attempts
        times = 1 + self._ends(INTERRUPTED, place=past[-1].place) if has_tried else 0
        if times > SUSPECT_ENDS:
            message = f"interrupted {times} times at the same batch: {failure.message}"
            return self.fail(replace(failure, message=message, interrupted=False))
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
        spent: bool,
        is_busy: bool = False,
    ) -> Change:
        """Wait until `until`: an external API must not be called now, as `failure` says.

        The attempt is handed back unless this run has called the API (`spent`): then the job rests
        as after a failure, so that an outage of a day exhausts nothing. With its last attempt spent
        it cannot park: if its own call is at fault, it would never be exhausted. A wait for an API
        that is only busy (`is_busy`) is not counted.
        """
        left = not (spent and self.is_spent(policy))
        self._require(left, "park", "its attempts are spent")
        attempt = self.attempt if spent else self.attempt - 1
        rested = failure.at + policy.rest_after(self.attempt) if spent else until
        due = milliseconds(max(until, rested))
        parks = self.parks + (not is_busy)
        return self._move(
            "park", failure.at, failure=failure, attempt=attempt, due=due, parks=parks
        )

    def sweep(self, now: datetime, policy: LeasePolicy) -> Change:
        """What a sweep does with a job that `is_resumable`: resume it; if its attempts are spent,
        turn it back where it may, and otherwise exhaust it.
        """
        if not self.is_spent(policy):
            return self.resume(now, policy)
        return (self.turn_back_spent if self.may_turn_back else self.exhaust)(now, policy)

    def resume(self, now: datetime, policy: LeasePolicy) -> Change:
        """Make it pending again, due before newer jobs."""
        self._require(self.is_resumable(now, policy), "resume", "it is neither rested nor stale")
        self._require(not self.is_spent(policy), "resume", "its attempts are spent")
        return self._move("resume", now, due=self.created_at, past_attempts=self._past(self.end))

    def turn_back_spent(self, now: datetime, policy: LeasePolicy) -> Change:
        """Send the job backwards: its attempts to go forward are spent."""
        self._require(self.is_resumable(now, policy), "turn_back", "it is neither rested nor stale")
        self._require(self.is_spent(policy), "turn_back", "it has attempts left")
        self._require(self.may_turn_back, "turn_back", "it has passed its point of no return")
        silent = Failure(STALE, "its last attempt fell silent", now)
        failed = self.failure if self.status is Status.FAILED else None
        return self._turned("turn_back_spent", now, failed or silent)

    def exhaust(self, now: datetime, policy: LeasePolicy) -> Change:
        """Give the job up: its last attempt has failed or gone silent."""
        self._require(self.is_resumable(now, policy), "exhaust", "it is neither rested nor stale")
        self._require(self.is_spent(policy), "exhaust", "it has attempts left")
        self._require(not self.may_turn_back, "exhaust", "it has to turn back")
        return self._move("exhaust", now, past_attempts=self._past(self.end))

    def retry(self, now: datetime, policy: LeasePolicy) -> Change:
        """Make it pending because an operator says so: without a rest, and with all attempts
        restored if they were spent. A parked one is due at once; a compensated one starts anew,
        forward.
        """
        self._require(self.is_retryable(now, policy), "retry", f"it is {self.status}")
        ended = self.status in _BY_HAND
        was_parked = self.status is Status.PENDING
        past = self.past_attempts if ended or was_parked else self._past(self.end)
        if not was_parked or self.is_spent(policy):
            past = (*past, self._ended(RETRIED, now))[-KEPT_ATTEMPTS:]
        anew = self._anew() if self.status is Status.COMPENSATED else {}
        return self._move(
            "retry",
            now,
            due=self.created_at,
            attempt=0 if ended or self.is_spent(policy) else self.attempt,
            past_attempts=past,
            parks=0,
            **anew,
        )

    def _anew(self) -> dict[str, object]:
        """The fields of a job that has never run."""
        steps = tuple(StepProgress(step.name) for step in self.steps)
        return {"steps": steps, "compensations": (), "turned_back": None, "finished_at": None}

    def _turned(self, transition: str, now: datetime, why: Failure) -> Change:
        past = self._past(why.type)
        return self._move(
            transition,
            now,
            due=self.created_at,
            attempt=0,
            parks=0,
            failure=why,
            turned_back=why,
            past_attempts=(*past, self._ended(TURNED_BACK, now))[-KEPT_ATTEMPTS:],
        )

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

    def _require(self, holds: bool, transition: str, otherwise: str) -> None:
        if not holds:
            raise TransitionError(f"cannot {transition} job {self.id}: {otherwise}")

    def _move(
        self, transition: str, now: datetime, *, due: datetime | None = None, **values: object
    ) -> Change:
        """The change for `transition`. `last_modified_at` grows with every write, so that no two
        states of a job pass the same guard, even if the writers' clocks disagree.
        """
        rule = RULES[transition]
        self._require(self.status in rule.sources, transition, f"it is {self.status}")
        modified = max(now, self.last_modified_at + _TICK)
        after = replace(self, status=rule.target, last_modified_at=modified, due=due, **values)  # type: ignore[arg-type]
        return Change(self, after, rule.guard)


def later(placed_at: datetime, newer: datetime) -> datetime:
    """`newer`, but at least a millisecond after `placed_at`."""
    return max(placed_at + _TICK, milliseconds(newer))


def suspects(service: str) -> str:
    """The queue of a service's suspects; a process runs one of them at a time."""
    return f"{service}/suspect"


def merged(
    steps: Iterable[StepProgress], newer: Iterable[StepProgress]
) -> tuple[StepProgress, ...]:
    """`steps` in their order, each replaced by its newer form if there is one, then new ones."""
    by_name = {progress.name: progress for progress in steps}
    by_name.update({progress.name: progress for progress in newer})
    return tuple(by_name.values())
