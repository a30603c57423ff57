"""What a simulated installation consists of, and what must hold whenever it is written to."""

import asyncio
import uuid
from collections.abc import AsyncGenerator, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import count

from deletion.bus import Message
from deletion.events import BotDeletionSubject, RequestPlaced
from deletion.job import Change, Job, LeasePolicy, Status
from deletion.plan import Batch, Plan
from deletion.ports import Recorded
from tests.simulation.broker import Broker, Rules
from tests.simulation.holds import Holds
from tests.simulation.loop import HOST, now
from tests.simulation.schedule import KILLS, Decision, Scenario, rng
from tests.support.fakes import MemoryArchive, RecordedAlerts
from tests.support.ledger import Entry, Ledger, LedgerStore, entered
from tests.support.memory_stores import MemoryDeadLetterStore, MemoryJobStore
from tests.support.memory_sweeps import MemorySweepStore

SERVICES = ("conversations", "billing")
STALE_AFTER = timedelta(seconds=60)
BATCH_SIZE = 2
ROWS = {"messages": 3, "files": 2}
"""Rows of each bot by table, in each service."""
BYSTANDER = "f" * 24
"""A bot that nobody asks to delete."""

Row = tuple[str, str, str, int]
"""Service, table, bot and key."""

LEGAL = {
    (Status.IN_PROGRESS, Status.IN_PROGRESS),
    (Status.IN_PROGRESS, Status.COMPLETE),
    (Status.IN_PROGRESS, Status.FAILED),
    (Status.IN_PROGRESS, Status.EXHAUSTED),
    (Status.FAILED, Status.IN_PROGRESS),
    (Status.FAILED, Status.EXHAUSTED),
    (Status.EXHAUSTED, Status.FAILED),
}
"""What docs/state_machine.md allows, in words of its own: not `deletion.job.RULES`."""


@dataclass(frozen=True)
class Clock:
    """`deletion.clock.Clock` of the world itself, which is never wrong."""

    def now(self) -> datetime:
        """See the port."""
        return now()

    async def sleep(self, seconds: float) -> None:
        """See the port."""
        await asyncio.sleep(seconds)


@dataclass
class Request:
    """A client's DELETE, and the rows that were there when it was placed."""

    subject: BotDeletionSubject
    placed_at: datetime
    rows: frozenset[Row]
    is_accepted: bool = False


@dataclass
class Table:
    """A step over the rows of one table."""

    service: str
    name: str
    world: "World"

    async def delete(self, bot_id: str, cursor: str | None) -> AsyncGenerator[Batch, None]:
        """Delete behind `cursor`: what lies before it is the read-back's to find."""
        last = -1 if cursor is None else int(cursor)
        while batch := [row for row in self._of(bot_id) if row[3] > last][:BATCH_SIZE]:
            if bot_id == self.world.cursed:
                self._curse()
            await asyncio.sleep(self.world.scenario.seconds)
            self.world.rows.difference_update(batch)
            last = batch[-1][3]
            yield Batch(len(batch), str(last))

    async def is_empty(self, bot_id: str) -> bool:
        """Whether the table holds nothing of the bot."""
        return not self._of(bot_id)

    def _curse(self) -> None:
        process = HOST.get()
        if process and self.world.scenario.cursed == KILLS:
            process.kill()
        raise ArithmeticError("this bot cannot be deleted")

    def _of(self, bot_id: str) -> list[Row]:
        return sorted(
            row for row in self.world.rows if row[:3] == (self.service, self.name, bot_id)
        )


class WatchedStore(MemoryJobStore):
    """The store, with a look at each write that is accepted."""

    def __init__(self, world: "World") -> None:
        super().__init__()
        self._world = world

    async def record(self, jobs: Sequence[Job]) -> list[Recorded]:
        recorded = await super().record(jobs)
        for job, found in zip(jobs, recorded, strict=True):
            self._world.covered.add((found.job.id, job.event_id))
        for job in (found.job for found in recorded if found.is_new):
            self._world.holds.wrote(job)
        for job in (found.job for found in recorded):
            same = [j for j in self.jobs.values() if j.service == job.service]
            of_bot = [j for j in same if j.bot_id == job.bot_id]
            if sum(j.status is not Status.COMPLETE for j in of_bot) > 1:
                self._world.broken.append(f"bot {job.bot_id} has two live jobs in {job.service}")
            if sum(j.event_id == job.event_id for j in same) > 1:
                self._world.broken.append(f"event {job.event_id} has two jobs in {job.service}")
        return recorded

    async def apply(self, change: Change) -> Job:
        before = self.jobs.get(change.after.id)
        job = await super().apply(change)
        after = self.jobs[job.id]
        if before is not None and after != before:
            illegal = _illegal(before, after, self._world.policy)
            self._world.broken += [f"job {job.id}: {line}" for line in illegal]
            self._world.holds.wrote(after)
            if after.status is Status.EXHAUSTED:
                self._world.exhausted.append(job.id)
            if after.status is Status.COMPLETE:
                self._world.broken += self._world.left_of(after)
        return job


