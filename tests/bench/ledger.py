"""Ledger: what settling costs among few open requests and among many.

The same number of jobs complete, each for one request, while no other request is open and while
20,000 are. The part that settles is the real one, on a real database with the real stores.
"""

import asyncio
import time
import uuid
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta

from bson import ObjectId
from prometheus_client import CollectorRegistry

from deletion.adapters.mongo.connection import Client, connect
from deletion.adapters.mongo.coverage import MongoCoverageStore
from deletion.adapters.mongo.job_document import to_document
from deletion.adapters.mongo.jobs import COLLECTION, MongoJobStore
from deletion.adapters.mongo.requests import MongoRequestStore
from deletion.clock import SystemClock, truncated
from deletion.job import Job, Status
from deletion.request import DeletionRequest, LedgerPolicy
from recovery.ledger.metrics import LedgerMetrics
from recovery.ledger.settle import Settle, Settlement
from tests.support.indexed import indexed

SETTLED = 1_000
OTHERS = (0, 20_000)
"""The embedded server needs minutes to build the indexes of more."""
INSERTED_TOGETHER = 1_000
POLICY = LedgerPolicy(timedelta(days=30), timedelta(hours=1))


async def bench(
    mongo_uri: str, settled: int = SETTLED, others: Sequence[int] = OTHERS
) -> dict[str, float]:
    """The seconds of settling by the number of other open requests, and their ratio.

    Leaves its databases behind: dropping the large one can take longer than everything else.
    """
    client = connect(mongo_uri)
    seconds = {count: await _settle_among(client, count, settled) for count in others}
    client.close()
    figures = {f"{settled:,} among {count:,} others, s": seconds[count] for count in others}
    return figures | {"ratio": seconds[max(others)] / seconds[min(others)]}


async def _settle_among(client: Client, others: int, settled: int) -> float:
    database = f"bench_ledger_{uuid.uuid4().hex[:8]}"
    requests = MongoRequestStore(client, database)
    for first in range(0, others, INSERTED_TOGETHER):
        size = min(INSERTED_TOGETHER, others - first)
        await requests.record([_request() for _ in range(size)])
    for first in range(0, settled, INSERTED_TOGETHER):
        done = [_request() for _ in range(min(INSERTED_TOGETHER, settled - first))]
        await requests.record(done)
        documents = [to_document(job) for job in map(_complete, done)]
        for document in documents:
            document["unreported"] = document["finishedAt"]
        await client[database][COLLECTION].insert_many(documents)
    await indexed(MongoJobStore, client, database)  # quicker than to keep indexes while it fills
    await indexed(MongoRequestStore, client, database)
    clock, metrics = SystemClock(), LedgerMetrics(CollectorRegistry())
    settlement = Settlement(requests, clock, metrics, lambda: None)
    settle = Settle(MongoCoverageStore(client, database), settlement, clock, metrics)
    begun = time.perf_counter()
    await settle(asyncio.Event())
    taken = time.perf_counter() - begun
    left = await requests.census(clock.now(), others + settled)
    if left.unsettled != others:
        raise AssertionError(f"{left.unsettled} requests are open, expected {others}")
    return taken


_ages: Iterator[int] = iter(range(10**9))


def _request() -> DeletionRequest:
    now = truncated(datetime.now(UTC)) - timedelta(milliseconds=next(_ages))
    return DeletionRequest.received(
        event_id=str(uuid.uuid4()),
        bot_id=str(ObjectId()),
        placed_at=now,
        services=["conversations"],
        now=now,
        policy=POLICY,
    )


def _complete(request: DeletionRequest) -> Job:
    return Job(
        id=str(ObjectId()),
        service="conversations",
        bot_id=request.bot_id,
        event_ids=(request.id,),
        status=Status.COMPLETE,
        attempt=1,
        claimed_by="bench",
        placed_at=request.placed_at,
        created_at=request.placed_at,
        last_modified_at=request.placed_at,
        finished_at=request.placed_at,
    )
