"""One run of a schedule: traffic, faults, sweeps, and a look at what became of it all."""

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import structlog

from consumers import worker
from deletion.job import Status
from tests.simulation import loop
from tests.simulation.broker import PULL_WAIT
from tests.simulation.chaos import drawn
from tests.simulation.fleet import Fleet
from tests.simulation.invariants import unsettled, violations
from tests.simulation.people import People
from tests.simulation.process import ON_THE_WIRE
from tests.simulation.schedule import Await, Decide, Decision, Schedule, Scripted
from tests.simulation.world import World

LOOK_EVERY = 5.0
"""Seconds."""
SETTLED_WITHIN = 2 * 3600.0
"""Seconds after which whatever is not settled never will be."""
MOST_AWAITS = 10_000
"""A run that makes more of them, polls aside, goes round in circles; most make some hundreds."""
SELDOM = 30.0
"""Seconds between two looks of an idle worker: longer than the product's, for the sake of speed."""
REPLAYS = 6
"""Of a stubborn operator: a job that kills its process may take messages along each time."""
NEVER_AWAITED = "coroutine .* was never awaited"
"""The warning that a killed process leaves: work it had planned, and never began."""


@dataclass(frozen=True)
class Result:
    """What a run came to. `broken` are rules, a line each; `seconds` are virtual ones.

    `jobs` counts them by status, before an operator sent on what was exhausted. `turns` counts what
    happened to sagas.
    """

    schedule: Schedule
    broken: list[str]
    jobs: Counter[str]
    seconds: float
    turns: Counter[str] = field(default_factory=Counter)


def rerun(schedule: Schedule) -> Result:
    """Run that schedule."""
    return _run(schedule, Scripted(schedule.decisions))


def explore(seed: int) -> Result:
    """Run the schedule of a seed; the result has it."""
    scenario, chaos = drawn(seed)
    result = _run(Schedule(seed, scenario), chaos)
    return replace(result, schedule=Schedule(seed, scenario, tuple(chaos.made)))


def awaits(schedule: Schedule) -> list[Await]:
    """Every await of a run with no faults but those of the schedule, in order."""
    seen: list[Await] = []
    scripted = Scripted(schedule.decisions)

    def decide(process: str, call: str, nth: int) -> Decision | None:
        seen.append((process, call, nth))
        return scripted(process, call, nth)

    _run(schedule, decide)
    return seen


def _run(schedule: Schedule, decide: Decide) -> Result:
    world = World(schedule.seed, schedule.scenario)
    with silence(), polling_seldom():
        jobs, seconds = loop.run(_simulated(world, decide))
    return Result(schedule, world.broken, jobs, seconds, world.turns)


def staged(world: World, script: Callable[[People], Coroutine[Any, Any, None]]) -> None:
    """Play `script` over an installation that runs; `world.broken` says what was broken."""
    with silence(), polling_seldom():
        loop.run(_staged(world, script))


async def _staged(world: World, script: Callable[[People], Coroutine[Any, Any, None]]) -> None:
    people = People(world, Scripted())
    people.fleet.start()
    await script(people)
    await _ended(world, people.fleet)


async def _simulated(world: World, decide: Decide) -> tuple[Counter[str], float]:
    """The jobs by status, and how long it took."""
    people = People(world, decide)
    fleet = people.fleet
    fleet.start()
    await people.come()
    await _settled(world, people)
    fleet.calm_down()
    await asyncio.sleep(fleet.quiet_at - _now() + LOOK_EVERY)  # whoever was stopped goes on
    await _settled(world, people)
    jobs = Counter(str(job.status) for job in world.jobs.jobs.values())
    for number in range(REPLAYS):
        if not number or people.has_dead_events:
            await people.replay_all()
            await _settled(world, people)
    await people.retry_exhausted()
    await _settled(world, people)
    anew = await people.retry_compensated()
    await _settled(world, people)
    world.broken += [f"job {job.id} is exhausted without a fault" for job in people.exhausted()]
    ended = (world.jobs.jobs[job.id] for job in anew)
    world.broken += [
        f"job {job.id} was started anew, and is {job.status} without a fault"
        for job in ended
        if job.status is not Status.COMPLETE
    ]
    await _ended(world, fleet)
    return jobs, _now()


async def _ended(world: World, fleet: Fleet) -> None:
    await fleet.stop()
    await asyncio.sleep(ON_THE_WIRE[-1] + PULL_WAIT + LOOK_EVERY)
    left = asyncio.all_tasks() - {asyncio.current_task()}
    world.broken += [f"still running: {task!r}" for task in left] + violations(world)


async def _settled(world: World, people: People) -> None:
    """Wait until everything that was accepted has come to an end, or never will."""
    deadline = _now() + SETTLED_WITHIN
    while people.are_busy or unsettled(world):
        if _now() > deadline or people.fleet.awaits > MOST_AWAITS:
            return
        await asyncio.sleep(LOOK_EVERY)


def _now() -> float:
    return asyncio.get_running_loop().time()


@contextmanager
def polling_seldom() -> Iterator[None]:
    before, worker.MAX_POLL_SECONDS = worker.MAX_POLL_SECONDS, SELDOM
    try:
        yield
    finally:
        worker.MAX_POLL_SECONDS = before


@contextmanager
def silence() -> Iterator[None]:
    """What is logged is neither rendered nor kept: that would take most of the time."""
    before = structlog.get_config() if structlog.is_configured() else None
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    try:
        yield
    finally:
        structlog.reset_defaults()
        if before:
            structlog.configure(**before)
