"""What outlives the processes of a simulated installation, and the rules for each write to it."""

import asyncio
import uuid
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import partial
from itertools import count

from deletion.bus import Message
from deletion.errors import PermanentError
from deletion.events import BotDeletionSubject, RequestPlaced
from deletion.job import (
    RETRIED,
    ROLLED_BACK,
    STALE,
    Change,
    Job,
    LeasePolicy,
    PastAttempt,
    Status,
)
from deletion.plan import Batch, Plan
from deletion.ports import Recorded, RecordOutcome
from tests.simulation.broker import Broker, Rules
from tests.simulation.holds import Holds
from tests.simulation.loop import HOST, Host
from tests.simulation.saga import BEFORE, POINT, Calls, Switch, turns
from tests.simulation.schedule import KILLS, Decision, Scenario, rng
from tests.support.alerts import RecordedAlerts
from tests.support.clock import VirtualClock, now
from tests.support.factories import unpaced
from tests.support.ledger import Entry, Ledger, LedgerStore, entered
from tests.support.memory_stores import MemoryDeadLetterStore, MemoryJobStore, MemorySweepStore

SERVICES = ("conversations", "billing")
STALE_AFTER = timedelta(seconds=60)
REST = timedelta(seconds=5)
BATCH = timedelta(seconds=100)
"""How long a heartbeat vouches for one batch."""
RETRY_SECONDS = 30.0
"""How long errors that may pass are retried in place."""
BATCH_SIZE = 2
ROWS = {"messages": 3, "files": 2}
"""Rows of each bot by table, in each service."""
BYSTANDER = "f" * 24
"""A bot that nobody asks to delete."""

Row = tuple[str, str, str, int]
"""Service, table, bot and key."""

LEGAL = {
    (Status.PENDING, Status.IN_PROGRESS),
    (Status.FAILED, Status.IN_PROGRESS),
    (Status.IN_PROGRESS, Status.IN_PROGRESS),
    (Status.IN_PROGRESS, Status.COMPLETE),
    (Status.IN_PROGRESS, Status.FAILED),
    (Status.IN_PROGRESS, Status.PENDING),
    (Status.IN_PROGRESS, Status.EXHAUSTED),
    (Status.FAILED, Status.PENDING),
    (Status.FAILED, Status.EXHAUSTED),
    (Status.PENDING, Status.PENDING),  # an operator hurries one that is parked
    (Status.EXHAUSTED, Status.PENDING),
    (Status.IN_PROGRESS, Status.COMPENSATED),
    (Status.COMPENSATED, Status.PENDING),
}
"""What docs/state_machine.md allows, stated independently of `deletion.job.RULES`."""
ENDED = (Status.COMPLETE, Status.COMPENSATED)
WITHOUT_WORKERS = (Status.IN_PROGRESS, Status.FAILED, Status.EXHAUSTED, *ENDED)
"""Statuses in which no worker may claim a job, except a failed one that was handed over."""


@dataclass
class Request:
    """A client's DELETE, and the rows that the bot had when it was placed."""

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
        """Delete what follows `cursor`. Rows before it are left for the read-back to find."""
        if self.world.scenario.saga and self.name == POINT:
            self.world.calls.passed(self.service, bot_id)
        last = -1 if cursor is None else int(cursor)
        while batch := [row for row in self._of(bot_id) if row[3] > last][:BATCH_SIZE]:
            self.world.curse(self.name, bot_id)
            await self.world.trouble(bot_id)
            await asyncio.sleep(self.world.scenario.seconds)
            self.world.rows.difference_update(batch)
            last = batch[-1][3]
            yield Batch(len(batch), str(last))

    async def is_empty(self, bot_id: str) -> bool:
        """Whether the table holds nothing of the bot."""
        await self.world.trouble(bot_id)
        return not self._of(bot_id)

    def _of(self, bot_id: str) -> list[Row]:
        return sorted(
            row for row in self.world.rows if row[:3] == (self.service, self.name, bot_id)
        )


