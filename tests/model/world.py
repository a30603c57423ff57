"""The state of the model, and how a change reaches the stored job.

The rules are not written down here again: every change is made by a method of `Job`, and `stored`
honours its guard exactly as a store does. What the model adds is who may act when, how old a view
of the job may be, and ghosts: facts that no process knows, by which the invariants judge.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Final, NamedTuple

from deletion.errors import TransitionError
from deletion.job import Change, Failure, Job, LeasePolicy, Status, StepProgress, StepStatus

START: Final = datetime(2026, 1, 1, tzinfo=UTC)
TICK: Final = timedelta(seconds=1)
SERVICE, BOT, STEP = "service", "b" * 24, "step"
BEFORE, POINT = ("first", "second"), "point"
"""The steps of a saga: those that can be undone, and the point of no return."""
FINE: Final = LeasePolicy(timedelta(seconds=2.9), 2, rest=timedelta(seconds=0.9))
"""Stale after 3 ticks; rests of 1 tick. What is missing from a whole tick is room for the
milliseconds by which the writes of one tick differ."""
COARSE: Final = LeasePolicy(timedelta(seconds=0.9), 2, rest=timedelta(seconds=0.2))
"""All waits of 1 tick: where it does not count which is longer, there are far fewer worlds."""
PLACED_AT: Final = (START + 100 * TICK, START - 100 * TICK, START)
"""What the gateways wrote into the three requests: one clock is ahead, one behind, one right."""
HOLDERS: Final = frozenset(
    {"checkpoint", "complete", "compensate", "fail", "hand_over", "park", "roll_back"}
)
"""The rules that only the run of a job applies."""
ENDINGS: Final = frozenset({"fail", "hand_over", "park", "roll_back"})
ROLLBACKS: Final = frozenset({"roll_back", "roll_back_spent"})
ENDS: Final = frozenset({"complete", "compensate"})

JOIN_GUARD: tuple[str, ...] = ("live", "placed_at")
"""What a store expects of a job that a request joins: see `deletion.ports.JobStore.record`."""


class Run(NamedTuple):
    """One worker's run: its view of the job, which may be long out of date.

    `looked` says that it has deleted everything and read back nothing. `failing` says that an error
    is being retried. `waiting` says that it has sent a write of which the answer is still out.
    `called` says that the current step of a saga, or its compensation, was called and its
    checkpoint not written yet.
    """

    view: Job
    looked: bool = False
    failing: bool = False
    waiting: bool = False
    called: bool = False


class Write(NamedTuple):
    """A change by its rule, and what the run that ends by it has spent: "", "error" or "call"."""

    rule: str
    change: Change
    spent: str = ""


class Accepted(NamedTuple):
    """A write that the store accepted, and the job that it met there."""

    write: Write
    stored: Job


class World(NamedTuple):
    """Everything that the future depends on."""

    tick: int = 0
    jobs: tuple[Job, ...] = ()
    runs: tuple[Run, ...] = ()
    flights: tuple[Write, ...] = ()
    old: Job | None = None
    """What somebody outside read some time ago, at `read_at`, and will act on."""
    read_at: int = 0
    received: tuple[int, ...] = ()
    letters: tuple[int, ...] = ()
    covered: bool = False
    """Ghost: data is left that was written before a request was received."""
    fresh: bool = True
    """Ghost: data is left that was written since."""
    holder: str = ""
    """Ghost: the claim that holds the live job, by the order of the writes alone."""
    ends: int = 0
    """Ghost: runs that ended in an error or in silence since all attempts were given anew."""
    parked: int = 0
    """Ghost: runs that were parked after a call of theirs, since then."""
    silences: int = 0
    """Ghost: those of them that ended in silence, since an operator last sent the job on."""
    stops: int = 0
    """Ghost: runs in a row that were handed over before they had deleted anything."""
    called: tuple[str, ...] = ()
    """Ghost: the steps of the live job's saga that its holders have called and not undone."""
    undone: tuple[str, ...] = ()
    """Ghost: those that were undone."""
    faults: int = 0
    """Events so far of the kinds that are bounded."""
    claims: int = 0
    """Claims so far, by which each gets a name of its own."""

    @property
    def live(self) -> Job | None:
        """The job that holds the bot."""
        return next((job for job in self.jobs if job.live), None)

    def job(self, job_id: str) -> Job:
        """The stored job of that id."""
        return next(job for job in self.jobs if job.id == job_id)

    def with_job(self, job: Job) -> "World":
        """The same with `job` stored in its new form."""
        return self._replace(jobs=tuple(job if job.id == old.id else old for old in self.jobs))


