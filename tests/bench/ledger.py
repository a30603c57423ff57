"""Ledger: what settling costs among few open requests and among many.

The same number of jobs complete, each for one request, while no other request is open and while
100,000 are. They complete in rounds that alternate between the two, so that whatever else the
machine does slows both. The part that settles is the real one, on a real database with the real
stores.
"""

import asyncio
import time
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from bson import ObjectId
from prometheus_client import CollectorRegistry

from deletion.adapters.mongo.connection import Client, Collection, Document, bounded, connect
from deletion.adapters.mongo.coverage import MongoCoverageStore
from deletion.adapters.mongo.job_document import to_document
from deletion.adapters.mongo.jobs import COLLECTION, MongoJobStore
from deletion.adapters.mongo.request_document import to_document as request_document
from deletion.adapters.mongo.requests import COLLECTION as REQUESTS
from deletion.adapters.mongo.requests import MongoRequestStore
from deletion.clock import SystemClock, truncated
from deletion.job import Job, Status
from deletion.request import DeletionRequest, LedgerPolicy
from deletion.silence import EPOCH
from recovery.ledger.metrics import LedgerMetrics
from recovery.ledger.settle import Settle, Settlement
from tests.support.indexed import indexed

ROUNDS = 10
SETTLED = 1_000
"""Requests that are settled in each round."""
OTHERS = (0, 100_000)
INSERTED_TOGETHER, INSERT_SECONDS = 1_000, 60.0
POLICY = LedgerPolicy(timedelta(days=30), timedelta(hours=1))


async def bench(
    mongo_uri: str, settled: int = SETTLED, others: Sequence[int] = OTHERS, rounds: int = ROUNDS
) -> dict[str, float]:
    """The seconds of settling by the number of other open requests, and their ratio.

    Leaves its databases behind: dropping the large one can take longer than everything else.
    """
    client = connect(mongo_uri)
    ledgers = {count: await _ledger(client, count) for count in others}
    seconds = dict.fromkeys(others, 0.0)
    for _ in range(rounds):
        for count, ledger in ledgers.items():
            seconds[count] += await _round(ledger, settled)
    for ledger in ledgers.values():
        if left := await ledger.jobs.count_documents({"unreported": {"$gte": EPOCH}}):
            raise AssertionError(f"{left} jobs are not settled")
    client.close()
    total = settled * rounds
    figures = {f"{total:,} among {count:,} others, s": seconds[count] for count in others}
    return figures | {"ratio": seconds[max(others)] / seconds[min(others)]}


@dataclass(frozen=True)
class _Ledger:
    """The stores of one database, and the part that settles."""

    jobs: Collection
    settle: Settle


async def _ledger(client: Client, others: int) -> _Ledger:
    """Build the indexes while it is empty: the embedded server needs far longer to build them over
    100,000 documents than to keep them while these are inserted.
    """
    database = f"bench_ledger_{uuid.uuid4().hex[:8]}"
    await indexed(MongoJobStore, client, database)
    requests = await indexed(MongoRequestStore, client, database)
    for first in range(0, others, INSERTED_TOGETHER):
        size = min(INSERTED_TOGETHER, others - first)
        await _insert(client[database][REQUESTS], _documents([_request() for _ in range(size)]))
    clock, metrics = SystemClock(), LedgerMetrics(CollectorRegistry())
    settlement = Settlement(requests, clock, metrics, lambda: None)
    settle = Settle(MongoCoverageStore(client, database), settlement, clock, metrics)
    return _Ledger(client[database][COLLECTION], settle)


async def _round(ledger: _Ledger, settled: int) -> float:
    """Insert requests and the jobs that are complete, and return the seconds of settling them."""
    done = [_request() for _ in range(settled)]
    await _insert(ledger.jobs.database[REQUESTS], _documents(done))
    documents = [to_document(job) for job in map(_complete, done)]
    for document in documents:
        document["unreported"] = document["finishedAt"]
    await _insert(ledger.jobs, documents)
    begun = time.perf_counter()
    await ledger.settle(asyncio.Event())
    return time.perf_counter() - begun


async def _insert(collection: Collection, documents: Sequence[Document]) -> None:
    """A bulk write of its own bound: a call of a store ends earlier than this may take."""
    with bounded(INSERT_SECONDS):
        await collection.insert_many(documents)


def _documents(requests: Sequence[DeletionRequest]) -> list[Document]:
    return [request_document(each, "bench") for each in requests]


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
