"""Sweep: what it costs among few jobs and among many.

The same hundred resumable jobs, half of them failed and half of them stale, lie spread among
1,000 jobs and among 100,000; all others are complete. The sweep is the real one, on a real
database with the real sweep store. Each sweep makes them pending, and they are put back after it.
"""

import asyncio
import statistics
import time
import uuid
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from bson import ObjectId

from deletion.adapters.mongo.connection import Client, Document, connect
from deletion.adapters.mongo.job_document import to_document
from deletion.adapters.mongo.jobs import COLLECTION, MongoJobStore
from deletion.clock import SystemClock, truncated
from deletion.job import Job, LeasePolicy, Status
from deletion.retry import Retry
from deletion.sweep import Sweep, SweepStatus
from recovery.mongo_sweeps import MongoSweepStore
from recovery.sweeper import Sweeper
from tests.support.alerts import RecordedAlerts
from tests.support.indexed import indexed

RESUMABLE = 100
SIZES = (1_000, 100_000)
ROUNDS = 9
PAGE_SIZE = 500
"""As it is by default."""
INSERTED_TOGETHER = 1_000
POLICY = LeasePolicy(timedelta(seconds=600), max_attempts=5)


async def bench(
    mongo_uri: str,
    sizes: Sequence[int] = SIZES,
    rounds: int = ROUNDS,
    resumable: int = RESUMABLE,
) -> dict[str, float]:
    """The median milliseconds of a sweep by the number of jobs, and their ratio.

    Each size is swept once a round, in turn, after a round that does not count. Leaves its
    databases behind: dropping the large one can take longer than everything else.
    """
    client = connect(mongo_uri)
    names = {size: f"bench_sweep_{uuid.uuid4().hex[:8]}" for size in sizes}
    seconds: dict[int, list[float]] = {size: [] for size in sizes}
    for size, name in names.items():
        await fill(client, name, size, resumable)
    for number in range(rounds + 1):
        for size, name in names.items():
            taken = await sweep_once(client, name, resumable)
            if number:
                seconds[size].append(taken)
    client.close()
    medians = {size: statistics.median(seconds[size]) for size in sizes}
    figures = {f"among {size:,} jobs, ms": medians[size] * 1000 for size in sizes}
    return figures | {"ratio": medians[max(sizes)] / medians[min(sizes)]}


async def fill(client: Client, database: str, size: int, resumable: int) -> None:
    """`size` jobs, every so many of them resumable."""
    await indexed(MongoJobStore, client, database)
    await indexed(MongoSweepStore, client, database)
    every = size // resumable
    for first in range(0, size, INSERTED_TOGETHER):
        numbers = range(first, min(first + INSERTED_TOGETHER, size))
        jobs = [_job(number // every if number % every == 0 else None) for number in numbers]
        await client[database][COLLECTION].insert_many([to_document(job) for job in jobs])


async def sweep_once(client: Client, database: str, resumable: int) -> float:
    """The seconds of one sweep, which has to find them all."""
    clock = SystemClock()
    sweeps = MongoSweepStore(client, database)
    sweeper = Sweeper(
        jobs=MongoJobStore(client, database),
        sweeps=sweeps,
        clock=clock,
        policy=POLICY,
        retry=Retry(clock),
        page_size=PAGE_SIZE,
        alerts=RecordedAlerts(),
        stale_share=1.0,  # half of them are stale each time: not worth a line in the log
        waiting_after=timedelta(days=1),
    )
    begun = time.perf_counter()
    started = Sweep.started(sweeps.new_id(), clock.now())
    await sweeps.start(started, silent_since=started.started_at)
    ended = await sweeper.run(started, asyncio.Event())
    taken = time.perf_counter() - begun
    if ended.status is not SweepStatus.COMPLETE or ended.resumed != resumable:
        raise AssertionError(f"{ended}: not {resumable} jobs were resumed")
    await _put_back(client, database)
    return taken


async def _put_back(client: Client, database: str) -> None:
    """As they were before the sweep, half of them failed and half of them stale."""
    jobs = client[database][COLLECTION]
    found = await jobs.find({"status": Status.PENDING.value}, {"_id": True}).to_list(None)
    silent = truncated(datetime.now(UTC)) - timedelta(hours=1)
    for number, document in enumerate(found):
        status = Status.FAILED if number % 2 else Status.IN_PROGRESS
        fields: Document = {"status": status.value, "lastModifiedAt": silent, "pastAttempts": []}
        await jobs.update_one(
            {"_id": document["_id"]}, {"$set": fields, "$unset": {"queue": "", "due": ""}}
        )


def _job(resumable: int | None) -> Job:
    """A complete job; or the resumable one of that number, failed or stale in turn."""
    if resumable is None:
        status = Status.COMPLETE
    else:
        status = Status.FAILED if resumable % 2 else Status.IN_PROGRESS
    now = truncated(datetime.now(UTC))
    return Job(
        id=str(ObjectId()),
        service="conversations",
        bot_id=str(ObjectId()),
        event_ids=(str(uuid.uuid4()),),
        status=status,
        attempt=1,
        claimed_by="bench",
        placed_at=now,
        created_at=now,
        last_modified_at=now - timedelta(hours=1),
    )
