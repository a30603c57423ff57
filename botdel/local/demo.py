"""`botdel demo`: delete bots over HTTP while things break, and check the result."""

import asyncio
import math
import random
import sys
import tempfile
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Final

import httpx
from rich.text import Text

from botdel.local.billing import Mood
from botdel.local.faults import Outage, Say, Signals, most_calls, running
from botdel.local.installation import PLANS, Installation
from botdel.local.processes import ChildProcess
from botdel.local.proof import Proof, end_bars
from botdel.local.sample_data import Census
from botdel.local.samples import Samples
from botdel.local.up import shown
from botdel.terminal import Bars, Terminal, console, printable
from deletion.adapters.mongo.breakers import MongoBreakerStore
from deletion.adapters.mongo.connection import connect
from deletion.adapters.mongo.jobs import COLLECTION, MongoJobStore
from deletion.adapters.unproxied import unproxied
from deletion.breaker import BreakerPolicy
from deletion.job import Job, Status, StepProgress
from deletion.process.signals import stop_on_signals

BOTS: Final = 150
DELETED: Final = 20
SEED: Final = 20
DATABASE: Final = "botdel_sample_jobs"
STALE_AFTER: Final = 4
"""Seconds; short, so that the job of a killed process is resumed during the demo."""
DONE_WITHIN: Final = 180.0
"""Seconds for all deletions, faults included."""
ANSWER_WITHIN: Final = 30.0
"""Seconds for one answer of the gateway, which itself waits 8 s for Pub/Sub."""
RECOVER_WITHIN: Final = 60.0
"""Seconds for one call of the cron client."""
TAIL: Final = 60
"""Log lines shown when a check fails."""
SAGA: Final = "billing"
"""The service whose jobs can be rolled back."""
BREAKER: Final = BreakerPolicy(first=timedelta(seconds=1))
"""The breaker policy of the demo's consumers."""
SETTINGS: Final = {
    "BOTDEL_MONGODB_DATABASE": DATABASE,
    "BOTDEL_STALE_AFTER_SECONDS": str(STALE_AFTER),
    "BOTDEL_CONSUMER_SLOTS": "4",
    "BOTDEL_BREAKER_SECONDS": f"{BREAKER.first.total_seconds():g}",
    "BOTDEL_REST_SECONDS": "0.5",
}


