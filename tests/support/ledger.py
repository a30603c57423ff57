"""The ledger: an append-only log of which run owned which job and what it did, and its rules.

Ports are wrapped, so that every claim, write and batch leaves an entry: in real processes a line
in a shared file, in the simulation an element of a list. An entry has the times between which it
happened, so that the rules rely only on an order that was observed.
"""

import asyncio
import json
import os
import time
from collections import Counter, defaultdict
from collections.abc import AsyncGenerator, Callable, Collection, Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from weakref import WeakKeyDictionary

from deletion.job import Change, Job, Status
from deletion.plan import Batch, Plan, Step
from deletion.ports import JobStore, Read, Recorded


class What(StrEnum):
    """The kind of an entry."""

    CLAIM = "claim"  # the owner took the job from the owner `before`, "" if there was none
    WRITE = "write"  # the owner's update was accepted
    REFUSED = "refused"  # the owner's update was refused
    DELETE = "delete"  # the owner deleted one batch


@dataclass(frozen=True, slots=True)
class Entry:
    """An event between `began` and `ended`, in ticks of one common clock."""

    began: int
    ended: int
    what: What
    job: str
    owner: str
    before: str = ""
    status: str = ""


class Ledger:
    """Collects entries. `now` is the common clock."""

    def __init__(
        self, append: Callable[[Entry], None], now: Callable[[], int] = time.monotonic_ns
    ) -> None:
        self.append = append
        self.now = now
        self._unassigned: WeakKeyDictionary[asyncio.Task[object], list[Entry]] = WeakKeyDictionary()

    def deleted(self, began: int) -> None:
        """Note a batch; the checkpoint that this task writes next says for which job."""
        if task := asyncio.current_task():
            batch = Entry(began, self.now(), What.DELETE, job="", owner="")
            self._unassigned.setdefault(task, []).append(batch)

    def settle(self, job: Job) -> None:
        """Assign the batch that this task noted to `job`."""
        if task := asyncio.current_task():
            for batch in self._unassigned.pop(task, []):
                self.append(replace(batch, job=job.id, owner=job.claimed_by))


def file_ledger(path: Path) -> Ledger:
    """A ledger that many processes append to; each line is one write, so lines do not mix."""
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    return Ledger(lambda entry: _write(descriptor, entry))


def _write(descriptor: int, entry: Entry) -> None:
    os.write(descriptor, (json.dumps(asdict(entry)) + "\n").encode())


def read_ledger(path: Path) -> list[Entry]:
    """All entries of a file, without a last line that a kill cut off."""
    if not path.exists():
        return []
    lines = path.read_text().split("\n")[:-1]
    entries = (json.loads(line) for line in lines)
    return [Entry(**(fields | {"what": What(fields["what"])})) for fields in entries]


@dataclass
class LedgerStore:
    """A job store that logs accepted and refused writes."""

    store: JobStore
    ledger: Ledger

    async def record(self, jobs: Sequence[Job]) -> list[Recorded]:
        return await self.store.record(jobs)

    async def apply(self, change: Change) -> Job:
        before, after = change.before, change.after
        self.ledger.settle(before)
        began = self.ledger.now()
        try:
            job = await self.store.apply(change)
        except Exception:
            self._enter(began, What.REFUSED, after)
            raise
        if after.claimed_by != before.claimed_by:
            self._enter(began, What.CLAIM, after, before.claimed_by)
        else:
            self._enter(began, What.WRITE, after)
        return job

    def _enter(self, began: int, what: What, job: Job, before: str = "") -> None:
        now = self.ledger.now()
        self.ledger.append(Entry(began, now, what, job.id, job.claimed_by, before, job.status))

    async def ping(self) -> None:
        await self.store.ping()

    async def check_writes(self) -> None:
        await self.store.check_writes()

    def new_id(self) -> str:
        return self.store.new_id()

    async def get(self, job_id: str) -> Job | None:
        return await self.store.get(job_id)

    async def time(self) -> datetime:
        return await self.store.time()

    async def due(self, queue: str, since: datetime, until: datetime, limit: int) -> Sequence[Read]:
        return await self.store.due(queue, since, until, limit)

    async def silent(
        self,
        status: Status,
        *,
        since: datetime,
        until: datetime,
        skip: Collection[str] = (),
        limit: int,
    ) -> Sequence[Read]:
        return await self.store.silent(status, since=since, until=until, skip=skip, limit=limit)

    async def count(self, status: Status) -> int:
        return await self.store.count(status)

    async def count_waiting(self, status: Status, *, until: datetime, limit: int) -> int:
        return await self.store.count_waiting(status, until=until, limit=limit)

    async def find(
        self,
        *,
        service: str | None = None,
        bot_id: str | None = None,
        status: Status | None = None,
        limit: int,
    ) -> Sequence[Read]:
        return await self.store.find(service=service, bot_id=bot_id, status=status, limit=limit)


