"""An API that is down: how often it is called, and what it costs the other steps of a consumer.

Calls: consumers as their process composes them, 1 and then 8, over one database, with a backlog
of jobs whose only step calls an API that answers 503. The first minute is shown by itself: the
calls that were under way when the breaker opened are in it.

Throughput: one consumer whose plan deletes documents and then calls the API. The documents deleted
per second are measured while the API is down, against the same with the API up.
"""

import asyncio
import time
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import uuid4

from bson import ObjectId
from pymongo import ASCENDING, AsyncMongoClient

from consumers.claims import Claims
from consumers.metrics import Metrics
from consumers.worker import Worker
from deletion.adapters.http_api.client import HttpClient
from deletion.adapters.http_api.shared import Http
from deletion.adapters.http_api.spec import HttpSpec
from deletion.adapters.mongo.breakers import MongoBreakerStore
from deletion.adapters.mongo.connection import Client, connect
from deletion.adapters.mongo.jobs import MongoJobStore
from deletion.adapters.mongo.step import MongoStep
from deletion.adapters.spec import StepConnections
from deletion.clock import SystemClock, truncated
from deletion.gate import Gates
from deletion.job import Job, LeasePolicy, StepProgress
from deletion.plan import Plan, Step
from deletion.runner import Runner
from tests.support.alerts import RecordedAlerts
from tests.support.api import Api, Call, Reply
from tests.support.indexed import indexed

SERVICE: Final = "billing"
SLOTS: Final = 8
POLICY: Final = LeasePolicy(timedelta(seconds=600), max_attempts=5)
REPLICAS: Final = (1, 8)
MINUTES: Final = 4
"""For which a dead host is watched, by each number of replicas."""
BACKLOG: Final = 60
BOTS, DOCUMENTS = 600, 20
ROUNDS: Final = 3
"""Of throughput, up and down in turn; the best of each counts."""
WITHIN: Final = 300.0


async def bench(mongo_uri: str) -> dict[str, float]:
    """Calls per minute to a host that is down, and the throughput of the other step."""
    return {**await _calls(mongo_uri), **await _throughput(mongo_uri)}


async def _calls(mongo_uri: str) -> dict[str, float]:
    found: dict[str, float] = {}
    for replicas in REPLICAS:
        database = f"bench_{uuid4().hex[:8]}"
        clients = [connect(mongo_uri) for _ in range(replicas)]
        async with Api(behave=lambda _: Reply(503)) as api:
            store = await indexed(MongoJobStore, clients[0], database)
            await store.record([_job(ObjectId(), ["account"]) for _ in range(BACKLOG)])
            consumers = [Consumer(client, database, api) for client in clients]
            began = time.monotonic()
            await _for(MINUTES * 60, consumers)
            minutes = [int((call.at - began) // 60) for call in api.calls]
        for client in clients:
            client.close()
        name = f"{replicas} replica{'s' if replicas > 1 else ''}"
        found[f"{name}, calls in the first minute"] = minutes.count(0)
        later = sum(minute > 0 for minute in minutes)
        found[f"{name}, calls per minute after it"] = later / (MINUTES - 1)
    return found


async def _throughput(mongo_uri: str) -> dict[str, float]:
    rates: dict[bool, list[float]] = {False: [], True: []}
    for _ in range(ROUNDS):
        for down in (False, True):
            rates[down].append(await _rate(mongo_uri, down=down))
    up, while_down = max(rates[False]), max(rates[True])
    return {
        "API up, documents per second": up,
        "API down, documents per second": while_down,
        "ratio": while_down / up,
    }


async def _rate(mongo_uri: str, *, down: bool) -> float:
    """Documents per second, until the last one is gone."""
    database, client = f"bench_{uuid4().hex[:8]}", connect(mongo_uri)
    store = await indexed(MongoJobStore, client, database)
    bots = [ObjectId() for _ in range(BOTS)]
    watching: AsyncMongoClient[dict[str, Any]]
    async with AsyncMongoClient(mongo_uri) as watching:
        messages: Any = watching[database]["messages"]
        await messages.create_index([("botId", ASCENDING), ("_id", ASCENDING)])
        for first in range(0, BOTS, 50):
            some = bots[first : first + 50]
            await messages.insert_many(
                [{"botId": bot, "text": "a line"} for bot in some for _ in range(DOCUMENTS)]
            )

        def behave(call: Call) -> Reply:
            return Reply(503) if down else Reply(204)

        async with Api(behave=behave) as api:
            consumer = Consumer(client, database, api, documents=True)
            for first in range(0, BOTS, 100):
                jobs = [_job(bot, ["messages", "account"]) for bot in bots[first : first + 100]]
                await store.record(jobs)
            began = time.perf_counter()
            working = asyncio.create_task(_for(WITHIN, [consumer]))
            while consumer.deleted < BOTS * DOCUMENTS and not working.done():  # noqa: ASYNC110
                await asyncio.sleep(0.02)
            seconds = time.perf_counter() - began
            working.cancel()
            with suppress(asyncio.CancelledError):
                await working
        if left := await messages.count_documents({}):
            raise AssertionError(f"{left} documents are left")
    client.close()
    return BOTS * DOCUMENTS / seconds


class Consumer:
    """The workers of one process, composed as the product does."""

    def __init__(self, client: Client, database: str, api: Api, *, documents: bool = False) -> None:
        self.deleted = 0
        self._clock, alerts = SystemClock(), RecordedAlerts()
        store = MongoJobStore(client, database)
        self._http = HttpClient(self._clock)
        gates = Gates(MongoBreakerStore(client, database), self._clock, alerts)
        connections = StepConnections(lambda _: client, http=Http(self._http, gates, self._clock))
        steps: list[Step] = []
        if documents:
            steps.append(MongoStep("messages", client[database]["messages"], "botId"))
        spec = {"url": api.url, "timeout_seconds": 5}
        steps.append(HttpSpec.model_validate(spec).build("account", connections))
        self._stopping = asyncio.Event()
        runner = Runner(
            Plan(SERVICE, tuple(steps)),
            store,
            self._clock,
            POLICY,
            stopping=self._stopping,
            on_batch=self._count,
        )
        claims = Claims(SERVICE, store, self._clock, POLICY, f"bench-{uuid4().hex[:6]}")
        metrics = Metrics(SERVICE, [step.name for step in steps], [])
        self._worker = Worker(
            claims, runner, SLOTS, self._clock, metrics, alerts, stopping=self._stopping
        )

    def _count(self, step: str, deleted: int) -> None:
        self.deleted += deleted if step == "messages" else 0

    async def work(self) -> None:
        """Until it is cancelled."""
        try:
            await self._worker.work()
        finally:
            self._stopping.set()
            await self._worker.end(4)
            await self._http.close()


async def _for(seconds: float, consumers: list[Consumer]) -> None:
    working = [asyncio.create_task(consumer.work()) for consumer in consumers]
    try:
        await asyncio.wait(working, timeout=seconds)
    finally:
        for task in working:
            task.cancel()
        await asyncio.gather(*working, return_exceptions=True)


def _job(bot: ObjectId, steps: list[str]) -> Job:
    now = truncated(datetime.now(UTC))
    return Job.placed(
        id=str(ObjectId()),
        service=SERVICE,
        bot_id=str(bot),
        event_id=str(uuid4()),
        placed_at=now,
        steps=tuple(StepProgress(name) for name in steps),
        now=now,
    )