class Demo:
    """One run over an installation, whose data is read through the other arguments."""

    def __init__(
        self,
        installation: Installation,
        jobs: MongoJobStore,
        breakers: MongoBreakerStore,
        samples: Samples,
    ) -> None:
        self._installation = installation
        self._jobs = jobs
        self._breakers = breakers
        self._samples = samples
        self._proof = Proof()

    async def run(self, out: Terminal) -> int:
        """Run the demo. Returns 0 if every check holds, otherwise 1."""
        bots = await self._proof.timed("sample data", self._samples.fill(BOTS, random.Random(SEED)))
        doomed, disputed = bots[:DELETED], bots[DELETED - 1]
        await self._samples.dispute(disputed)
        await self._samples.accounts.feel(Mood.SLOW)
        before = await self._samples.census()
        items = sum(len(ids) for place in _places(before) for ids in place.values())
        out.print(f"{items:,} items of {BOTS} bots in {len(PLANS)} services")
        await self._proof.timed("requests", self._request(doomed))
        wanted = dict.fromkeys(self._samples.owned, doomed)
        wanted[SAGA] = doomed[:-1]  # the API will refuse to let the disputed one go
        await self._proof.timed("deletions", self._watch(wanted, before, out))
        await self._proof.timed("reading back", self._read_back(wanted, before))
        out.print(self._proof.table())
        return 0 if self._proof.holds else 1

    async def _request(self, doomed: Sequence[str]) -> None:
        async with unproxied(
            base_url=self._installation.urls["gateway"],
            headers={"Authorization": f"Bearer {self._installation.client_token}"},
            timeout=ANSWER_WITHIN,
        ) as client:
            answers = await asyncio.gather(*(client.delete(f"/v1/bots/{bot}") for bot in doomed))
        accepted = sum(answer.status_code == httpx.codes.ACCEPTED for answer in answers)
        self._proof.equal("DELETEs accepted (202)", accepted, len(doomed))

    async def _watch(
        self,
        wanted: Mapping[str, Sequence[str]],
        before: Mapping[str, Mapping[str, Census]],
        out: Terminal,
    ) -> None:
        """Show progress while killing one consumer, terminating another and taking down the API of
        a third, and sweep until every job has ended.
        """
        totals = {
            service: sum(
                len(place.get(bot, ())) for place in before[service].values() for bot in bots
            )
            for service, bots in wanted.items()
        }

        async def share(service: str) -> float:
            return _deleted(await self._jobs_of(service)) / totals[service]

        signals = Signals(self._installation, self._jobs, self._proof, share)
        sending = signals.send("conversations", "analytics", out.print)
        next_sweep = math.inf
        with Bars(out, "items") as progress:
            tasks = {name: progress.add_task(name, total=n) for name, n in totals.items()}
            deadline = time.monotonic() + DONE_WITHIN
            async with running(sending, self._outage(out.print)) as (signalled, outage):
                while time.monotonic() < deadline:
                    jobs = {service: await self._jobs_of(service) for service in totals}
                    for service, bar in tasks.items():
                        progress.update(bar, completed=_deleted(jobs[service]))
                    for fault in (signalled, outage):
                        if fault.done():
                            fault.result()  # raises the error that ended it
                    if outage.done() and signalled.done() and not _live(jobs):
                        break
                    if signalled.done() and next_sweep == math.inf:
                        next_sweep = time.monotonic() + STALE_AFTER
                    if _is_sweepable(jobs) and time.monotonic() > next_sweep:
                        out.print(await self._recover())
                        next_sweep = time.monotonic() + STALE_AFTER
                    await asyncio.sleep(0.1)
                await asyncio.gather(signalled, outage)
            left = await self._samples.left(wanted)
            gone = {service: total - left[service] for service, total in totals.items()}
            end_bars(progress, tasks, gone, {s: _deleted(found) for s, found in jobs.items()})
        for service, bots in wanted.items():
            self._proof.equal(f"jobs of {service} complete", _ended(jobs[service]), len(bots))
        undone = _ended(jobs[SAGA], Status.COMPENSATED)
        self._proof.equal(f"jobs of {SAGA} rolled back (its account is disputed)", undone, 1)

    async def _outage(self, say: Say) -> None:
        """Take the API down until jobs are parked, and bring it back."""
        outage = Outage(self._samples.accounts, self._jobs, self._breakers, SAGA)
        async for told in outage.run():
            say(told)
        most = most_calls(BREAKER, outage.seconds)
        self._proof.between("jobs parked while the API was down", outage.parked)
        self._proof.between(
            f"calls to the API while it was down (at most {most})", outage.calls, 1, most
        )

    async def _recover(self) -> Text:
        """Run the cron client as a scheduler would. Returns its last line."""
        url, env = self._installation.urls["recovery"], self._installation.env
        command = [sys.executable, "-m", "botdel.cli", "recover", "--url", url, "--wait"]
        async with ChildProcess("cron", command, env=env) as process:
            code = await process.wait(RECOVER_WITHIN)
        if code:
            self._proof.equal("the cron client exits with", code, 0)
        said = printable(process.lines[-1] if process.lines else "")
        return Text.assemble(("cron ", "cyan"), said)

    async def _read_back(
        self, wanted: Mapping[str, Sequence[str]], before: Mapping[str, Mapping[str, Census]]
    ) -> None:
        after, left, lost = await self._samples.census(), 0, 0
        for service, places in before.items():
            gone = set(wanted[service])
            for name, census in places.items():
                now = after[service][name]
                left += sum(len(ids) for bot, ids in now.items() if bot in gone)
                lost += sum(
                    len(ids - now.get(bot, frozenset()))
                    for bot, ids in census.items()
                    if bot not in gone
                )
        self._proof.equal("items left of the deleted bots", left, 0)
        self._proof.equal("items of other bots lost or changed", lost, 0)
        resumed = sum(1 for job in await self._jobs_of("conversations") if job.attempt > 1)
        self._proof.between("jobs of the killed consumer resumed by a sweep", resumed)

    async def _jobs_of(self, service: str) -> list[Job]:
        found = await self._jobs.find(service=service, limit=BOTS)
        return [job for job in found if isinstance(job, Job)]