class WatchedStore(MemoryJobStore):
    """The store; checks each write that it accepts against the rules."""

    def __init__(self, world: "World") -> None:
        super().__init__(now)
        self._world = world

    async def record(self, jobs: Sequence[Job]) -> list[Recorded]:
        recorded = await super().record(jobs)
        for job, found in zip(jobs, recorded, strict=True):
            if found.outcome is RecordOutcome.JOINED and self.jobs[found.job_id].rollback_cause:
                self._world.turns["joined in a rollback"] += 1
            if found.outcome is not RecordOutcome.FULL:
                self._world.covered.add((found.job_id, job.event_id))
        for job in (self.jobs[found.job_id] for found in recorded):
            same = [j for j in self.jobs.values() if j.service == job.service]
            of_bot = [j for j in same if j.bot_id == job.bot_id]
            self._look_at_live(of_bot)
            events = Counter(event for j in of_bot for event in j.event_ids)
            if twice := [event for event, times in events.items() if times > 1]:
                self._world.broken.append(f"events {twice} are covered twice in {job.service}")
        return recorded

    def _look_at_live(self, of_bot: Sequence[Job]) -> None:
        live = [job for job in of_bot if job.status not in ENDED]
        if len(live) > 1:
            bot, service = live[0].bot_id, live[0].service
            self._world.broken.append(f"bot {bot} has two live jobs in {service}")

    async def apply(self, change: Change) -> Job:
        before = self.jobs.get(change.after.id)
        job = await super().apply(change)
        after = self.jobs[job.id]
        if after.status is Status.IN_PROGRESS:
            self._world.holds.wrote(after)  # a repetition too: it gets the run its answer
        if before is not None and after != before:
            illegal = _illegal(before, after, self._world.policy, HOST.get())
            self._world.broken += [f"job {job.id}: {line}" for line in illegal]
            self._world.calls.wrote(before, after)
            self._world.turns.update(turns(before, after))
            same = [j for j in self.jobs.values() if j.service == job.service]
            self._look_at_live([j for j in same if j.bot_id == job.bot_id])
            if after.status is Status.EXHAUSTED:
                self._world.exhausted.append(job.id)
            if after.status is Status.COMPLETE:
                self._world.broken += self._world.left_of(after)
        return job


def _illegal(before: Job, after: Job, policy: LeasePolicy, by: Host | None) -> Iterator[str]:
    """The rules of docs/state_machine.md that a write breaks, stated independently of the code."""
    if (before.status, after.status) not in LEGAL:
        yield f"{before.status} became {after.status}"
    if not 0 <= after.attempt <= policy.max_attempts:
        yield f"attempt {after.attempt} of {policy.max_attempts}"
    if after.last_modified_at <= before.last_modified_at:
        yield "two states of it look alike to an outsider"
    # A worker finds a job by `due`. One that was handed over is failed, and waits for a worker.
    if (after.due is None) != (after.status in WITHOUT_WORKERS and not _is_handed_over(after)):
        yield f"it is {after.status} and due {after.due}"
    if not set(before.event_ids) <= set(after.event_ids) or after.placed_at < before.placed_at:
        yield "one of its requests was forgotten"
    if after.claimed_by != before.claimed_by:
        yield from _illegal_claim(before, after)
    elif before.status is Status.IN_PROGRESS:
        yield from _illegal_end(before, after, policy, by)
    else:
        yield from _illegal_move(before, after, policy, by)


def _illegal_claim(before: Job, after: Job) -> Iterator[str]:
    # A failed job rests until a sweep resumes it; a handed-over one was not at fault.
    if before.status is Status.FAILED and not _is_handed_over(before):
        yield f"{after.claimed_by} claimed it while it rested"
    if before.due is None or before.due > after.last_modified_at:
        yield f"{after.claimed_by} claimed it before it was due"
    if after.attempt != before.attempt + 1:
        yield f"a claim made attempt {before.attempt} attempt {after.attempt}"


