"""The fault suite: DELETEs keep arriving while a schedule of faults befalls every process.

Read `play` first; it is the whole story.
"""

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import psutil

from botdel.local.server import LocalBroker
from deletion.adapters.mongo.sweeps import COLLECTION as SWEEPS
from tests.faults.callers import Callers
from tests.faults.data import SERVICES
from tests.faults.injector import Injector, Tell
from tests.faults.schedule import RECOVERY, Kind, Schedule
from tests.faults.stage import Stage, staged
from tests.faults.verdict import Fate, Records, broken, records, unsettled
from tests.support.forked import TODAY
from tests.support.ledger import Entry, What, read_ledger
from tests.support.pipeline import WITHIN

BYSTANDERS: Final = 20
"""Bots nobody asks to delete."""
SWEEP_EVERY: Final = 2.0
"""Seconds between the end of one call of the cron client and the next."""
SETTLED_WITHIN: Final = 300.0
"""Seconds after the last fault; ack deadlines and back-off take tens of them."""


@dataclass(frozen=True)
class Report:
    """What was injected, what was found, and every invariant that did not hold, a line each."""

    injected: Mapping[tuple[Kind, str], int]
    found: Mapping[str, object]
    broken: list[str]


async def play(
    schedule: Schedule,
    deletions: int,
    seconds: float,
    folder: Path,
    tell: Tell,
    broker: LocalBroker,
) -> Report:
    """Let the faults of the schedule befall so many deletions, asked for within `seconds`, over a
    `broker` that is started here.
    """
    TODAY.start()
    already = _children()
    async with staged(schedule, folder, broker) as stage:
        rng = random.Random(schedule.seed)  # noqa: S311
        bots = await stage.data.fill(deletions + BYSTANDERS, rng)
        before = await stage.data.census()
        callers = Callers(stage, schedule.seed)
        injector = Injector(stage, callers, tell)
        async with sweeping(stage) as swept:
            async with asyncio.TaskGroup() as both:
                both.create_task(callers.call_for(bots[:deletions], seconds))
                both.create_task(injector.run(schedule))
            tell("the faults are over")
            await _settled(stage, callers)
        now, entries = await records(stage), read_ledger(stage.ledger)
        found = _found(stage, callers, now, entries) | swept
        found["jobs made pending by sweeps"] = await _resumed(stage)
        failures = await broken(stage, callers, now, before, entries)
    failures += [f"still running: {process}" for process in _children() - already]
    failures += [
        f"{name} ended with {process.exited} when everything was over"
        for name, process in stage.processes.items()
        if process.exited != 0
    ]
    return Report(injector.injected, found, failures)


@asynccontextmanager
async def sweeping(stage: Stage) -> AsyncIterator[Counter[str]]:
    """The cron client is called all the time; its exit codes are counted."""
    codes: Counter[str] = Counter()
    command = ("botdel.cli", "recover", "--url", stage.urls[RECOVERY], "--wait", "--timeout", "20")

    async def call() -> None:
        while True:
            async with stage.direct.process("cron", *command) as cron:
                codes[f"cron client, exit code {await cron.wait(WITHIN)}"] += 1
            await asyncio.sleep(SWEEP_EVERY)

    calling = asyncio.create_task(call())
    try:
        yield codes
    finally:
        calling.cancel()
        with suppress(asyncio.CancelledError):
            await calling


async def _settled(stage: Stage, callers: Callers) -> None:
    """Wait until nothing is under way; what still is at the deadline is the verdict's to tell."""
    with suppress(TimeoutError):
        async with asyncio.timeout(SETTLED_WITHIN):
            while unsettled(callers, await records(stage)):  # noqa: ASYNC110
                await asyncio.sleep(1)


async def _resumed(stage: Stage) -> int:
    """How many times sweeps have made a job pending."""
    sweeps = stage.direct.client[stage.direct.database][SWEEPS]
    return sum([sweep["resumed"] async for sweep in sweeps.find()])


def _found(
    stage: Stage, callers: Callers, now: Records, entries: Sequence[Entry]
) -> dict[str, object]:
    """Figures of the run, by what they count."""
    fates = Counter(now.fate(event, s) for event in callers.accepted for s in SERVICES)
    said = sum((process.said for process in stage.processes.values()), Counter[str]())
    ends = sum((process.ends for process in stage.processes.values()), Counter[int]())
    took = [
        finished - event.placed_at
        for event in callers.accepted
        for service in SERVICES
        if (finished := now.finished(event, service))
    ]
    return {
        "deletions accepted": len(callers.accepted),
        **{f"calls answered {answer}": n for answer, n in sorted(callers.answers.items())},
        **{f"events in a service: {fate}": fates[fate] for fate in Fate},
        **{f"dead letters, {reason}": n for reason, n in sorted(now.reasons.items())},
        "jobs": len(now.jobs),
        "claims": sum(entry.what is What.CLAIM for entry in entries),
        "highest attempt": max(job["attempt"] for job in now.jobs),
        "runs that lost their lease": said["lease lost"],
        "groups of events handed back": said["events handed back"],
        **{f"processes that ended with {code}": n for code, n in sorted(ends.items())},
        "longest time from request to complete": max(took, default=None),
    }


def _children() -> set[psutil.Process]:
    """Every process below this one: what is left without a parent ends by itself (PDEATHSIG)."""
    return set(psutil.Process().children(recursive=True))
