"""Claims: what one costs among few pending jobs and among many.

The real claims on a real database, eight slots at a time, the jobs spread over due times as an
intake would have recorded them.
"""

import time
import uuid
from datetime import UTC, datetime, timedelta
from typing import Final

from bson import ObjectId

from consumers.claims import Claims
from deletion.adapters.mongo.connection import Client, connect
from deletion.adapters.mongo.job_document import to_document
from deletion.adapters.mongo.jobs import COLLECTION, MongoJobStore
from deletion.clock import SystemClock, truncated
from deletion.job import Job, LeasePolicy
from tests.support.indexed import indexed

SIZES: Final = (1_000, 20_000)
CLAIMED: Final = 800
"""Of each size; less than the smaller one holds."""
SLOTS: Final = 8
SERVICE: Final = "conversations"
INSERTED_TOGETHER: Final = 100
POLICY: Final = LeasePolicy(timedelta(hours=1), max_attempts=5)


async def bench(mongo_uri: str) -> dict[str, float]:
    """Milliseconds for each job claimed by the number of pending ones, and their ratio."""
    client = connect(mongo_uri)
    names = {size: f"bench_claims_{uuid.uuid4().hex[:8]}" for size in SIZES}
    for size, name in names.items():
        await _fill(client, name, size)
    cost: dict[int, float] = dict.fromkeys(SIZES, 0.0)
    claims = {
        size: Claims(SERVICE, MongoJobStore(client, name), SystemClock(), POLICY, "bench")
        for size, name in names.items()
    }
    left = dict.fromkeys(SIZES, CLAIMED)
    while any(left.values()):
        for size in SIZES:  # in turn, so that a machine that slows down slows both
            began = time.perf_counter()
            won = await claims[size].take(SLOTS)
            cost[size] += time.perf_counter() - began
            left[size] -= len(won)
            if not won:
                raise AssertionError(f"{left[size]} of {size} jobs were not claimed")
    client.close()
    figures = {f"among {size:,} pending, ms a job": cost[size] / CLAIMED * 1000 for size in SIZES}
    return figures | {"ratio": cost[max(SIZES)] / cost[min(SIZES)]}


async def _fill(client: Client, database: str, size: int) -> None:
    """`size` pending jobs, a hundred each 30 ms."""
    await indexed(MongoJobStore, client, database)
    start = truncated(datetime.now(UTC)) - timedelta(hours=1)
    for first in range(0, size, INSERTED_TOGETHER):
        now = start + timedelta(milliseconds=30 * first // INSERTED_TOGETHER)
        jobs = [_job(now) for _ in range(INSERTED_TOGETHER)]
        await client[database][COLLECTION].insert_many([to_document(job) for job in jobs])


def _job(now: datetime) -> Job:
    return Job.placed(
        id=str(ObjectId()),
        service=SERVICE,
        bot_id=str(ObjectId()),
        event_id=str(uuid.uuid4()),
        placed_at=now,
        steps=(),
        now=now,
    )