def _illegal(before: Job, after: Job, policy: LeasePolicy) -> Iterator[str]:
    if (before.status, after.status) not in LEGAL:
        yield f"{before.status} became {after.status}"
    if after.attempt > policy.max_attempts:
        yield f"attempt {after.attempt} of {policy.max_attempts}"
    if after.placed_at < before.placed_at:
        yield "its latest request was forgotten"
    if after.claimed_by == before.claimed_by:
        if after.attempt > before.attempt:
            yield f"{after.claimed_by} claimed it twice under one name"
        return
    silent = after.last_modified_at - before.last_modified_at >= policy.stale_after
    if before.status is Status.IN_PROGRESS and not silent:
        yield f"{after.claimed_by} took it from {before.claimed_by}, which was still heard of"
    if after.attempt != before.attempt + 1:
        yield f"a claim made attempt {before.attempt} attempt {after.attempt}"


@dataclass
class World:
    """Everything that outlives a process. `broken` are the rules that were broken, a line each."""

    seed: int
    scenario: Scenario
    requests: list[Request] = field(default_factory=list)
    poison: list[Message] = field(default_factory=list)
    decisions: list[Decision] = field(default_factory=list)
    entries: list[Entry] = field(default_factory=list)
    covered: set[tuple[str, str]] = field(default_factory=set)
    exhausted: list[str] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)
    rows: set[Row] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.rng = rng("world", self.seed)
        self.clock = Clock()
        self.services = list(SERVICES[: self.scenario.services])
        self.bots = [f"{number:024x}" for number in range(1, self.scenario.bots + 1)]
        self.cursed = self.bots[0] if self.scenario.cursed else None
        self.policy = LeasePolicy(STALE_AFTER, self.scenario.max_attempts)
        rules = Rules(rng("broker", self.seed), self.scenario.twice, self.scenario.max_deliveries)
        self.broker = Broker(self.clock, rules, self.services)
        self.holds = Holds(STALE_AFTER.total_seconds())
        self.jobs = WatchedStore(self)
        ledger = Ledger(self.entries.append, now=count().__next__)
        self.store = LedgerStore(self.jobs, ledger)
        self.archive = MemoryArchive()
        self.letters = MemoryDeadLetterStore()
        self.alerts = RecordedAlerts()
        self.sweeps = MemorySweepStore()
        self.plans = {name: entered(self._plan(name), ledger) for name in self.services}
        for bot in (*self.bots, BYSTANDER):
            self.write(bot)
        self.bystanders = frozenset(row for row in self.rows if row[2] == BYSTANDER)

    def _plan(self, service: str) -> Plan:
        tables = (Table(service, table, self) for table in ROWS)
        return Plan(service, tuple(tables))

    def write(self, bot: str) -> None:
        """The bot gets new rows in every service, anywhere among those it has."""
        for service in self.services:
            for table, number in ROWS.items():
                keys = self.rng.sample(range(1_000_000), number)
                self.rows.update((service, table, bot, key) for key in keys)

    def place(self, bot: str) -> Request:
        """A client's new request."""
        event_id = str(uuid.UUID(int=self.rng.getrandbits(128), version=4))
        skew = self.rng.choice((-1, 0, 1)) * self.scenario.gateway_skew
        at = self.clock.now() + timedelta(seconds=skew)
        subject = BotDeletionSubject(event_id, at, bot, RequestPlaced(at))
        rows = frozenset(row for row in self.rows if row[2] == bot)
        self.requests.append(Request(subject, at, rows))
        return self.requests[-1]

    def covers(self, job: Job, request: Request) -> bool:
        """Whether the job stands for the request: it was recorded there, its own or joined."""
        if (job.id, request.subject.event_id) in self.covered:
            return True
        is_earlier = not self.scenario.gateway_skew and request.placed_at <= job.placed_at
        return job.bot_id == request.subject.bot_id and is_earlier

    def left_of(self, job: Job) -> list[str]:
        """The rows that a complete job should have deleted, a line for each request."""
        return [
            f"job {job.id} is complete: {len(left)} rows of event {request.subject.event_id} remain"
            for request in self.requests
            if self.covers(job, request)
            if (left := {row for row in request.rows & self.rows if row[0] == job.service})
        ]
