"""Every move of every actor: from one world to each that may follow.

A paused actor is one that makes no move while others do: a run keeps its outdated view of the job.
An outsider (a worker that claims, a sweep, an operator) acts on what is stored, or on an old read.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Final, NamedTuple, TypeVar

from deletion.job import Change, Failure, Job, LeasePolicy, Status, StepProgress, StepStatus, later
from tests.model import world as model
from tests.model.world import (
    BEFORE,
    BOT,
    COARSE,
    PLACED_AT,
    POINT,
    RELEASES,
    SERVICE,
    STEP,
    Accepted,
    Book,
    Run,
    World,
    Write,
    accepted,
    at,
    failure,
    matches,
)

T = TypeVar("T")
WORKERS: Final = 2
DONE: Final = StepProgress(STEP, StepStatus.COMPLETE)
FAULTS: Final = frozenset(
    {
        *("fail", "failing", "refuse", "terminate", "park", "kill"),
        *("retry", "late", "old read", "duplicate"),
    }
)


@dataclass(frozen=True, slots=True)
class Bounds:
    """What may happen in one life of a job: at most `faults` faults in all, each one of `kinds`.

    `requests` is the number of requests for the bot. A `writer` writes new data while the bot is
    deleted. `ahead` is how far the clock of a sweep may be ahead. `room` is the number of requests
    that one job takes. `saga` is the number of steps before the point of no return; 0 is no saga.
    """

    faults: int
    kinds: frozenset[str] = FAULTS
    requests: int = 1
    writer: bool = False
    policy: LeasePolicy = COARSE
    ahead: timedelta = timedelta(0)
    room: int = 3
    saga: int = 0


class Move(NamedTuple):
    """What happens, the world after it, and the write that the store accepted, if any."""

    label: str
    world: World
    accepted: Accepted | None = None


class Moves:
    """The moves within `bounds`. Jobs and changes are kept in `book`."""

    def __init__(self, bounds: Bounds, book: Book | None = None) -> None:
        self.bounds, self.policy = bounds, bounds.policy
        self.book = book or Book()

    def after(self, world: World) -> Iterator[Move]:
        """Every move from `world`."""
        yield from self._environment(world)
        yield from self._outsiders(world)
        for run in world.runs:
            others = without(world.runs, run)
            yield from self._run(world._replace(runs=others), run)
        yield from self._arrivals(world)

    # The environment: time, requests, and a writer of the bot's data.

    def _environment(self, world: World) -> Iterator[Move]:
        if world.jobs:
            yield Move("a tick passes", world._replace(tick=world.tick + 1))
        if self.bounds.writer and not world.fresh:
            yield Move("data is written", world._replace(fresh=True))
        for request in range(self.bounds.requests):
            if request not in world.received:
                yield from self._receive(world, request)
        if spent := self._fault(world, "duplicate"):
            for request in world.received:
                yield from self._redeliver(spent, request)
        if world.old is None and (spent := self._fault(world, "old read")) and world.live:
            read = spent._replace(old=world.live, read_at=world.tick)
            yield Move("somebody reads the job, to act later", read)

    def _receive(self, world: World, request: int) -> Iterator[Move]:
        received = world._replace(received=tuple(sorted((*world.received, request))))
        for recorded in self._record(received, request):
            yield Move(f"request {request} is received", recorded)

    def _redeliver(self, world: World, request: int) -> Iterator[Move]:
        for recorded in self._record(world, request):
            if recorded.jobs != world.jobs:
                yield Move(f"request {request} is redelivered", recorded)

    def _record(self, world: World, request: int) -> Iterator[World]:
        """As `deletion.ports.JobStore.record`; a join may be based on an old read."""
        if any(covers(job, event(request)) for job in world.jobs):
            yield world
            return
        live = world.live
        if live is None:
            placed = world._replace(jobs=(*world.jobs, self._place(world, request)))
            yield covering(placed)
        elif len(live.event_ids) >= self.bounds.room:
            yield world._replace(letters=(*world.letters, request))
        else:
            yield self._join(world, live, live, request)
        if (old := world.old) and matches(world.job(old.id), old, model.JOIN_GUARD):
            yield self._join(world, world.job(old.id), old, request)

    def _place(self, world: World, request: int) -> Job:
        names = (*BEFORE[: self.bounds.saga], POINT) if self.bounds.saga else (STEP,)
        job = Job.placed(
            id=f"{len(world.jobs) + 1:024x}",
            service=SERVICE,
            bot_id=BOT,
            event_id=event(request),
            placed_at=PLACED_AT[request],
            steps=tuple(map(StepProgress, names)),
            now=at(world.tick),
            point_of_no_return=POINT if self.bounds.saga else None,
        )
        return self.book.job(job)

    def _join(self, world: World, stored: Job, read: Job, request: int) -> World:
        placed_at = later(read.placed_at, PLACED_AT[request])
        event_ids = (*stored.event_ids, event(request))
        job = replace(stored, event_ids=event_ids, placed_at=placed_at)
        return covering(world.with_job(self.book.job(job)))

    # Outsiders: workers that claim, sweeps, operators.

    def _outsiders(self, world: World) -> Iterator[Move]:
        if live := world.live:
            yield from self._act(world, live, (world.tick,), "")
        for job in world.jobs:
            if job.status is Status.COMPENSATED:
                yield from self._retry(world, job, world.tick, " the compensated job")
        if old := world.old:
            used = world._replace(old=None, read_at=0)
            clocks = tuple({world.tick, world.read_at})
            yield from self._act(used, old, clocks, ", on an old read")

    def _act(self, world: World, read: Job, ticks: Iterable[int], how: str) -> Iterator[Move]:
        for tick in ticks:
            late = "" if tick == world.tick else ", computed long ago"
            yield from self._claim(world, read, at(tick), how + late)
            yield from self._sweep(world, read, at(tick), how + late)
            if self.bounds.ahead:
                clock = at(tick) + self.bounds.ahead
                yield from self._sweep(world, read, clock, ", its clock ahead" + how + late)
            yield from self._retry(world, read, tick, how + late)

    def _retry(self, world: World, read: Job, tick: int, how: str) -> Iterator[Move]:
        if spent := self._fault(world, "retry"):
            retry = partial(Job.retry, now=at(tick), policy=self.policy)
            write = self._write("retry", read, retry, tick)
            yield from self._apply(spent, write, "an operator retries" + how)

    def _claim(self, world: World, read: Job, now: datetime, how: str) -> Iterator[Move]:
        if len(world.runs) >= WORKERS:
            return
        by = f"worker/{world.claims + 1:02}"
        write = self._write("claim", read, lambda job: job.claim(by, now), by, now)
        for move in self._apply(world, write, f"{by} claims" + how):
            assert write
            runs = (*world.runs, Run(write.change.after))
            yield move._replace(world=move.world._replace(runs=runs, claims=world.claims + 1))

    def _sweep(self, world: World, read: Job, now: datetime, how: str) -> Iterator[Move]:
        change = self.book.change(read, lambda job: job.sweep(now, self.policy), "sweep", now)
        if change is None:
            return
        if change.after.status is Status.EXHAUSTED:
            rule, verb = "exhaust", "exhausts"
        elif change.after.rollback_cause and not read.rollback_cause:
            rule, verb = "roll_back_spent", "rolls back"
        else:
            rule, verb = "resume", "resumes"
        yield from self._apply(world, Write(rule, change), f"a sweep {verb}" + how)

    def _apply(self, world: World, write: Write | None, label: str) -> Iterator[Move]:
        """Send an outsider's write to the store. A refused one changes nothing."""
        if write is None:
            return
        stored = world.job(write.change.before.id)
        job = self.book.stored(stored, write.change)
        if job and (stored.live or not job.live or world.live is None or not ONE_LIVE_JOB):
            yield Move(
                label,
                accepted(world, write, stored, job, self.policy.max_attempts),
                Accepted(write, stored),
            )

    # A run. `world` is without it; a move that it survives puts it back. Of a run that has lost its
    # job only the next write matters, which must be refused.

    def _run(self, world: World, run: Run) -> Iterator[Move]:
        name, holds = run.view.claimed_by, run.view.claimed_by == world.holder
        if holds and (spent := self._fault(world, "kill")):
            yield Move(f"{name} is killed", spent)
        if spent := self._fault(world, "terminate"):
            yield from self._terminate(spent, run)
        if run.waiting:
            yield from self._repeat(world, run)
            return
        yield from (self._advance_saga if self.bounds.saga else self._work)(world, run)
        yield from self._checkpoint(world, run)
        if spent := self._fault(world, "fail"):
            yield from self._send(spent, run, self._fail(spent, run), f"{name} fails")
        if self.bounds.saga and (spent := self._fault(world, "refuse")):
            yield from self._fail_for_good(spent, run)
        can_fail = holds and not run.looked and not run.failing
        if can_fail and (spent := self._fault(world, "failing")):
            yield Move(f"{name} has an error and retries it", with_run(spent, run, failing=True))
        if spent := self._fault(world, "park"):
            yield from self._park(spent, run)

    def _work(self, world: World, run: Run) -> Iterator[Move]:
        """Delete everything and read back; once nothing is left, complete.

        A run that has been silent for too long deletes nothing before a checkpoint was accepted.
        """
        name, now = run.view.claimed_by, at(world.tick)
        if run.looked:
            write = self._write("complete", run.view, lambda job: job.complete(now), now)
            yield from self._send(world, run, write, f"{name} completes")
        elif name == world.holder and not run.view.is_stale(now, self.policy):
            deleted = world._replace(covered=False, fresh=False)
            gone = with_run(deleted, run, looked=True, failing=False)
            yield Move(f"{name} deletes and reads back nothing", gone)

    def _advance_saga(self, world: World, run: Run) -> Iterator[Move]:
        """Begin, call and checkpoint the next step; in a rollback, undo and checkpoint it."""
        name, now, step = run.view.claimed_by, at(world.tick), next_step(run.view)
        if step is None and run.view.rollback_cause:
            write = self._write("compensate", run.view, lambda job: job.compensate(now), now)
            yield from self._send(world, run, write, f"{name} compensates")
        elif step is None:
            yield from self._work(world, run)
        elif run.called:
            done = replace(step, status=StepStatus.COMPLETE)
            write = self._write(
                "checkpoint",
                run.view,
                lambda job: job.checkpoint(now, done),
                "done",
                step.name,
                now,
            )
            has_done = run._replace(called=False)
            yield from self._send(world, has_done, write, f"{name} has done {step.name}")
        elif step.status is StepStatus.PENDING and not run.view.rollback_cause and BEGINS_FIRST:
            yield from self._begin(world, run, step)
        elif name == world.holder and not run.view.is_stale(now, self.policy):
            yield self._call(world, run, step.name)

    def _begin(self, world: World, run: Run, step: StepProgress) -> Iterator[Move]:
        """As `begin` in deletion/runner/steps.py."""
        now, begun = at(world.tick), step.began(run.view.placed_at)
        begin = partial(Job.begin, now=now, step=begun, is_compensated=step.name != POINT)
        write = self._write("checkpoint", run.view, begin, "begin", step.name, now)
        yield from self._send(world, run, write, f"{run.view.claimed_by} begins {step.name}")

    def _call(self, world: World, run: Run, step: str) -> Move:
        called = tuple(other for other in world.called if other != step)
        name = run.view.claimed_by
        if run.view.rollback_cause:
            undone = (*(other for other in world.undone if other != step), step)
            without_it = world._replace(called=called, undone=undone)
            return Move(f"{name} undoes {step}", with_run(without_it, run, called=True))
        with_it = world._replace(called=(*called, step))
        return Move(f"{name} calls {step}", with_run(with_it, run, called=True))

    def _fail_for_good(self, world: World, run: Run) -> Iterator[Move]:
        """Fail with an error that will not pass: as `Endings.fail`."""
        tick, write = world.tick, self._fail(world, run)
        if run.view.may_roll_back:
            roll_back = partial(Job.roll_back, failure=failure(tick))
            write = self._write("roll_back", run.view, roll_back, tick)
            write = write and write._replace(spent="error")
        yield from self._send(world, run, write, f"{run.view.claimed_by} is refused for good")

    def _checkpoint(self, world: World, run: Run) -> Iterator[Move]:
        """Write a heartbeat, or the checkpoint of what was deleted."""
        now = at(world.tick)
        steps = (DONE,) if run.looked and not self.bounds.saga else ()
        if run.view.last_modified_at >= now and (not steps or run.view.steps == steps):
            return
        name = run.view.claimed_by
        write = self._write(
            "checkpoint", run.view, lambda job: job.checkpoint(now, *steps), now, run.looked
        )
        yield from self._send(world, run, write, f"{name} writes a checkpoint")

    def _park(self, world: World, run: Run) -> Iterator[Move]:
        now, until = at(world.tick), at(world.tick + 1)
        for has_called in (False, True) if not run.looked else (True,):
            parked = Failure("Parked", "down", now)
            park = partial(
                Job.park, failure=parked, until=until, policy=self.policy, has_called=has_called
            )
            if not (write := self._write("park", run.view, park, now, has_called)):
                continue  # the rules forbid it: the run fails instead, which is a move of its own
            how = "after a call" if has_called else "before its first call"
            cost = write._replace(spent="call" if has_called else "")
            yield from self._send(world, run, cost, f"{run.view.claimed_by} parks {how}")

    def _terminate(self, world: World, run: Run) -> Iterator[Move]:
        """SIGTERM. A write that was sent stays under way."""
        name, now = run.view.claimed_by, failure(world.tick)
        if run.waiting and waits_for(world, run).rule in RELEASES:
            yield Move(f"{name} is terminated while it ends", world)
            return
        run = run._replace(waiting=False)
        if run.failing and SPENDS_INTERRUPTED_ERRORS:
            write = self._fail(world, run)
        else:
            write = self._write("hand_over", run.view, lambda job: job.hand_over(now), world.tick)
            fails = write and write.change.after.due is None
            write = write and write._replace(spent="error" if run.failing or fails else "")
        yield from self._send(world, run, write, f"{name} is terminated")

    def _fail(self, world: World, run: Run) -> Write | None:
        tick = world.tick
        write = self._write("fail", run.view, lambda job: job.fail(failure(tick)), tick)
        return write and write._replace(spent="error")

    # Writes of a run: answered at once, or under way for any time.

    def _send(self, world: World, run: Run, write: Write | None, label: str) -> Iterator[Move]:
        if write is None:
            return
        yield self._answer(world, run, write, label)
        holds = run.view.claimed_by == world.holder
        if holds and (spent := self._fault(world, "late")):
            late = spent._replace(flights=(*world.flights, write))
            yield Move(f"{label}, not answered yet", with_run(late, run, waiting=True))

    def _repeat(self, world: World, run: Run) -> Iterator[Move]:
        """Repeat the write that was not answered; the first one may still arrive."""
        write = waits_for(world, run)
        label = f"{run.view.claimed_by} repeats its {write.rule}"
        yield self._answer(world, run._replace(waiting=False), write, label)

    def _arrivals(self, world: World) -> Iterator[Move]:
        for write in world.flights:
            landed = world._replace(flights=without(world.flights, write))
            label = f"the {write.rule} of {write.change.before.claimed_by} arrives"
            waiting = [r for r in world.runs if r.waiting and waits_for(world, r) is write]
            for run in waiting:
                alone = landed._replace(runs=without(world.runs, run))
                yield self._answer(alone, run._replace(waiting=False), write, label)
            if not waiting:
                yield from self._apply(landed, write, label + ", of a run that is over")

    def _answer(self, world: World, run: Run, write: Write, label: str) -> Move:
        """Let the write reach the store and its answer the run."""
        stored = world.job(run.view.id)
        job = self.book.stored(stored, write.change)
        if job is None:
            return Move(f"{label}: refused", self._refuse(world, run, write, stored))
        after = accepted(world, write, stored, job, self.policy.max_attempts)
        if write.rule == "checkpoint":
            after = with_run(after, run, view=write.change.after)
        return Move(label, after, Accepted(write, stored))

    def _refuse(self, world: World, run: Run, write: Write, stored: Job) -> World:
        """As `Lease.complete`: after a join the run looks again. Otherwise it is over."""
        joined = stored.claim_key == run.view.claim_key and stored.placed_at != run.view.placed_at
        if write.rule != "complete" or stored.status is not run.view.status or not joined:
            return world
        view = replace(run.view, placed_at=stored.placed_at, event_ids=stored.event_ids)
        return with_run(world, run, view=self.book.job(view), looked=False)

    def _write(
        self, rule: str, job: Job, make: Callable[[Job], Change], *what: object
    ) -> Write | None:
        change = self.book.change(job, make, rule, *what)
        return Write(rule, change) if change else None

    def _fault(self, world: World, kind: str) -> World | None:
        """The world with one more fault; None where the bounds allow none of this kind."""
        if kind not in self.bounds.kinds or world.faults >= self.bounds.faults:
            return None
        return world._replace(faults=world.faults + 1)


