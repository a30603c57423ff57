"""What a job costs among few jobs and among many: the product's classes over a store in memory.

Each function fills a store with a backlog, does the same work whatever its size, and returns what
that took. Calls, and jobs that queries read, are the same in each run; the time is that of the
processor, in seconds.
"""

import asyncio
import gc
import time
from collections.abc import Callable, Collection, Coroutine, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta

from prometheus_client import CollectorRegistry

from deletion.job import Failure, Job, Status
from deletion.request import DeletionRequest, LedgerPolicy
from deletion.retry import Retry
from deletion.sweep import Sweep
from recovery.ledger.metrics import LedgerMetrics
from recovery.ledger.settle import Settle, Settlement
from recovery.sweeper import Sweeper
from tests.simulation import loop
from tests.simulation.load import POLICY, Distant, Replicas, a_new_job
from tests.simulation.simulation import silence
from tests.support.alerts import RecordedAlerts
from tests.support.clock import VirtualClock, now
from tests.support.large_store import LargeCoverageStore, LargeJobStore
from tests.support.memory_requests import MemoryRequestStore
from tests.support.memory_stores import MemorySweepStore

SLOTS = 8
"""Of each replica, as by default."""
SECONDS = 2.0
"""That a job takes."""
RECORDED_TOGETHER, EVERY = 100, 0.03
"""So many jobs are recorded at once, every so many seconds: what the embedded server takes."""
PAGE_SIZE = 500
"""Of a sweep, as by default."""
IDLE_SECONDS = 60.0
WITHIN = 3600.0
"""Both in virtual seconds."""
SILENT_FOR = timedelta(days=2)
"""Stale since, and rested."""


@dataclass
class Cost:
    """What it took to handle `jobs` of them."""

    jobs: int
    seconds: float = 0.0
    calls: int = 0
    read: int = 0
    matched: int = 0
    lost: int = 0
    by_call: dict[str, int] = field(default_factory=dict)

    def each(self, name: str) -> float:
        """Of `seconds`, `calls`, `read`, `matched` or `lost` for one job."""
        return float(getattr(self, name)) / self.jobs


def run(main: Coroutine[None, None, Cost]) -> Cost:
    """Run it in virtual time, without a log."""
    with silence():
        return loop.run(main)


@contextmanager
def measured(store: LargeJobStore, cost: Cost) -> Iterator[None]:
    """Add to `cost` what the block takes, without what collecting garbage among all jobs takes."""
    calls, read, matched = store.calls.copy(), store.read, store.matched
    gc.collect()
    gc.freeze()
    began = time.process_time()
    try:
        yield
        cost.seconds = time.process_time() - began
    finally:
        gc.unfreeze()
    cost.by_call = dict(store.calls - calls)
    cost.calls = sum(cost.by_call.values())
    cost.read, cost.matched = store.read - read, store.matched - matched