def _illegal_end(before: Job, after: Job, policy: LeasePolicy, by: Host | None) -> Iterator[str]:
    """A write to a job in progress: by its run, or by somebody who takes it from a silent run."""
    silent = after.last_modified_at - before.last_modified_at
    if after.rollback_cause and not before.rollback_cause:
        # A run rolls back at once after a permanent error; a sweep only instead of giving up. The
        # rollback has all attempts again.
        if _is_sweep(by) and (silent < policy.stale_after or before.attempt < policy.max_attempts):
            yield f"a sweep rolled it back after {silent} at attempt {before.attempt}"
        if (after.status, after.attempt) != (Status.PENDING, 0):
            yield f"it was rolled back and is {after.status} at attempt {after.attempt}"
        return
    if after.parks > before.parks:
        # The attempt is handed back if the run has called nothing.
        if after.attempt not in (before.attempt, before.attempt - 1):
            yield f"it was parked and is at attempt {after.attempt} after {before.attempt}"
        return
    # A run records no past attempt but an interruption; so this was somebody else.
    if _ends(after) != _ends(before):
        if silent < policy.stale_after:
            yield f"it was taken from {before.claimed_by}, which was still heard of"
        # An operator need not wait for the rest.
        if _is_sweep(by) and silent < _rest_of_silent(before, policy):
            yield f"it rested for {silent} only after {before.past_attempts}"
        if after.status is Status.EXHAUSTED and before.attempt < policy.max_attempts:
            yield f"it was given up at attempt {before.attempt}"
    elif after.status in (Status.PENDING, Status.EXHAUSTED):
        yield "its end is not among its past attempts"
    # A job that is interrupted at the same batch each time may be what ends its process.
    elif _interruptions(after) > 2:
        yield "it was handed over once more at the same batch"
    # An interruption hands the attempt back.
    elif after.attempt != before.attempt - _is_handed_over(after):
        yield f"{after.claimed_by} made attempt {before.attempt} attempt {after.attempt}"


def _ends(job: Job) -> list[PastAttempt]:
    """Its past attempts, without interruptions, which are dropped after another batch."""
    return [past for past in job.past_attempts if past.reason != "interrupted"]


def _interruptions(job: Job) -> int:
    """How often it was handed over at the batch where it stands; a rollback begins a new count.

    A job drops its interruptions once it has moved on to another batch.
    """
    count = 0
    for past in job.past_attempts:
        count = 0 if past.reason == "turned back" else count + (past.reason == "interrupted")
    return count


def _illegal_move(before: Job, after: Job, policy: LeasePolicy, by: Host | None) -> Iterator[str]:
    """A write to a job that nobody runs: by a sweep, or by an operator, who need not wait."""
    rested = after.last_modified_at - before.last_modified_at
    swept = _is_sweep(by)
    # Without attempts left it will only be given up or rolled back: the shortest rest is enough.
    attempt = before.attempt if before.attempt < policy.max_attempts else 1
    if before.status is Status.FAILED and swept and rested < policy.rest_after(attempt):
        yield f"it rested for {rested} only after attempt {before.attempt}"
    # Only a claim moves a job that was handed over.
    if before.status is Status.FAILED and _is_handed_over(before):
        yield f"it was handed over, and became {after.status}"
    if after.status is Status.EXHAUSTED and before.attempt < policy.max_attempts:
        yield f"it was given up at attempt {before.attempt}"
    # A job whose attempts are spent, or that was rolled back, waits for an operator.
    if before.status in (Status.EXHAUSTED, Status.COMPENSATED) and swept:
        yield "a sweep sent it on, without an operator"
    # With attempts left it is resumed.
    if after.rollback_cause and not before.rollback_cause and before.attempt < policy.max_attempts:
        yield f"a sweep rolled it back at attempt {before.attempt}"
    # Its next run calls every step again, and has nothing to undo yet.
    if before.status is Status.COMPENSATED and (after.rollback_cause or after.compensations):
        yield "it was not started anew"


def _is_sweep(by: Host | None) -> bool:
    return by is not None and by.name.startswith("recovery")


def _rest_of_silent(job: Job, policy: LeasePolicy) -> timedelta:
    """The rest of a job whose run fell silent: none after the first silence.

    A retry or a rollback begins a new count. Without attempts left the shortest rest is enough.
    """
    silences = 0
    for past in job.past_attempts:
        is_anew = past.reason in (RETRIED, ROLLED_BACK)
        silences = 0 if is_anew else silences + (past.reason == STALE)
    if not silences:
        return timedelta(0)
    return policy.rest_after(silences if job.attempt < policy.max_attempts else 1)


def _is_handed_over(job: Job) -> bool:
    return job.status is Status.FAILED and bool(job.failure and job.failure.interrupted)


async def _no_trouble(_bot_id: str) -> None: ...


