"""Console: what a page of a list costs among few jobs and among many.

The jobs of 30 days, evenly spread, one in a thousand failed and the others complete, on a real
database. Each page has 50 jobs: the newest of all, those of a service, the failed ones, and the
page that begins in the middle of all.
"""

import statistics
import time
import uuid
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial

from console.lists import JobFilter, Position
from console.mongo_job_lists import MongoJobLists
from deletion.adapters.mongo.connection import Client, connect
from deletion.adapters.mongo.job_document import to_document
from deletion.adapters.mongo.jobs import COLLECTION, MongoJobStore
from deletion.clock import SystemClock, truncated
from deletion.job import Job, Status
from tests.support.factories import POLICY, new_job
from tests.support.indexed import indexed

SIZES = (1_000, 100_000)
ROUNDS = 9
LISTED = 50
SPAN = timedelta(days=30)
INSERTED_TOGETHER = 1_000
SERVICE = "conversations"

Read = Callable[[], Awaitable[object]]


async def bench(
    mongo_uri: str, sizes: Sequence[int] = SIZES, rounds: int = ROUNDS
) -> dict[str, float]:
    """The median milliseconds of each page by the number of jobs, and their ratio."""
    client, now = connect(mongo_uri), truncated(datetime.now(UTC))
    pages: dict[int, dict[str, Read]] = {}
    for size in sizes:
        name = f"bench_console_{uuid.uuid4().hex[:8]}"
        await _fill(client, name, size, now)
        pages[size] = _pages(MongoJobLists(client, name, SystemClock(), POLICY), now)
    figures: dict[str, float] = {}
    for what in pages[sizes[0]]:
        medians = {size: await _median(pages[size][what], rounds) for size in sizes}
        figures |= {f"{what}, among {size:,} jobs, ms": medians[size] * 1000 for size in sizes}
        figures[f"{what}, ratio"] = medians[max(sizes)] / medians[min(sizes)]
    client.close()
    return figures


def _pages(lists: MongoJobLists, now: datetime) -> dict[str, Read]:
    middle: Position = (now - SPAN / 2, "f" * 24)
    newest = partial(lists.page, beyond=None, oldest_first=False, limit=LISTED)
    return {
        "the newest": partial(newest, JobFilter()),
        "a service": partial(newest, JobFilter(SERVICE)),
        "the failed": partial(newest, JobFilter(status=Status.FAILED)),
        "the middle": partial(
            lists.page, JobFilter(), beyond=middle, oldest_first=False, limit=LISTED
        ),
    }


async def _median(read: Read, rounds: int) -> float:
    """Seconds, after a round that does not count."""
    taken: list[float] = []
    for _ in range(rounds + 1):
        begun = time.perf_counter()
        await read()
        taken.append(time.perf_counter() - begun)
    return statistics.median(taken[1:])


async def _fill(client: Client, database: str, size: int, now: datetime) -> None:
    await indexed(MongoJobStore, client, database)
    for first in range(0, size, INSERTED_TOGETHER):
        numbers = range(first, min(first + INSERTED_TOGETHER, size))
        jobs = [_job(number, truncated(now - SPAN * number / size)) for number in numbers]
        await client[database][COLLECTION].insert_many([to_document(job) for job in jobs])


def _job(number: int, at: datetime) -> Job:
    status = Status.COMPLETE if number % 1000 else Status.FAILED
    return new_job(status, service=SERVICE, created_at=at, last_modified_at=at)
