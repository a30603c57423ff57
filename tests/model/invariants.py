"""What must hold in every world and of every accepted write.

Each function yields a line for each violation. They judge by the ghost state of the world and by
the words of the design, never by the guards of the code: a missing guard must be seen here.
"""

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta

from deletion.job import RULES, Job, LeasePolicy, Status, StepStatus, suspect_queue
from tests.model.canonical import Key, known
from tests.model.moves import Move, covers, event
from tests.model.world import BEFORE, HOLDERS, POINT, SERVICE, Accepted, World, at, matches

FAIR_STEPS = 40
"""The most claims, sweeps and ticks in which a healthy installation finishes any job."""


class Invariants:
    """All of them. What depends on one job alone is cached."""

    def __init__(self, policy: LeasePolicy) -> None:
        self._policy = policy
        self._fates: dict[Key, str] = {}

    def broken(self, before: World, move: Move) -> Iterator[str]:
        """The invariants that `move` breaks, a line each."""
        world = move.world
        if world.jobs != before.jobs:
            if move.accepted:
                yield from of_write(before, move.accepted, self._policy)
            yield from of_requests(world)
        live = world.live
        if live and live.point_of_no_return:
            yield from of_calls(before, world)
            yield from of_saga(world, live)
        if live and live not in before.jobs:
            yield from of_job(world, live, self._policy.max_attempts)
            yield from self._of_fate(live, world.tick)
        if live:
            yield from of_holders(world, live)
        elif world.covered and not any(job.status is Status.COMPENSATED for job in world.jobs):
            yield "complete: data is left that was written before a covered request was received"

    def _of_fate(self, job: Job, tick: int) -> Iterator[str]:
        key = (known(job), job.last_modified_at - at(tick), job.due and job.due - at(tick))
        if key not in self._fates:
            self._fates[key] = fate(job, tick, self._policy)
        if said := self._fates[key]:
            yield said


def of_write(before: World, accepted: Accepted, policy: LeasePolicy) -> Iterator[str]:
    """A run writes only while it holds the job, an outsider only to the job as it has read it."""
    (rule, change, _), stored = accepted
    read = change.before
    if rule in HOLDERS:
        if before.holder != read.claimed_by or stored.claimed_by != read.claimed_by:
            yield f"fence: a write of {read.claimed_by}, which does not hold the job, counts"
        if rule in {"complete", "compensate"} and stored.status is Status.IN_PROGRESS:
            yield from of_end(before, accepted)
        return
    if not is_same(read, stored):
        yield f"lost update: {rule} overwrites what was written since it was read"
    if not is_time(rule, stored, before, policy):
        yield f"too early: {rule} of a job whose time has not come"


def of_end(before: World, accepted: Accepted) -> Iterator[str]:
    """A complete saga has done every step and undone none; a compensated one has undone all."""
    (rule, change, _), stored = accepted
    if rule == "complete" and before.covered and stored.placed_at == change.before.placed_at:
        yield "complete: data is left that was written before a covered request was received"
    if not stored.point_of_no_return:
        return
    way = change.after.steps if rule == "complete" else change.after.compensations
    if any(step.status is not StepStatus.COMPLETE for step in way):
        yield f"{rule}: its record says that something is left to do"
    names = {step.name for step in way}
    if rule == "complete" and (before.undone or names != set(before.called)):
        yield f"complete: {before.called} were called and {before.undone} undone"
    if rule == "compensate" and before.called:
        yield f"compensate: {before.called} were called and not undone"


def of_calls(before: World, world: World) -> Iterator[str]:
    """Steps are undone in reverse, and none after the point of no return was called."""
    if world.undone and POINT in world.called:
        yield f"undone after the point of no return: {world.undone}"
    for step in set(world.undone) - set(before.undone):
        later = BEFORE[BEFORE.index(step) + 1 :]
        if left := set(later) & set(world.called):
            yield f"out of order: {step} was undone before {left}"
    if set(world.called) & set(world.undone) - set(before.called):
        yield f"called once more after it was undone: {world.called}"


def of_saga(world: World, job: Job) -> Iterator[str]:
    """The record always says what is left to undo. A job that can still be rolled back has not
    called the point of no return.
    """
    begun = {step.name for step in job.steps if step.placed_at is not None}
    if POINT in begun and not job.rollback_cause:
        return
    if POINT in world.called:
        yield "too late: it can still be rolled back, and has called the point of no return"
    left = {step.name for step in job.compensations if step.status is not StepStatus.COMPLETE}
    if unknown := set(world.called) - left - {POINT}:
        yield f"not recorded: {unknown} were called, and the record does not say so"
    if job.status is Status.EXHAUSTED and not job.rollback_cause:
        yield "exhausted: it could have been rolled back"