@dataclass
class World:
    """Everything that outlives a process. `broken` are the rules that were broken, a line each.

    `trouble` is awaited by each batch and each read-back of a bot's data, and may raise.
    """

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
    won: int = 0
    lost: int = 0
    retry_seconds: float = RETRY_SECONDS
    trouble: Callable[[str], Awaitable[None]] = _no_trouble
    turns: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self.rng = rng("world", self.seed)
        self.clock = VirtualClock()
        self.services = list(SERVICES[: self.scenario.services])
        self.bots = [f"{number:024x}" for number in range(1, self.scenario.bots + 1)]
        self.cursed = self.bots[0] if self.scenario.cursed else None
        self.policy = LeasePolicy(STALE_AFTER, self.scenario.max_attempts, REST, BATCH)
        rules = Rules(rng("broker", self.seed), self.scenario.twice, self.scenario.max_deliveries)
        self.broker = Broker(self.clock, rules, self.services)
        self.holds = Holds(STALE_AFTER.total_seconds())
        self.jobs = WatchedStore(self)
        self.calls = Calls(self.jobs.jobs)
        ledger = Ledger(self.entries.append, now=count().__next__)
        self.store = LedgerStore(self.jobs, ledger)
        self.letters = MemoryDeadLetterStore()
        self.alerts = RecordedAlerts()
        self.sweeps = MemorySweepStore()
        self.plans = {name: entered(self._plan(name), ledger) for name in self.services}
        for bot in (*self.bots, BYSTANDER):
            self.write(bot)
        self.bystanders = frozenset(row for row in self.rows if row[2] == BYSTANDER)

    @property
    def is_in_trouble(self) -> bool:
        """Whether `trouble` makes faults that are not in the schedule."""
        return self.trouble is not _no_trouble

    def _plan(self, service: str) -> Plan:
        tables = tuple(Table(service, table, self) for table in ROWS)
        if not self.scenario.saga:
            return unpaced(service, *tables)
        switch = partial(Switch, service, calls=self.calls, curse=self.curse)
        undo = {name: switch(name, is_undo=True) for name in BEFORE}
        plan = unpaced(service, *map(switch, BEFORE), *tables)
        return replace(plan, point_of_no_return=POINT, compensations=undo)

    def curse(self, step: str, bot_id: str) -> None:
        """Kill the process or raise, if the scenario says so for this call."""
        cursed_step = self.scenario.cursed_step
        if bot_id != self.cursed or step not in ((cursed_step,) if cursed_step else ROWS):
            if bot_id == self.cursed and cursed_step.startswith("undo") and step == BEFORE[-1]:
                raise PermanentError("so that the saga is rolled back")
            return
        process = HOST.get()
        if process and self.scenario.cursed == KILLS:
            process.kill()
        raise ArithmeticError("this bot cannot be deleted")

    def write(self, bot: str) -> None:
        """Give the bot new rows in every service, anywhere among those it has."""
        for service in self.services:
            for table, number in ROWS.items():
                keys = self.rng.sample(range(1_000_000), number)
                self.rows.update((service, table, bot, key) for key in keys)

    def place(self, bot: str) -> Request:
        """A new request of a client."""
        event_id = str(uuid.UUID(int=self.rng.getrandbits(128), version=4))
        skew = self.rng.choice((-1, 0, 1)) * self.scenario.gateway_skew
        at = self.clock.now() + timedelta(seconds=skew)
        subject = BotDeletionSubject(event_id, at, bot, RequestPlaced(at))
        rows = frozenset(row for row in self.rows if row[2] == bot)
        self.requests.append(Request(subject, at, rows))
        return self.requests[-1]

    def covers(self, job: Job, request: Request) -> bool:
        """Whether the job covers the request, as recorded or, where clocks are right, by time."""
        if (job.id, request.subject.event_id) in self.covered:
            return True
        is_earlier = not self.scenario.gateway_skew and request.placed_at <= job.placed_at
        return job.bot_id == request.subject.bot_id and is_earlier

    def count_claims(self, won: int, lost: int, _refused: int) -> None:
        """Count claims that were won, and those that others won first."""
        self.won += won
        self.lost += lost

    def left_of(self, job: Job) -> list[str]:
        """The rows that a complete job should have deleted, a line for each request."""
        return [
            f"job {job.id} is complete: {len(left)} rows of event {request.subject.event_id} remain"
            for request in self.requests
            if self.covers(job, request)
            if (left := {row for row in request.rows & self.rows if row[0] == job.service})
        ]