def at(tick: int) -> datetime:
    """The time of a tick."""
    return START + tick * TICK


def failure(tick: int) -> Failure:
    """Why a run ends."""
    return Failure("Error", "", at(tick))


@dataclass
class Book:
    """Jobs and changes, each kept once: most are met again in many worlds."""

    _jobs: dict[tuple[object, ...], Job] = field(default_factory=dict)
    _changes: dict[tuple[object, ...], Change | None] = field(default_factory=dict)
    _writes: dict[tuple[object, ...], Job | None] = field(default_factory=dict)

    def job(self, job: Job) -> Job:
        """The one object for jobs that equal `job`."""
        return self._jobs.setdefault(_values(job), job)

    def change(self, job: Job, make: Callable[[Job], Change], *what: object) -> Change | None:
        """What `make` makes of `job`, by `what` alone; None where the rules forbid it."""
        key = (id(job), *what)
        if key not in self._changes:
            self._changes[key] = self._made(job, make)
        return self._changes[key]

    def _made(self, job: Job, make: Callable[[Job], Change]) -> Change | None:
        try:
            change = make(job)
        except TransitionError:
            return None
        return replace(change, before=job, after=self.job(change.after))

    def stored(self, stored: Job, change: Change) -> Job | None:
        """See `apply`."""
        key = (id(stored), id(change.before), id(change.after), change.guard)
        if key not in self._writes:
            written = apply(stored, change)
            self._writes[key] = written and self.job(written)
        return self._writes[key]


def apply(stored: Job, change: Change) -> Job | None:
    """The job as a store has it after `change`; None where the guard refuses it.

    As `deletion.ports.JobStore.apply`: only a join moves `placed_at` and `event_ids`, and a change
    that stands there already is accepted once more.
    """
    written = replace(change.after, placed_at=stored.placed_at, event_ids=stored.event_ids)
    if stored != written and not matches(stored, change.before, change.guard):
        return None
    return written


def _values(job: Job) -> tuple[object, ...]:
    """What tells a job from others, hashable: nothing in the model has fields of later versions."""
    steps = tuple((step.name, step.status, step.placed_at) for step in job.steps)
    past = tuple((p.attempt, p.claimed_by, p.step, p.at, p.reason) for p in job.past_attempts)
    end = job.failure and (job.failure.type, job.failure.at, job.failure.interrupted)
    compensations = tuple((step.name, step.status, step.placed_at) for step in job.compensations)
    rollback = job.rollback_cause and job.rollback_cause.at
    plain = replace(
        job, steps=(), past_attempts=(), failure=None, compensations=(), rollback_cause=None
    )
    return plain, steps, past, end, compensations, rollback


def done(job: Job) -> tuple[StepProgress, ...]:
    """What it has done or undone."""
    every = (*job.steps, *job.compensations)
    return tuple(step for step in every if step.status is StepStatus.COMPLETE)


def matches(stored: Job, before: Job, guard: tuple[str, ...]) -> bool:
    """The guard holds."""
    return all(getattr(stored, name) == getattr(before, name) for name in guard)


def accepted(world: World, write: Write, stored: Job, job: Job, most: int) -> World:
    """The world after an accepted write: the job, and the ghosts, from what the rule means.

    `most` is how many attempts a job has.
    """
    if job is stored:  # a repetition
        return world
    world = world.with_job(job)
    if write.rule == "claim":
        return world._replace(holder=job.claimed_by)
    if write.rule == "checkpoint":
        return world if done(job) == done(stored) else world._replace(stops=0)
    silent = stored.status is Status.IN_PROGRESS and write.rule not in HOLDERS
    ends = world.ends + (silent or write.spent == "error")
    parked = world.parked + (write.spent == "call")
    anew = write.rule == "retry" and ends + parked >= most
    if anew or write.rule in ENDS | ROLLBACKS:
        ends = parked = 0
    silences, stops = world.silences + silent, world.stops
    if write.rule in ENDS | ROLLBACKS | {"retry"}:
        silences = stops = 0
    if write.rule in ENDS:
        world = world._replace(called=(), undone=())
    stops += write.rule == "hand_over" and not write.spent
    return world._replace(holder="", ends=ends, parked=parked, silences=silences, stops=stops)
