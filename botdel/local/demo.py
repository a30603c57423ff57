"""`botdel demo`: delete bots over HTTP, break consumers meanwhile, and check the result."""

import asyncio
import math
import random
import signal
import sys
import tempfile
import time
from collections import deque
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar

import httpx
from rich.progress import TaskID
from rich.table import Table
from rich.text import Text

from botdel.local.installation import PLANS, Installation
from botdel.local.processes import ChildProcess
from botdel.local.samples import Census, Samples
from botdel.local.up import shown
from botdel.terminal import Bars, Terminal, console, printable
from deletion.adapters.mongo.connection import connect
from deletion.adapters.mongo.jobs import COLLECTION, MongoJobStore
from deletion.job import Job, Status

T = TypeVar("T")
Say = Callable[[Text], None]

BOTS: Final = 300
DELETED: Final = 40
SEED: Final = 20
DATABASE: Final = "botdel_sample_jobs"
STALE_AFTER: Final = 4
"""Seconds; short, so that the job of a killed process is resumed during the demo."""
DONE_WITHIN: Final = 180.0
"""Seconds for all deletions, faults included."""
STOP_WITHIN: Final = 30.0
"""Seconds for a consumer to end after a signal."""
RECOVER_WITHIN: Final = 60.0
"""Seconds for one call of the cron client."""
FAULT_AT: Final = 0.25
"""The share of its deletions after which a consumer is killed or terminated."""
TAIL: Final = 60
"""Log lines shown when a check fails."""
SETTINGS: Final = {
    "BOTDEL_MONGODB_DATABASE": DATABASE,
    "BOTDEL_STALE_AFTER_SECONDS": str(STALE_AFTER),
    "BOTDEL_CONSUMER_SLOTS": "4",
}


@dataclass(frozen=True, slots=True)
class Check:
    """One thing the demo must show, and what it saw."""

    claim: str
    seen: str
    holds: bool


class Demo:
    """One run over an installation; `jobs` and `samples` look at the same database."""

    def __init__(self, installation: Installation, jobs: MongoJobStore, samples: Samples) -> None:
        self._installation = installation
        self._jobs = jobs
        self._samples = samples
        self._checks: list[Check] = []
        self._times: dict[str, float] = {}

    async def run(self, out: Terminal) -> int:
        """Returns 0 when every check holds, else 1."""
        bots = await self._timed("sample data", self._samples.fill(BOTS, random.Random(SEED)))
        before = await self._samples.census()
        documents = sum(len(ids) for census in before.values() for ids in census.values())
        out.print(f"{documents:,} documents of {BOTS} bots in {len(PLANS)} services")
        doomed = bots[:DELETED]
        await self._timed("requests", self._request(doomed))
        await self._timed("deletions", self._watch(doomed, before, out))
        await self._timed("reading back", self._read_back(doomed, before))
        out.print(self._summary())
        return 0 if all(check.holds for check in self._checks) else 1

    async def _timed(self, what: str, work: Coroutine[None, None, T]) -> T:
        began = time.monotonic()
        try:
            return await work
        finally:
            self._times[what] = time.monotonic() - began

    async def _request(self, doomed: Sequence[str]) -> None:
        async with httpx.AsyncClient(
            base_url=self._installation.urls["gateway"],
            headers={"Authorization": f"Bearer {self._installation.client_token}"},
            trust_env=False,
        ) as client:
            answers = await asyncio.gather(*(client.delete(f"/v1/bots/{bot}") for bot in doomed))
        accepted = sum(answer.status_code == httpx.codes.ACCEPTED for answer in answers)
        self._check("DELETEs answered with 202", accepted, len(doomed))

    async def _watch(
        self, doomed: Sequence[str], before: Mapping[str, Census], out: Terminal
    ) -> None:
        """Show progress, kill one consumer and terminate the other, recover until all is done."""
        totals = {
            service: sum(len(before[name].get(bot, ())) for name in collections for bot in doomed)
            for service, collections in self._samples.owned.items()
        }
        faults = {"conversations": self._kill, "analytics": self._terminate}
        next_sweep = math.inf
        with Bars(out, "documents") as progress:
            tasks = {name: progress.add_task(name, total=n) for name, n in totals.items()}
            deadline = time.monotonic() + DONE_WITHIN
            while time.monotonic() < deadline:
                jobs = {service: await self._jobs_of(service) for service in totals}
                for service, bar in tasks.items():
                    done = _deleted(jobs[service])
                    progress.update(bar, completed=done)
                    if service in faults and done > totals[service] * FAULT_AT:
                        await faults.pop(service)(service, out.print)
                        next_sweep = time.monotonic() + STALE_AFTER
                if not faults and all(_complete(jobs[s]) == len(doomed) for s in totals):
                    break
                if not faults and time.monotonic() > next_sweep:
                    out.print(await self._recover())
                    next_sweep = time.monotonic() + STALE_AFTER
                await asyncio.sleep(0.1)
            left = await self._samples.left(doomed)
            gone = {service: total - left[service] for service, total in totals.items()}
            settle(progress, tasks, gone, {s: _deleted(found) for s, found in jobs.items()})
        for service in totals:
            self._check(f"jobs of {service} complete", _complete(jobs[service]), len(doomed))

    async def _kill(self, service: str, say: Say) -> None:
        process = self._installation.consumer(service)
        process.kill()
        code = await process.wait(STOP_WITHIN)
        say(_signalled("SIGKILL", "red", service))
        self._check(f"consumer {service} was killed", code, -signal.SIGKILL)
        await self._installation.start_consumer(service)

    async def _terminate(self, service: str, say: Say) -> None:
        process = self._installation.consumer(service)
        process.terminate()
        code = await process.wait(STOP_WITHIN)
        say(_signalled("SIGTERM", "yellow", service))
        self._check(f"consumer {service} handed over and exited with", code, 0)
        handed = sum(1 for job in await self._jobs_of(service) if job.status is Status.FAILED)
        self._checks.append(Check("jobs it handed over", str(handed), handed > 0))
        await self._installation.start_consumer(service)

    async def _recover(self) -> Text:
        """Run the cron client as a scheduler would; returns its last line."""
        url, env = self._installation.urls["recovery"], self._installation.env
        command = [sys.executable, "-m", "botdel.cli", "recover", "--url", url, "--wait"]
        async with ChildProcess("cron", command, env=env) as process:
            code = await process.wait(RECOVER_WITHIN)
        if code:
            self._check("the cron client exits with", code, 0)
        said = printable(process.lines[-1] if process.lines else "")
        return Text.assemble(("cron ", "cyan"), said)

    async def _read_back(self, doomed: Sequence[str], before: Mapping[str, Census]) -> None:
        after = await self._samples.census()
        gone = set(doomed)
        left = sum(
            len(ids) for census in after.values() for bot, ids in census.items() if bot in gone
        )
        lost = sum(
            len(ids - after[name].get(bot, frozenset()))
            for name, census in before.items()
            for bot, ids in census.items()
            if bot not in gone
        )
        self._check(f"documents left of the {len(doomed)} deleted bots", left, 0)
        self._check(f"documents lost of the {BOTS - len(doomed)} other bots", lost, 0)
        resumed = sum(1 for job in await self._jobs_of("conversations") if job.attempt > 1)
        self._checks.append(
            Check("jobs of the killed consumer resumed by a sweep", str(resumed), resumed > 0)
        )

    async def _jobs_of(self, service: str) -> list[Job]:
        found = await self._jobs.find(service=service, limit=BOTS)
        return [job for job in found if isinstance(job, Job)]

    def _check(self, claim: str, seen: int, expected: int) -> None:
        self._checks.append(Check(claim, f"{seen:,}", seen == expected))

    def _summary(self) -> Table:
        table = Table("what", "seen", "", title="The proof")
        for check in self._checks:
            mark = Text("✓", "green") if check.holds else Text("✗", "red")
            table.add_row(check.claim, check.seen, mark)
        table.add_section()
        for what, seconds in self._times.items():
            table.add_row(what, f"{seconds:.1f} s", "")
        return table


