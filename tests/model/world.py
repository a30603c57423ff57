"""The state of the model, and how a change reaches the stored job.

The model does not restate the rules: every change is made by a method of `Job`, and `apply` checks
its guard as a store does. The model adds who may act when, how outdated a view of the job may be,
and ghost state: facts that no process knows, by which the invariants judge.
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
"""Stale after 3 ticks; rests of 1 tick. Both are a little less than whole ticks, because the writes
of one tick differ by milliseconds."""
COARSE: Final = LeasePolicy(timedelta(seconds=0.9), 2, rest=timedelta(seconds=0.2))
"""All waits of 1 tick: far fewer worlds, for scopes in which it makes no difference."""
PLACED_AT: Final = (START + 100 * TICK, START - 100 * TICK, START)
"""`placed_at` of the three requests, from gateways whose clocks are ahead, behind and right."""
HOLDERS: Final = frozenset(
    {"checkpoint", "complete", "compensate", "fail", "hand_over", "park", "roll_back"}
)
"""The rules that only the run of a job applies."""
RELEASES: Final = frozenset({"fail", "hand_over", "park", "roll_back"})
"""The rules by which a run gives up a job that is not finished."""
ROLLBACKS: Final = frozenset({"roll_back", "roll_back_spent"})
"""The rules by which the rollback of a saga begins."""
FINISHES: Final = frozenset({"complete", "compensate"})
"""The rules by which a run finishes a job."""

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
    """A change, its rule, and what a run that ends with it has spent: "", "error" or "call"."""

    rule: str
    change: Change
    spent: str = ""


class Accepted(NamedTuple):
    """A write that the store accepted, and the job as it was stored before."""

    write: Write
    stored: Job


class World(NamedTuple):
    """Everything that the future depends on."""

    tick: int = 0
    jobs: tuple[Job, ...] = ()
    runs: tuple[Run, ...] = ()
    flights: tuple[Write, ...] = ()
    old: Job | None = None
    """The job as an outsider read it at tick `read_at`, and will act on it."""
    read_at: int = 0
    received: tuple[int, ...] = ()
    letters: tuple[int, ...] = ()
    covered: bool = False
    """Ghost: data is left that was written before a request was received."""
    fresh: bool = True
    """Ghost: data is left that was written since."""
    holder: str = ""
    """Ghost: the claim that holds the live job, by the order of the writes alone."""
    bad_ends: int = 0
    """Ghost: runs that ended in an error or in silence since the job last got all its attempts."""
    parked: int = 0
    """Ghost: runs since then that were parked after they had called the API."""
    silences: int = 0
    """Ghost: runs that ended in silence since the last retry or rollback."""
    stops: int = 0
    """Ghost: runs in a row that were handed over before they had deleted anything."""
    called: tuple[str, ...] = ()
    """Ghost: the steps of the live job's saga that its holders have called and not undone."""
    undone: tuple[str, ...] = ()
    """Ghost: those that were undone."""
    faults: int = 0
    """Faults so far."""
    claims: int = 0
    """Claims so far; they number the names of runs."""

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
    """Keeps each job and each change once: most occur in many worlds."""

    _jobs: dict[tuple[object, ...], Job] = field(default_factory=dict)
    _changes: dict[tuple[object, ...], Change | None] = field(default_factory=dict)
    _writes: dict[tuple[object, ...], Job | None] = field(default_factory=dict)

    def job(self, job: Job) -> Job:
        """The one object for jobs that equal `job`."""
        return self._jobs.setdefault(_values(job), job)

    def change(self, job: Job, make: Callable[[Job], Change], *what: object) -> Change | None:
        """The change that `make` makes of `job`, or None where the rules forbid it.

        `what` identifies it: with the same values `make` must make the same change.
        """
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
    """The stored job after `change`, or None where the guard refuses it.

    As `deletion.ports.JobStore.apply`: only a join moves `placed_at` and `event_ids`, and a change
    that was already written is accepted again.
    """
    written = replace(change.after, placed_at=stored.placed_at, event_ids=stored.event_ids)
    if stored != written and not matches(stored, change.before, change.guard):
        return None
    return written


def _values(job: Job) -> tuple[object, ...]:
    """The job as a hashable value. No job of the model has fields of later versions."""
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
    """The steps that it has done or undone."""
    every = (*job.steps, *job.compensations)
    return tuple(step for step in every if step.status is StepStatus.COMPLETE)


def matches(stored: Job, before: Job, guard: tuple[str, ...]) -> bool:
    """Whether the stored job has the values of `before` in the guarded fields."""
    return all(getattr(stored, name) == getattr(before, name) for name in guard)


def accepted(world: World, write: Write, stored: Job, job: Job, most: int) -> World:
    """The world after an accepted write: the new job, and the ghost state that the rule implies.

    `most` is the number of attempts that a job has.
    """
    if job is stored:  # a repetition
        return world
    world = world.with_job(job)
    if write.rule == "claim":
        return world._replace(holder=job.claimed_by)
    if write.rule == "checkpoint":
        return world if done(job) == done(stored) else world._replace(stops=0)
    silent = stored.status is Status.IN_PROGRESS and write.rule not in HOLDERS
    bad_ends = world.bad_ends + (silent or write.spent == "error")
    parked = world.parked + (write.spent == "call")
    anew = write.rule == "retry" and bad_ends + parked >= most
    if anew or write.rule in FINISHES | ROLLBACKS:
        bad_ends = parked = 0
    silences, stops = world.silences + silent, world.stops
    if write.rule in FINISHES | ROLLBACKS | {"retry"}:
        silences = stops = 0
    world = world._replace(holder="", bad_ends=bad_ends, parked=parked)
    if write.rule in FINISHES:
        world = world._replace(called=(), undone=())
    stops += write.rule == "hand_over" and not write.spent
    return world._replace(silences=silences, stops=stops)
