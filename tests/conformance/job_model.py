"""A model of the job store: the rules of docs/state_machine.md in words of its own.

It shares nothing with `deletion.job`, so that a rule that is lost there is missed here.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from deletion.job import Job, PastAttempt, Status

MAX_ATTEMPTS = 2
STALE_AFTER = timedelta(seconds=60)
REST = timedelta(seconds=20)
"""After the first attempt; four times as long after each further one, up to a day."""
SUSPECT = 2
"""Attempts that ended with their process."""
PARKED = timedelta(seconds=30)
TICK = timedelta(milliseconds=1)
"""By which a request joins whose time is not newer, and by which every write is later."""
STEP, POINT = "first", "point"
"""A saga has both: what the first one does can be undone until the second one is begun."""
ENDED = (Status.COMPLETE, Status.COMPENSATED)
ANEW = ("retried", "turned back")
"""Marks among the past attempts: what fell silent before them no longer counts."""


@dataclass(frozen=True)
class Row:
    """What the model knows of a job. `owner` names the claim that was the last to succeed.

    `stops` has an item for each interruption: whether nothing was left to do then. `mark` is the
    latest past attempt that is not an interruption, if that is a mark. For a saga, `begun` are the
    steps that may have been called, `compensations` says for each whether it is done, and
    `is_rollback` says that the job is being rolled back.
    """

    bot: str
    events: tuple[str, ...]
    status: Status
    attempt: int
    owner: str
    placed_at: datetime
    created: datetime
    modified: datetime
    due: datetime | None
    deleted: int
    silences: int
    stops: tuple[bool, ...] = ()
    mark: str = ""
    is_saga: bool = False
    begun: tuple[str, ...] = ()
    compensations: tuple[bool, ...] = ()
    is_rollback: bool = False

    @classmethod
    def of(cls, job: Job) -> "Row":
        """What a job looks like to the model."""
        return cls(
            job.bot_id,
            job.event_ids,
            job.status,
            job.attempt,
            job.claimed_by,
            job.placed_at,
            job.created_at,
            job.last_modified_at,
            job.due,
            job.progress(STEP).deleted,
            sum(past.reason == "stale" for past in _latest(job)),
            tuple(past.step is None for past in _latest(job) if past.reason == "interrupted"),
            _mark(job),
            job.point_of_no_return is not None,
            tuple(step.name for step in job.steps if step.placed_at is not None),
            tuple(step.status == "complete" for step in job.compensations),
            job.rollback_cause is not None,
        )

    @property
    def is_live(self) -> bool:
        """Until it is complete, or undone."""
        return self.status not in ENDED

    @property
    def can_roll_back(self) -> bool:
        """A saga that goes forward, before its point of no return."""
        return self.is_saga and not self.is_rollback and POINT not in self.begun

    def is_silent(self, now: datetime) -> bool:
        """Stale."""
        return self.status is Status.IN_PROGRESS and now - self.modified >= STALE_AFTER

    def is_abandoned(self, now: datetime) -> bool:
        """Stale, or failed and rested."""
        failures = 1 if self.attempt >= MAX_ATTEMPTS else self.attempt
        rest = min(timedelta(days=1), REST * 4 ** max(0, failures - 1))
        rested = self.is_failure and now - self.modified >= rest
        return rested or self.is_silent(now)

    @property
    def has_nothing_left(self) -> bool:
        """Whether it is a rollback with everything undone. Forward, its step never ends here."""
        return self.is_rollback and all(self.compensations)

    @property
    def stops_here(self) -> tuple[bool, ...]:
        """The interruptions at the batch where the job stands now."""
        return tuple(stop for stop in self.stops if stop is self.has_nothing_left)

    def is_parked(self, now: datetime) -> bool:
        """Pending, and not due yet."""
        return self.status is Status.PENDING and self.due is not None and self.due > now

    @property
    def is_failure(self) -> bool:
        """Failed, and not handed over."""
        return self.status is Status.FAILED and self.due is None


@dataclass(frozen=True)
class Transition:
    """From which rows it may be made, what must not have changed since, and what it leads to."""

    is_legal: Callable[[Row, datetime], bool]
    guard: tuple[str, ...]
    result: Callable[[Row, str, datetime], Row]

    def is_accepted(self, stored: Row, known: Row) -> bool:
        """Whether the stored row is still as the worker knows it, as far as that matters."""
        return all(getattr(stored, name) == getattr(known, name) for name in self.guard)

    def after(self, row: Row, now: datetime, owner: str) -> Row:
        """The row that was written at `now`; `owner` is who claims it, if it is a claim."""
        written = self.result(row, owner, now)
        return replace(written, modified=max(now, row.modified + TICK))


def _is_running(row: Row, _: datetime) -> bool:
    return row.status is Status.IN_PROGRESS


def _left_behind(row: Row) -> Row:
    """The row without its interruptions at a batch that is done."""
    return replace(row, stops=row.stops_here)


def _written(row: Row, _owner: str, _now: datetime) -> Row:
    """A saga begins its steps first; a rollback undoes them."""
    if row.is_rollback and not row.compensations:
        return row
    if row.is_rollback:
        return _left_behind(replace(row, deleted=row.deleted + 1, compensations=(True,)))
    if row.is_saga and not row.begun:
        return replace(row, begun=(STEP,), compensations=(False,))
    if row.can_roll_back:
        return replace(row, begun=(STEP, POINT), compensations=())
    return replace(row, deleted=row.deleted + 1)


def _rolled_back(row: Row, _owner: str, _now: datetime) -> Row:
    return replace(
        row,
        status=Status.PENDING,
        attempt=0,
        due=row.created,
        deleted=0,
        silences=0,
        stops=(),
        mark="turned back",
        is_rollback=True,
    )


def _claimed(row: Row, owner: str, _: datetime) -> Row:
    attempt = row.attempt + 1
    return replace(row, status=Status.IN_PROGRESS, attempt=attempt, owner=owner, due=None)


def _counted(row: Row) -> Row:
    silent = row.status is Status.IN_PROGRESS
    return replace(row, silences=row.silences + silent, stops=row.stops_here, mark="")


def _handed_over(row: Row, _owner: str, _now: datetime) -> Row:
    """The third time at the same batch it fails instead."""
    if len(row.stops_here) >= SUSPECT:
        return replace(row, status=Status.FAILED)
    return replace(
        row,
        status=Status.FAILED,
        attempt=row.attempt - 1,
        due=row.created,
        stops=(*row.stops_here, row.has_nothing_left),
    )


def _resumed(row: Row, _owner: str, _now: datetime) -> Row:
    return replace(_counted(row), status=Status.PENDING, due=row.created)


def _retried(row: Row, owner: str, now: datetime) -> Row:
    spent = row.status in (Status.EXHAUSTED, Status.COMPENSATED) or row.attempt >= MAX_ATTEMPTS
    if row.status is Status.PENDING and not spent:  # parked: no attempt has ended
        return replace(row, due=row.created)
    sent = replace(_resumed(row, owner, now), attempt=0 if spent else row.attempt)
    sent = replace(sent, silences=0, stops=(), mark="retried")
    if row.status is not Status.COMPENSATED:
        return sent
    return replace(sent, deleted=0, begun=(), compensations=(), is_rollback=False)


def _mark(job: Job) -> str:
    ends = [past.reason for past in job.past_attempts if past.reason != "interrupted"]
    return ends[-1] if ends and ends[-1] in ANEW else ""


def _latest(job: Job) -> list[PastAttempt]:
    """Its past attempts since the last mark."""
    latest: list[PastAttempt] = []
    for past in job.past_attempts:
        latest = [] if past.reason in ANEW else [*latest, past]
    return latest


_HOLDER = ("status", "attempt", "owner")
_OUTSIDER = (*_HOLDER, "modified")

TRANSITIONS = {
    "claim": Transition(
        lambda row, now: row.due is not None and row.due <= now, _OUTSIDER, _claimed
    ),
    "checkpoint": Transition(_is_running, _OUTSIDER, _written),
    "complete": Transition(
        lambda row, now: _is_running(row, now) and not row.is_rollback,
        (*_HOLDER, "placed_at"),
        lambda row, _, __: replace(row, status=Status.COMPLETE),
    ),
    "compensate": Transition(
        lambda row, now: _is_running(row, now) and row.is_rollback,
        _HOLDER,
        lambda row, _, __: replace(row, status=Status.COMPENSATED),
    ),
    "roll_back": Transition(
        lambda row, now: _is_running(row, now) and row.can_roll_back, _HOLDER, _rolled_back
    ),
    "roll_back_spent": Transition(
        lambda row, now: (
            row.is_abandoned(now) and row.attempt >= MAX_ATTEMPTS and row.can_roll_back
        ),
        _OUTSIDER,
        _rolled_back,
    ),
    "fail": Transition(_is_running, _HOLDER, lambda row, _, __: replace(row, status=Status.FAILED)),
    "hand_over": Transition(_is_running, _HOLDER, _handed_over),
    "park": Transition(
        lambda row, now: _is_running(row, now) and row.attempt < MAX_ATTEMPTS,
        _HOLDER,
        lambda row, _, now: replace(_left_behind(row), status=Status.PENDING, due=now + PARKED),
    ),
    "resume": Transition(
        lambda row, now: row.is_abandoned(now) and row.attempt < MAX_ATTEMPTS, _OUTSIDER, _resumed
    ),
    "exhaust": Transition(
        lambda row, now: (
            row.is_abandoned(now) and row.attempt >= MAX_ATTEMPTS and not row.can_roll_back
        ),
        _OUTSIDER,
        lambda row, _, __: replace(_counted(row), status=Status.EXHAUSTED),
    ),
    "retry": Transition(
        lambda row, now: (
            row.is_failure
            or row.is_silent(now)
            or row.is_parked(now)
            or row.status in (Status.EXHAUSTED, Status.COMPENSATED)
        ),
        _OUTSIDER,
        _retried,
    ),
}


@dataclass
class Model:
    """The jobs of one service, by id."""

    rows: dict[str, Row] = field(default_factory=dict)

    def record(self, job: Job) -> tuple[str, str]:
        """What becomes of a request, and the job by which it is covered."""
        for job_id, row in self.rows.items():
            if row.bot == job.bot_id and job.event_id in row.events:
                return "new" if job_id == job.id else "known", job_id
        for job_id, row in self.rows.items():
            if row.bot == job.bot_id and row.is_live:
                placed_at = max(row.placed_at + TICK, job.placed_at)
                events = (*row.events, job.event_id)
                self.rows[job_id] = replace(row, placed_at=placed_at, events=events)
                return "joined", job_id
        self.rows[job.id] = Row.of(job)
        return "new", job.id

    def apply(self, name: str, before: Job, after: Job) -> bool:
        """Whether the write counts; what has joined is nothing that a worker writes."""
        stored = self.rows[after.id]
        target = replace(Row.of(after), placed_at=stored.placed_at, events=stored.events)
        if stored != target and not TRANSITIONS[name].is_accepted(stored, Row.of(before)):
            return False
        if stored == target:
            return True
        others = (row for job_id, row in self.rows.items() if job_id != after.id)
        if target.is_live and any(row.bot == target.bot and row.is_live for row in others):
            return False
        assert stored.is_live or name == "retry", "an end is final, but for an operator"
        self.rows[after.id] = target
        return True

    def check(self) -> None:
        """What holds whatever has happened."""
        rows = list(self.rows.values())
        assert _are_unique(row.bot for row in rows if row.is_live), "two live jobs of one bot"
        assert _are_unique(event for row in rows for event in row.events), "covered twice"
        assert all(row.attempt >= 0 for row in rows)
        assert all(row.due is None or row.status in ("pending", "failed") for row in rows)
        assert all(row.due for row in rows if row.status == "pending"), "pending for ever"

    def queues(self) -> dict[str, set[str]]:
        """Which jobs each queue of workers holds: "" the usual one, "/suspect" the other."""
        queues: dict[str, set[str]] = {"": set(), "/suspect": set()}
        for job_id, row in self.rows.items():
            if row.due is not None:
                is_suspect = row.silences + len(row.stops) >= SUSPECT
                queues["/suspect" if is_suspect else ""].add(job_id)
        return queues


def _are_unique(names: Iterable[str]) -> bool:
    listed = list(names)
    return len(listed) == len(set(listed))