async def demo() -> int:
    """Start everything, run the demo, stop everything. Returns 0, or 1 if a check fails."""
    out = console()
    out.rule("bot deletion: the whole pipeline on this machine")
    tail: deque[Text] = deque(maxlen=TAIL)
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="botdel-demo-") as folder:
        async with Installation(
            Path(folder), lambda name, line: tail.append(shown(name, line)), SETTINGS
        ) as installation:
            for name, url in installation.urls.items():
                out.print(f"{name:>22}   {url}", soft_wrap=True)
            code = await _run(installation, out)
    out.print(f"everything is down again; {time.monotonic() - began:.1f} s in all")
    if code:
        out.print(Text("a check failed; the last of the logs:", "red"))
        for line in tail:
            out.print(line, soft_wrap=True)
    return code


async def _run(installation: Installation, out: Terminal) -> int:
    client = connect(installation.env["BOTDEL_MONGODB_URI"])
    samples, jobs = Samples(client), client[DATABASE][COLLECTION]
    try:
        await jobs.delete_many({})
        code = await Demo(installation, MongoJobStore(client, DATABASE), samples).run(out)
        if not installation.is_disposable:
            await samples.clear()
            await jobs.delete_many({})
        return code
    finally:
        client.close()


def settle(
    progress: Bars,
    tasks: Mapping[str, TaskID],
    gone: Mapping[str, int],
    counted: Mapping[str, int],
) -> None:
    """End each service's bar at what is deleted, and print how much of it was not counted.

    What a killed run deleted after its last checkpoint is not counted.
    """
    for service, task in tasks.items():
        progress.update(task, completed=gone[service])
        if (uncounted := gone[service] - counted[service]) > 0:
            progress.console.print(
                f"{service}: {uncounted:,} documents were deleted by the killed run and not counted"
            )


def _signalled(name: str, colour: str, service: str) -> Text:
    what = f" to consumer {service} in the middle of its work; started again"
    return Text.assemble((name, colour), what)


def _deleted(jobs: Sequence[Job]) -> int:
    return sum(step.deleted for job in jobs for step in job.steps)


def _complete(jobs: Sequence[Job]) -> int:
    return sum(job.status is Status.COMPLETE for job in jobs)