async def demo(*, with_console: bool = False) -> int:
    """Start everything, run the demo, and stop everything. Returns 0, or 1 if a check fails.

    With a console, everything runs on until a signal, so that a person can look at it.
    """
    out = console()
    out.rule("bot deletion: the whole pipeline on this machine")
    tail: deque[Text] = deque(maxlen=TAIL)
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="botdel-demo-") as folder:
        async with Installation(
            Path(folder), lambda name, line: tail.append(shown(name, line)), SETTINGS
        ) as installation:
            out.print(f"broker: {installation.broker}", soft_wrap=True)
            for name, url in installation.urls.items():
                out.print(f"{name:>22}   {url}", soft_wrap=True)
            code = await _run(installation, out, with_console=with_console)
    out.print(f"everything has stopped; {time.monotonic() - began:.1f} s in total")
    if code:
        out.print(Text("a check failed; the last log lines:", "red"))
        for line in tail:
            out.print(line, soft_wrap=True)
    return code


async def _run(installation: Installation, out: Terminal, *, with_console: bool) -> int:
    client = connect(installation.env["BOTDEL_MONGODB_URI"])
    urls, jobs = installation.urls, client[DATABASE][COLLECTION]
    samples = Samples(client, urls["s3"], urls["billing api"])
    store, breakers = MongoJobStore(client, DATABASE), MongoBreakerStore(client, DATABASE)
    try:
        await jobs.delete_many({})
        code = await Demo(installation, store, breakers, samples).run(out)
        if with_console:
            await leave_open(installation, out)
        if not installation.is_disposable:
            await samples.clear()
            await jobs.delete_many({})
        return code
    finally:
        client.close()


async def leave_open(installation: Installation, out: Terminal) -> None:
    """Start a console, say how to log in, and wait for a signal."""
    token = await installation.start_console()
    with stop_on_signals() as stopping:
        out.rule("console")
        out.print(f"open {installation.urls['console']} in a browser", soft_wrap=True)
        out.print(f"and log in with the token {token}", soft_wrap=True)
        out.print("Ctrl-C ends everything.")
        await stopping.wait()


def _places(census: Mapping[str, Mapping[str, Census]]) -> Iterator[Census]:
    return (place for places in census.values() for place in places.values())


def _is_sweepable(jobs: Mapping[str, Sequence[Job]]) -> bool:
    """Whether a sweep may have something to do: parked jobs come due by themselves."""
    swept = {Status.FAILED, Status.IN_PROGRESS}
    return any(job.status in swept for found in jobs.values() for job in found)


def _live(jobs: Mapping[str, Sequence[Job]]) -> bool:
    return any(job.live for found in jobs.values() for job in found)


def _deleted(jobs: Sequence[Job]) -> int:
    """Return how many items are gone for good: in a saga, from the point of no return on."""
    return sum(step.deleted for job in jobs for step in _for_good(job))


def _for_good(job: Job) -> Sequence[StepProgress]:
    names = [step.name for step in job.steps]
    return job.steps[names.index(job.point_of_no_return) if job.point_of_no_return else 0 :]


def _ended(jobs: Sequence[Job], status: Status = Status.COMPLETE) -> int:
    return sum(job.status is status for job in jobs)