@dataclass
class LedgerStep:
    """A step that logs its batches."""

    step: Step
    ledger: Ledger

    @property
    def name(self) -> str:
        return self.step.name

    async def delete(self, bot_id: str, cursor: str | None) -> AsyncGenerator[Batch, None]:
        batches = self.step.delete(bot_id, cursor)
        try:
            began = self.ledger.now()
            async for batch in batches:
                self.ledger.deleted(began)
                yield batch
                began = self.ledger.now()
        finally:
            await batches.aclose()

    async def is_empty(self, bot_id: str) -> bool:
        return await self.step.is_empty(bot_id)


def entered(plan: Plan, ledger: Ledger) -> Plan:
    """The plan, with steps that log their batches."""
    undo = {name: LedgerStep(step, ledger) for name, step in plan.compensations.items()}
    steps = tuple(LedgerStep(step, ledger) for step in plan.steps)
    return replace(plan, steps=steps, compensations=undo)


def violations(entries: Iterable[Entry]) -> list[str]:
    """The rules of ownership that the entries break, one line each.

    Only one other owner takes a job from an owner. The previous owner writes nothing from then on,
    and deletes at most one batch: the one whose checkpoint is refused. Nothing is written to a
    complete job, except its end again when the answer was lost, and its owner deletes nothing more.
    """
    by_job: defaultdict[str, list[Entry]] = defaultdict(list)
    for entry in entries:
        by_job[entry.job].append(entry)
    return [line for job, of_job in by_job.items() for line in _violations(job, of_job)]


def _violations(job: str, entries: Sequence[Entry]) -> list[str]:
    claims = [entry for entry in entries if entry.what is What.CLAIM]
    heirs = Counter(before for before, _ in {(claim.before, claim.owner) for claim in claims})
    broken = [f"job {job} was taken from {who!r} {n} times" for who, n in heirs.items() if n > 1]
    for claim in claims:
        later = [e for e in entries if e.owner == claim.before and e.began > claim.ended]
        what = Counter(entry.what for entry in later)
        if what[What.WRITE]:
            broken.append(f"job {job}: {claim.before} wrote after {claim.owner} had taken it")
        if what[What.DELETE] > 1:
            broken.append(f"job {job}: {claim.before} went on after {claim.owner} had taken it")
    for end in (e for e in entries if _is_end(e)):
        after = {e.what for e in entries if e.began > end.ended and not _may_follow(e, end)}
        if after:
            broken.append(f"job {job}: {', '.join(sorted(after))} after it was complete")
    return broken


def _is_end(entry: Entry) -> bool:
    return entry.what is What.WRITE and entry.status == Status.COMPLETE


def _may_follow(entry: Entry, end: Entry) -> bool:
    """Whether this may follow: a refused write, the end repeated, a batch of a previous owner."""
    if entry.owner == end.owner:
        return entry.what is What.REFUSED or _is_end(entry)
    return entry.what in (What.REFUSED, What.DELETE)