def is_same(read: Job, stored: Job) -> bool:
    """Whether nothing was written since, apart from joins."""
    joined = replace(read, placed_at=stored.placed_at, event_ids=stored.event_ids)
    return read is stored or joined == stored


def is_time(rule: str, stored: Job, before: World, policy: LeasePolicy) -> bool:
    """Whether an outsider may move the job now, by the true time.

    A sweep's clock may be ahead by a third of the stale threshold, so it may take a job from a run
    that has been silent for two thirds of it, but from no other.
    """
    now, off = at(before.tick), policy.stale_after / 3
    silent = now - stored.last_modified_at
    if rule == "claim":
        interrupted = stored.failure is not None and stored.failure.interrupted
        claimable = stored.status is Status.PENDING or (
            stored.status is Status.FAILED and interrupted
        )
        return claimable and stored.due is not None and stored.due <= now
    if rule == "retry":
        stale = stored.status is Status.IN_PROGRESS and silent >= policy.stale_after - off
        ended = {Status.FAILED, Status.EXHAUSTED, Status.COMPENSATED}
        parked = stored.status is Status.PENDING and stored.due is not None and stored.due > now
        return stale or parked or stored.status in ended
    ends = stored.attempt if stored.status is Status.FAILED else before.silences
    rest = policy.rest * 4 ** (ends - 1) if ends else timedelta(0)
    if stored.attempt >= policy.max_attempts:
        rest = min(rest, policy.rest)
    if stored.status is Status.IN_PROGRESS:
        rest = max(rest, policy.stale_after)
    return stored.status in {Status.FAILED, Status.IN_PROGRESS} and silent >= rest - off


def of_requests(world: World) -> Iterator[str]:
    """Each received request is covered by one job, or visible as a dead letter."""
    for request in world.received:
        covering = sum(covers(job, event(request)) for job in world.jobs)
        if covering > 1:
            yield f"covered twice: request {request} has {covering} jobs"
        if not covering and request not in world.letters:
            yield f"lost: request {request} is covered by nothing"
    if sum(job.live for job in world.jobs) > 1:
        yield "two live jobs of one bot"


def of_job(world: World, job: Job, most: int) -> Iterator[str]:
    """A job is in a queue if and only if it may be claimed; `attempt` counts what was spent."""
    if job.status is Status.COMPENSATED:
        yield "live: a compensated job holds its bot, and nobody moves it"
        return
    interrupted = job.status is Status.FAILED and job.failure and job.failure.interrupted
    claimable = job.status is Status.PENDING or bool(interrupted)
    if claimable != (job.queue in {SERVICE, suspect_queue(SERVICE)}):
        yield f"queue: a job that is {job.status} is in queue {job.queue}"
    running = job.status is Status.IN_PROGRESS
    if job.attempt != world.bad_ends + world.parked + running:
        yield f"attempts: {job.attempt} counted, {world.bad_ends} + {world.parked} spent"
    if world.stops > 2:
        yield f"immortal: handed over {world.stops} times at the same batch"
    if running and world.bad_ends >= most:
        yield f"immortal: claimed once more after {world.bad_ends} bad ends"
    if job.status is Status.EXHAUSTED and world.bad_ends + world.parked < most:
        yield f"exhausted too soon: after {world.bad_ends} bad ends"


def of_holders(world: World, job: Job) -> Iterator[str]:
    """At most one run holds the job: the next write of any other would be refused."""
    guard = RULES["checkpoint"].guard
    holding = [
        run.view.claimed_by
        for run in world.runs
        if run.view.id == job.id
        and run.view.status is Status.IN_PROGRESS
        and matches(job, run.view, guard)
    ]
    if len(holding) > 1:
        yield f"two holders: {' and '.join(holding)}"


def fate(job: Job, tick: int, policy: LeasePolicy) -> str:
    """A line if a healthy worker, sweeps and time bring the job to no end; otherwise ''."""
    for _ in range(FAIR_STEPS):
        if job.status in {Status.COMPLETE, Status.COMPENSATED, Status.EXHAUSTED}:
            return ""
        now = at(tick)
        if job.queue in {SERVICE, suspect_queue(SERVICE)} and job.is_due(now):
            claimed = job.claim("fair", now).after
            job = (claimed.compensate if claimed.rollback_cause else claimed.complete)(now).after
        elif job.needs_sweep(now, policy):
            job = job.sweep(now, policy).after
        else:
            tick += 1
    return f"for ever: a job that is {job.status} comes to no end"
