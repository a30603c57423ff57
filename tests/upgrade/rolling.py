"""An installation whose processes are replaced one by one, while clients ask for deletions."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import httpx
from bson import ObjectId

from botdel.local.processes import ChildProcess
from deletion.adapters.mongo import requests
from deletion.adapters.unproxied import unproxied
from deletion.request import Chore
from tests.support.pipeline import (
    TOKEN,
    WITHIN,
    Location,
    Pipeline,
    is_ready,
    listening,
    pipeline_at,
)
from tests.upgrade.releases import Code

SERVICES: Final = ("conversations", "analytics")
GATEWAY, RECOVERY, CONSOLE = "gateway", "recovery", "console"
CONSUMERS: Final = tuple(f"consumer {service}" for service in SERVICES)
LASTING: Final = ", another replica"
"""Ends the role of one more process of the same kind."""
BATCH: Final = 5
STALE_AFTER: Final = 20
"""Seconds; no process is killed."""
SMALL, LARGE = 2, 100
"""Documents of a bot in each service; the deletion of a large one is under way for seconds."""
EVERY: Final = 0.5
"""Seconds between two new bots."""
BYSTANDERS: Final = 3
"""Bots that nobody asks to delete."""


def botdel(
    code: Code, name: str, arguments: tuple[str, ...], env: dict[str, str], cwd: Path
) -> ChildProcess:
    """`botdel` with these arguments, by this code."""
    return code.program(name, "botdel.cli", *arguments, env=env, cwd=cwd)


@dataclass
class Installation:
    """Two services with data, and a process of some version in each role."""

    pipeline: Pipeline
    running: dict[str, ChildProcess] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    urls: dict[str, str] = field(default_factory=dict)

    def plan(self, service: str) -> str:
        """The plan file of a service, whose data is a collection of the same name."""
        path = self.pipeline.folder / f"{service}.yaml"
        path.write_text(
            f"service: {service}\nsteps:\n  - name: messages\n"
            f"    mongo: {{database: {self.pipeline.database}, collection: {service}, "
            f"field: botId, batch_size: {BATCH}}}\n"
        )
        return path.name

    def data(self, service: str) -> Any:
        """The collection that the service owns."""
        return self.pipeline.client[self.pipeline.database][service]

    async def run(self, code: Code, *arguments: str, expected: int = 0) -> list[str]:
        """Run a command of that version to its end, with the `expected` exit code; return what it
        prints.
        """
        folder = self.pipeline.folder
        async with botdel(code, arguments[0], arguments, self.pipeline.env, folder) as process:
            status = await process.wait(WITHIN)
        assert status == expected, list(process.lines)
        return list(process.lines)

    async def apply(self, code: Code, *, expected: int = 0) -> list[str]:
        """`botdel topology apply` with every plan."""
        return await self.run(code, "topology", "apply", *self._plans(), expected=expected)

    async def doctor(self, code: Code) -> list[str]:
        """`botdel doctor` with every plan."""
        return await self.run(code, "doctor", *self._plans(), "--no-canary")

    async def roll(self, role: str, code: Code) -> None:
        """Replace the process of a role, as a rolling update does: start the new one, wait until it
        is ready, and send SIGTERM to the other, which has to end with 0.
        """
        process = botdel(code, role, self._arguments(role), self.pipeline.env, self.pipeline.folder)
        await process.start()
        before, self.running[role] = self.running.get(role), process
        try:
            self.urls[role] = await listening(process)
            self.versions[role] = code.version
            await process.wait_ready(lambda: is_ready(self.urls[role]), WITHIN)
        finally:
            if before:
                before.terminate()
                assert await before.wait(WITHIN) == 0, list(before.lines)
                await before.stop()

    async def roll_all(self, roles: Iterable[str], code: Code) -> None:
        """Replace the processes of these roles, side by side."""
        await asyncio.gather(*(self.roll(role, code) for role in roles))

    async def fill(self, count: int) -> list[str]:
        """Create a bot with this much data in each service."""
        bot = ObjectId()
        for service in SERVICES:
            await self.data(service).insert_many([{"botId": bot, "n": n} for n in range(count)])
        return [str(bot)]

    async def left(self, bot: str) -> dict[str, int]:
        """How many documents of the bot each service has."""
        query = {"botId": ObjectId(bot)}
        return {each: await self.data(each).count_documents(query) for each in SERVICES}

    async def is_complete(self, events: set[str]) -> bool:
        """Whether each service has a complete job for each of these requests."""
        jobs = await self.pipeline.jobs.find({"status": "complete"}).to_list(None)
        covered = {(job["service"], event) for job in jobs for event in job["eventIds"]}
        return {(service, event) for service in SERVICES for event in events} <= covered

    async def has_jobs(self, event: str) -> bool:
        """Whether each service has a job for this request."""
        jobs = await self.pipeline.jobs.count_documents({"eventIds": event})
        return bool(jobs == len(SERVICES))

    async def stop(self) -> None:
        """End every process, at once."""
        for process in self.running.values():
            process.kill()
            await process.stop()

    def _plans(self) -> list[str]:
        return [part for service in SERVICES for part in ("--plan", self.plan(service))]

    def _arguments(self, role: str) -> tuple[str, ...]:
        kind, _, service = role.removesuffix(LASTING).partition(" ")
        return (kind, *(("--plan", self.plan(service)) if service else ()), "--port", "0")


@asynccontextmanager
async def installed(location: Location) -> AsyncIterator[Installation]:
    """An installation of which nothing runs yet."""
    settings = {
        "BOTDEL_STALE_AFTER_SECONDS": str(STALE_AFTER),
        "BOTDEL_CONSOLE_USERS": f"vera:viewer:{TOKEN}",
    }
    async with pipeline_at(location, settings=settings) as pipeline:
        installation = Installation(pipeline)
        try:
            yield installation
        finally:
            await installation.stop()


@dataclass
class Clients:
    """Who asks for deletions, again and again, at whatever gateway runs."""

    installation: Installation
    http: httpx.AsyncClient
    accepted: dict[str, str] = field(default_factory=dict)
    """Bots by the ids of the events that the gateway has accepted."""
    keys: dict[str, str] = field(default_factory=dict)
    """Event ids by `Idempotency-Key`."""

    async def ask(self, bot: str, key: str) -> str:
        """Ask until it is accepted, with the same key; return the id of the event."""
        async with asyncio.timeout(WITHIN):
            while True:
                url = f"{self.installation.urls[GATEWAY]}/v1/bots/{bot}"
                try:
                    answer = await self.http.delete(url, headers={"Idempotency-Key": key})
                except httpx.TransportError:  # the gateway has just been replaced
                    await asyncio.sleep(0.02)
                    continue
                assert answer.status_code in {202, 503}, answer.text
                if answer.status_code == httpx.codes.ACCEPTED:
                    break
                await asyncio.sleep(0.02)
        event = str(answer.json()["event_id"])
        assert self.keys.setdefault(key, event) == event, "one key is one event, in each version"
        self.accepted[event] = bot
        return event

    async def ask_for(self, bots: list[str]) -> None:
        """Ask for each bot twice with one key, and for some a third time with another key."""
        for number, bot in enumerate(bots):
            await self.ask(bot, f"{bot}-a")
            await self.ask(bot, f"{bot}-a")
            if number % 3 == 0:
                await self.ask(bot, f"{bot}-b")

    async def repeat(self) -> None:
        """Repeat what was asked first, as a client does that got no answer."""
        for key in [*self.keys][:3]:
            await self.ask(self.accepted[self.keys[key]], key)

    async def go_on(self, stopping: asyncio.Event) -> None:
        """Ask for new bots until `stopping`."""
        while not stopping.is_set():
            await self.ask_for(await self.installation.fill(SMALL))
            await asyncio.sleep(EVERY)  # a stream, not a flood


@asynccontextmanager
async def asking(installation: Installation, *, goes_on: bool = True) -> AsyncIterator[Clients]:
    """Clients that, if it `goes_on`, ask for new bots until the block ends."""
    headers = {"Authorization": f"Bearer {TOKEN}"}
    async with AsyncExitStack() as stack:
        http = unproxied(headers=headers, timeout=WITHIN)
        clients = Clients(installation, await stack.enter_async_context(http))
        stopping = asyncio.Event()
        if not goes_on:
            stopping.set()
        going_on = asyncio.create_task(clients.go_on(stopping))
        try:
            yield clients
        finally:
            stopping.set()
            await going_on


async def sweep(installation: Installation, code: Code) -> None:
    """What the cron job of that version does."""
    await installation.run(code, "recover", "--url", installation.urls[RECOVERY], "--wait")


async def check_now(installation: Installation) -> None:
    """Make the ledger's next look for the jobs of each open request due, as if the time until then
    had passed.
    """
    chore = f"chores.{Chore.REPUBLISH}"
    await _requests(installation).update_many(
        {chore: {"$exists": True}}, {"$set": {chore: datetime.now(UTC)}}
    )


async def nothing_due(installation: Installation) -> bool:
    """Whether the ledger has checked every request that was due."""
    due = {f"chores.{Chore.REPUBLISH}": {"$lte": datetime.now(UTC)}}
    return not await _requests(installation).count_documents(due)


async def recorded(installation: Installation, count: int) -> bool:
    """Whether the ledger has recorded this many requests."""
    return bool(await _requests(installation).count_documents({}) == count)


async def unsettled(installation: Installation, events: set[str]) -> set[str]:
    """The requests that the ledger has not settled."""
    settled = await _requests(installation).find({"settledAt": {"$type": "date"}}).to_list(None)
    return events - {document["_id"] for document in settled}


def _requests(installation: Installation) -> Any:
    return installation.pipeline.client[installation.pipeline.database][requests.COLLECTION]
