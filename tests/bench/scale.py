"""Scale: what a job costs as the number of jobs grows by decades.

In memory, in virtual time: the product's claims, workers, runs, sweeps and ledger over a store with
indexes; the time is that of the processor. On the real parts: four consumer processes of one
service over the embedded database and a broker. Each form does the same work beside every backlog,
and its cost is compared with that beside the smallest one.
"""

import asyncio
import time
from collections.abc import Callable, Coroutine, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final
from urllib.parse import urlsplit

import psutil
from bson import ObjectId

from deletion.adapters.mongo.census import MongoCensus
from deletion.adapters.mongo.connection import Client, connect
from deletion.adapters.mongo.jobs import MongoJobStore
from deletion.clock import truncated
from deletion.job import Job, Status
from tests.bench.own_pipeline import own_pipeline
from tests.simulation import growth
from tests.simulation.growth import Cost, deletions, intake, settling, sweep
from tests.support.factories import new_job
from tests.support.indexed import indexed
from tests.support.pipeline import (
    SERVICE,
    Pipeline,
    publish,
    request_placed,
)

Figures = dict[str, float]
Form = Callable[[int], Coroutine[None, None, Cost]]

WORK: Final = 1_000
IN_MEMORY: Final[Mapping[str, tuple[int, Form]]] = {
    "50 replicas": (2_000, lambda n: deletions(n, WORK // 2, services=1, replicas=50)),
    "100 services": (20_000, lambda n: deletions(n, WORK, services=100, replicas=1)),
    "intake": (2_000, lambda n: intake(n, WORK)),
    "sweep": (2_000, lambda n: sweep(n, WORK)),
    "ledger, 100 services": (2_000, lambda n: settling(n, WORK, services=100)),
}
"""Each form with its smallest backlog. Each service of a hundred has more jobs than a page."""
DECADES: Final = (1, 10, 100)
UNITS: Final = (
    ("seconds", "µs", 1e6),
    ("calls", "calls", 1),
    ("read", "jobs read", 1),
    ("matched", "jobs matched", 1),
)
"""Fields of a cost, each with its unit. Matched jobs lie in the range of a look for due ones."""
CROWDS: Final = (10, 100, 1_000)
"""Replicas of one service."""

BACKLOGS: Final = (500, 5_000, 50_000)
CONSUMERS: Final = 4
SETTLING_IN, MEASURED = 100, 200
"""Jobs that are completed before the measurement, and in it."""
DOCUMENTS: Final = 3
MOST_COUNTED: Final = 5_000
"""A count of ten times more can take longer than the bound of a call, 10 s, on a busy machine."""
RECORDED_TOGETHER: Final = 100
WITHIN: Final = 900.0
LOOK_EVERY: Final = 0.2


async def bench(emulator_host: str, mongo_uri: str) -> Figures:
    """Costs for each job by backlog, each with its ratio to the smallest backlog."""
    found = await asyncio.to_thread(_in_memory)
    found |= await asyncio.to_thread(_crowds)
    return found | await _fleets(emulator_host, mongo_uri)


def _in_memory() -> Figures:
    found: Figures = {}
    for name, (smallest, form) in IN_MEMORY.items():
        sizes = [smallest * factor for factor in DECADES]
        costs = {size: growth.run(form(size)) for size in sizes}
        for what, unit, factor in UNITS:
            each = {size: cost.each(what) * factor for size, cost in costs.items()}
            found |= _growth(f"{name}, {unit} a job", each)
    return found


def _crowds() -> Figures:
    """What replicas read while nothing is due, and what they lose while much is."""
    found: Figures = {}
    for replicas in CROWDS:
        cost = growth.run(growth.idle(replicas))
        found[f"{replicas:,} idle replicas, reads/s"] = cost.calls / growth.IDLE_SECONDS
    for replicas in CROWDS:
        slots = growth.SLOTS * replicas
        cost = growth.run(deletions(5 * slots, slots, services=1, replicas=replicas))
        found[f"{replicas:,} busy replicas, claims lost a job"] = cost.each("lost")
        found[f"{replicas:,} busy replicas, calls a job"] = cost.each("calls")
    return found


def _growth(name: str, by_size: Mapping[int, float]) -> Figures:
    """The figures, and the ratio of each to the first."""
    first = next(iter(by_size.values()))
    found = {f"{name}, among {size:,}": value for size, value in by_size.items()}
    if first:
        ratios = list(by_size.items())[1:]
        found |= {f"  ratio at {size:,} ({name})": value / first for size, value in ratios}
    return found


@dataclass
class _Measured:
    """Milliseconds for one job beside one backlog; `census` is for one count of all live jobs."""

    consumers: float
    database: float
    elapsed: float
    census: float | None


async def _fleets(emulator_host: str, mongo_uri: str) -> Figures:
    found = {size: await _fleet(emulator_host, mongo_uri, size) for size in BACKLOGS}
    figures: Figures = {}
    for what in ("consumers", "database", "elapsed", "census"):
        values = {size: getattr(measured, what) for size, measured in found.items()}
        each = {size: float(value) for size, value in values.items() if value is not None}
        unit = "ms" if what == "census" else "ms a job"
        figures |= _growth(f"{CONSUMERS} processes, {what}, {unit}", each)
    return figures


async def _fleet(emulator_host: str, mongo_uri: str, backlog: int) -> _Measured:
    """Four consumers complete the oldest of `backlog` jobs, and as many new ones are requested."""
    async with own_pipeline(
        emulator_host, mongo_uri, batch_size=1000, pace="{busy_share: 1}"
    ) as pipeline:
        census = await _fill(pipeline, backlog)
        async with AsyncExitStack() as stack:
            processes = []
            for number in range(CONSUMERS):
                consumer = pipeline.consumer(f"consumer-{number}")
                await stack.enter_async_context(consumer)
                processes.append(psutil.Process(consumer.pid))
            await _completed(pipeline, SETTLING_IN)
            database = _server(mongo_uri)
            before = _busy(processes), _busy([database]), time.perf_counter()
            began = await _complete(pipeline)
            await publish(pipeline, *(request_placed(str(ObjectId())) for _ in range(MEASURED)))
            done = await _completed(pipeline, began + MEASURED) - began
            after = _busy(processes), _busy([database]), time.perf_counter()
    consumers, server, elapsed = (
        (new - old) / done * 1000 for old, new in zip(before, after, strict=True)
    )
    return _Measured(consumers, server, elapsed, census)


async def _fill(pipeline: Pipeline, backlog: int) -> float | None:
    """Record so many pending jobs. The oldest have data. Returns the milliseconds of a census, None
    if it would not be sure to end in time.
    """
    bots = await pipeline.fill(*[DOCUMENTS] * min(backlog, 2 * (SETTLING_IN + MEASURED)))
    bots += [str(ObjectId()) for _ in range(backlog - len(bots))]
    client = connect(pipeline.mongo_uri)
    try:
        store = await indexed(MongoJobStore, client, pipeline.database)
        now = await store.time()
        for first in range(0, backlog, RECORDED_TOGETHER):
            groups = (backlog - first) / RECORDED_TOGETHER
            at = truncated(now - timedelta(seconds=groups * growth.EVERY))
            some = bots[first : first + RECORDED_TOGETHER]
            await store.record([_job(bot, at) for bot in some])
        return await _census(client, pipeline.database) if backlog <= MOST_COUNTED else None
    finally:
        client.close()


async def _census(client: Client, database: str) -> float:
    began = time.perf_counter()
    await MongoCensus(client, database).unfinished()
    return (time.perf_counter() - began) * 1000


def _job(bot: str, at: datetime) -> Job:
    return new_job(
        Status.PENDING,
        service=SERVICE,
        bot_id=bot,
        attempt=0,
        claimed_by="",
        created_at=at,
        last_modified_at=at,
        due=at,
        placed_at=at,
    )


async def _complete(pipeline: Pipeline) -> int:
    return int(await pipeline.jobs.count_documents({"status": Status.COMPLETE.value}))


async def _completed(pipeline: Pipeline, jobs: int) -> int:
    """Wait until so many are complete. Returns how many are."""
    async with asyncio.timeout(WITHIN):
        while (found := await _complete(pipeline)) < jobs:  # noqa: ASYNC110
            await asyncio.sleep(LOOK_EVERY)
    return found


def _busy(processes: list[psutil.Process]) -> float:
    """Seconds that the processor has worked for them."""
    times = [process.cpu_times() for process in processes]
    return float(sum(each.user + each.system for each in times))


def _server(mongo_uri: str) -> psutil.Process:
    """The process that listens at the URI's port."""
    port = urlsplit(mongo_uri).port
    for connection in psutil.net_connections("tcp"):
        address = connection.laddr
        if connection.status == psutil.CONN_LISTEN and address and address.port == port:
            return psutil.Process(connection.pid)
    raise AssertionError(f"nothing listens at {port}")
