"""A model of the job store: the rules of docs/state_machine.md in words of its own.

It shares nothing with `deletion.job`, so that a rule that is lost there is missed here.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from deletion.job import Job, Status

MAX_ATTEMPTS = 2
STALE_AFTER = timedelta(seconds=60)
TICK = timedelta(milliseconds=1)
"""By which a request joins whose time is not newer."""
STEP = "first"


@dataclass(frozen=True)
class Row:
    """What the model knows of a job. `owner` names the claim that was the last to succeed."""

    bot: str
    event: str
    status: Status
    attempt: int
    owner: str
    placed_at: datetime
    modified: datetime
    deleted: int

    @classmethod
    def of(cls, job: Job) -> "Row":
        """What a job looks like to the model."""
        return cls(
            job.bot_id,
            job.event_id,
            job.status,
            job.attempt,
            job.claimed_by,
            job.placed_at,
            job.last_modified_at,
            job.progress(STEP).deleted,
        )

    @property
    def is_live(self) -> bool:
        """Until it is complete."""
        return self.status is not Status.COMPLETE

    def is_abandoned(self, now: datetime) -> bool:
        """Failed or stale."""
        silent = now - self.modified >= STALE_AFTER
        return self.status is Status.FAILED or (self.status is Status.IN_PROGRESS and silent)


@dataclass(frozen=True)
class Transition:
    """From which rows it may be made, what must not have changed since, and what it leads to."""

    is_legal: Callable[[Row, datetime], bool]
    guard: tuple[str, ...]
    result: Callable[[Row, str], Row]

    def is_accepted(self, stored: Row, known: Row) -> bool:
        """Whether the stored row is still as the worker knows it, as far as that matters."""
        return all(getattr(stored, name) == getattr(known, name) for name in self.guard)

    def after(self, row: Row, now: datetime, owner: str) -> Row:
        """The row that was written at `now`; `owner` is who claims it, if it is a claim."""
        return replace(self.result(row, owner), modified=now)


def _is_running(row: Row, _: datetime) -> bool:
    return row.status is Status.IN_PROGRESS


_HOLDER = ("status", "attempt", "owner")
_OUTSIDER = (*_HOLDER, "modified")

TRANSITIONS = {
    "claim": Transition(
        lambda row, now: row.is_abandoned(now) and row.attempt < MAX_ATTEMPTS,
        _OUTSIDER,
        lambda row, owner: replace(
            row, status=Status.IN_PROGRESS, attempt=row.attempt + 1, owner=owner
        ),
    ),
    "checkpoint": Transition(
        _is_running, _HOLDER, lambda row, _: replace(row, deleted=row.deleted + 1)
    ),
    "complete": Transition(
        _is_running, (*_HOLDER, "placed_at"), lambda row, _: replace(row, status=Status.COMPLETE)
    ),
    "fail": Transition(_is_running, _HOLDER, lambda row, _: replace(row, status=Status.FAILED)),
    "interrupt": Transition(
        _is_running,
        _HOLDER,
        lambda row, _: replace(row, status=Status.FAILED, attempt=row.attempt - 1),
    ),
    "exhaust": Transition(
        lambda row, now: row.is_abandoned(now) and row.attempt >= MAX_ATTEMPTS,
        _OUTSIDER,
        lambda row, _: replace(row, status=Status.EXHAUSTED),
    ),
    "reopen": Transition(
        lambda row, _: row.status is Status.EXHAUSTED,
        _OUTSIDER,
        lambda row, _: replace(row, status=Status.FAILED, attempt=0),
    ),
}


@dataclass
class Model:
    """The jobs of one service, by id."""

    rows: dict[str, Row] = field(default_factory=dict)

    def record(self, job: Job) -> tuple[str, bool]:
        """The id of the job that stands for this one, and whether it is this one."""
        for job_id, row in self.rows.items():
            if row.event == job.event_id:
                return job_id, (job_id, row.attempt, row.owner) == job.fence
        for job_id, row in self.rows.items():
            if row.bot == job.bot_id and row.is_live:
                self.rows[job_id] = replace(row, placed_at=max(row.placed_at + TICK, job.placed_at))
                return job_id, False
        self.rows[job.id] = Row.of(job)
        return job.id, True

    def apply(self, name: str, before: Job, after: Job) -> bool:
        """Whether the write counts; the latest request is nothing that a worker writes."""
        stored = self.rows[after.id]
        target = replace(Row.of(after), placed_at=stored.placed_at)
        if stored != target and not TRANSITIONS[name].is_accepted(stored, Row.of(before)):
            return False
        assert stored == target or stored.is_live, "complete is final"
        self.rows[after.id] = target
        return True

    def check(self) -> None:
        """What holds whatever has happened."""
        rows = list(self.rows.values())
        assert _are_unique(row.bot for row in rows if row.is_live), "two live jobs of one bot"
        assert _are_unique(row.event for row in rows), "two jobs of one event"
        assert all(0 <= row.attempt <= MAX_ATTEMPTS for row in rows)


def _are_unique(names: Iterable[str]) -> bool:
    listed = list(names)
    return len(listed) == len(set(listed))