async def deletions(backlog: int, work: int, *, services: int, replicas: int) -> Cost:
    """`work` jobs are claimed, run and completed, the oldest of `backlog` of so many services.

    Each service has so many replicas. Jobs take 2 s. As many are completed before that: what a
    process reads when it starts is not read again.
    """
    store = Distant("growth")
    fleets = [
        Replicas(replicas, SLOTS, SECONDS, service=f"service-{number:03d}", store=store)
        for number in range(services)
    ]
    for _ in range(backlog // services // RECORDED_TOGETHER):
        for fleet in fleets:
            await fleet.place(RECORDED_TOGETHER)
        await asyncio.sleep(EVERY)
    for fleet in fleets:
        fleet.start()
    await _until(lambda: len(store.unreported) >= work)
    before, lost = len(store.unreported), sum(fleet.lost for fleet in fleets)
    cost = Cost(work)
    with measured(store, cost):
        await _until(lambda: len(store.unreported) >= before + work)
    cost.lost = sum(fleet.lost for fleet in fleets) - lost
    cost.jobs = len(store.unreported) - before
    await asyncio.gather(*(fleet.stop() for fleet in fleets))
    return cost


async def idle(replicas: int) -> Cost:
    """What so many replicas call in `IDLE_SECONDS` while nothing is due, after they have started.

    Each has one worker here; a process has two, for there is the queue of suspects.
    """
    fleet = Replicas(replicas, SLOTS, SECONDS)
    fleet.start()
    await asyncio.sleep(IDLE_SECONDS)
    cost = Cost(jobs=1)
    with measured(fleet.store, cost):
        await asyncio.sleep(IDLE_SECONDS)
    await fleet.stop()
    return cost


async def intake(backlog: int, work: int) -> Cost:
    """`work` jobs are recorded, a group at a time, beside `backlog` others."""
    store = LargeJobStore(now)
    await _fill(store, (_job(store) for _ in range(backlog)))
    cost = Cost(work)
    new = [_job(store) for _ in range(work)]
    with measured(store, cost):
        await _fill(store, iter(new))
    return cost


async def sweep(complete: int, work: int) -> Cost:
    """`work` jobs are made pending, half of them failed and half of them stale; others are done."""
    store, sweeps, clock = LargeJobStore(now), MemorySweepStore(), VirtualClock()
    await _fill(store, (_done(store) for _ in range(complete)))
    await _fill(store, (_silent(store, number) for number in range(work)))
    sweeper = Sweeper(
        jobs=store,
        sweeps=sweeps,
        clock=clock,
        policy=POLICY,
        retry=Retry(clock),
        page_size=PAGE_SIZE,
        alerts=RecordedAlerts(),
        stale_share=1.0,  # half of them are stale: not worth an alert
        waiting_after=timedelta(days=1),
    )
    cost = Cost(work)
    with measured(store, cost):
        started = Sweep.started(sweeps.new_id(), clock.now())
        await sweeps.start(started, silent_since=started.started_at)
        ended = await sweeper.run(started, asyncio.Event())
    assert ended.resumed == work, ended
    return cost


async def settling(unreported: int, work: int, *, services: int) -> Cost:
    """What `work` complete jobs cover is settled, the first completed of `unreported`.

    Each request is owed by so many services.
    """
    store, clock = LargeJobStore(now), VirtualClock()
    requests, coverage = MemoryRequestStore(), _Stopping(store, work)
    names = [f"service-{number:03d}" for number in range(services)]
    for _ in range(unreported // services):
        request = _request(names)
        await requests.record([request])
        await _fill(store, (_done(store, name, request) for name in names))
        await asyncio.sleep(0.001)
    metrics = LedgerMetrics(CollectorRegistry())
    settlement = Settlement(requests, clock, metrics, lambda: None)
    settle, cost = Settle(coverage, settlement, clock, metrics), Cost(work)
    with measured(store, cost):
        cost.jobs = await settle(coverage.stopping)
    assert len(store.unreported) == unreported - cost.jobs
    return cost


class _Stopping(LargeCoverageStore):
    """Asks the ledger to stop once `work` jobs are reported."""

    def __init__(self, store: LargeJobStore, work: int) -> None:
        super().__init__(store)
        self.stopping = asyncio.Event()
        self._left = work

    async def mark_reported(self, job_ids: Collection[str]) -> None:
        await super().mark_reported(job_ids)
        self._left -= len(job_ids)
        if self._left <= 0:
            self.stopping.set()


async def _until(condition: Callable[[], bool]) -> None:
    """Look often: what is done after that would count too."""
    deadline = asyncio.get_running_loop().time() + WITHIN
    while not condition():
        assert asyncio.get_running_loop().time() < deadline, (
            f"not within {WITHIN:g} virtual seconds"
        )
        await asyncio.sleep(0.01)


async def _fill(store: LargeJobStore, jobs: Iterator[Job]) -> None:
    group: list[Job] = []
    for job in jobs:
        group.append(job)
        if len(group) == RECORDED_TOGETHER:
            await store.record(group)
            group = []
    await store.record(group)


def _job(store: LargeJobStore, service: str = "service-000") -> Job:
    job_id = store.new_id()
    return a_new_job(job_id, job_id, service)


def _done(
    store: LargeJobStore, service: str = "service-000", request: DeletionRequest | None = None
) -> Job:
    job = _job(store, service)
    if request:
        job = replace(job, bot_id=request.bot_id, event_ids=(request.id,))
    return replace(job, status=Status.COMPLETE, due=None, attempt=1, finished_at=now())


def _silent(store: LargeJobStore, number: int) -> Job:
    """A failed job, or a stale one, in turn."""
    at = now() - SILENT_FOR
    failure = Failure("Boom", "it broke", at) if number % 2 else None
    status = Status.FAILED if failure else Status.IN_PROGRESS
    job = replace(_job(store), status=status, due=None, attempt=1, claimed_by="a run")
    return replace(job, last_modified_at=at + timedelta(milliseconds=number), failure=failure)


def _request(services: Sequence[str]) -> DeletionRequest:
    number = next(_numbers)
    return DeletionRequest.received(
        event_id=f"00000000-0000-4000-8000-{number:012x}",
        bot_id=f"{number:024x}",
        placed_at=now(),
        services=services,
        now=now(),
        policy=LedgerPolicy(timedelta(days=30), timedelta(hours=1)),
    )


_numbers = iter(range(1, 10**9))