SPENDS_INTERRUPTED_ERRORS = True
"""As `interruption` in deletion/runner/endings.py: a run that is stopped while an error is being
retried ends as failed with that error."""


BEGINS_FIRST = True
"""As `begin` in deletion/runner/steps.py: a step is on record as begun before its first call."""
ONE_LIVE_JOB = True
"""As the unique index of a store: no second job of a bot becomes live."""


def next_step(job: Job) -> StepProgress | None:
    """The next step of its run: in a rollback the last one that was begun."""
    steps = reversed(job.compensations) if job.rollback_cause else iter(job.steps)
    return next((step for step in steps if step.status is not StepStatus.COMPLETE), None)


def event(request: int) -> str:
    """The id of a request's event."""
    return f"event {request}"


def covers(job: Job, event_id: str) -> bool:
    """Whether the request is the job's own, or has joined it."""
    return event_id in job.event_ids


def covering(world: World) -> World:
    """A request is received: what was written until now must be gone when its job is complete."""
    return world._replace(covered=world.covered or world.fresh, fresh=False)


def waits_for(world: World, run: Run) -> Write:
    """The last write of a run that waits for its answer."""
    return next(w for w in reversed(world.flights) if w.change.before is run.view)


def with_run(world: World, run: Run, **changes: Any) -> World:
    """`world` with `run` put back, changed."""
    return world._replace(runs=(*world.runs, run._replace(**changes)))


def without(items: tuple[T, ...], item: T) -> tuple[T, ...]:
    """All but `item`."""
    return tuple(other for other in items if other is not item)
