"""Small jobs end to end: bots of three documents each, against a bare, safe consumer.

The bare one is what one would write by hand: pull, insert a job, ack, `delete_many`, update the
job, eight events at a time. Ours is the consumer as its process composes it: the same and leases,
heartbeats, checkpoints, a look whether everything is gone, and whatever recovers from a crash.
Both run in this process, in turn, on the same emulator and database.
"""

import asyncio
import time
import uuid
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

from bson import ObjectId
from google.pubsub_v1.services.subscriber import SubscriberAsyncClient
from pymongo import ASCENDING, monitoring

from consumers.claims import Claims
from consumers.intake import Intake, Outcome
from consumers.loop import Consumer
from consumers.metrics import Metrics
from consumers.worker import Worker
from deletion.adapters.mongo.connection import Collection, Database, connect
from deletion.adapters.mongo.dead_letters import MongoDeadLetterStore
from deletion.adapters.mongo.jobs import COLLECTION, MongoJobStore
from deletion.adapters.mongo.step import MongoStep
from deletion.adapters.pubsub.connection import PubSub
from deletion.adapters.pubsub.names import Names
from deletion.adapters.pubsub.publisher import GroupingPublisher
from deletion.adapters.pubsub.subscription import PullSubscription
from deletion.adapters.pubsub.topology import Topology
from deletion.bus import Delivery
from deletion.clock import SystemClock
from deletion.events import BotDeletionSubject, RequestPlaced, decode, to_message
from deletion.job import LeasePolicy, Status, suspect_queue
from deletion.plan import Plan
from deletion.quarantine import Quarantine
from deletion.runner import Runner
from tests.bench.intake import Commands
from tests.support.alerts import RecordedAlerts
from tests.support.factories import unpaced
from tests.support.indexed import indexed

BOTS: Final = 5_000
DOCUMENTS: Final = 3
SLOTS: Final = 8
WITHIN: Final = 600.0
BARE, OURS, PACED = "bare-consumer", "ours", "ours-paced"
"""The second without a pace, the third with the default one."""
POLICY: Final = LeasePolicy(timedelta(seconds=600), max_attempts=5)


async def bench(emulator_host: str, mongo_uri: str, bots: int = BOTS) -> dict[str, float]:
    """Jobs per second of each, their ratio, and the database's round trips for one job."""
    commands = Commands()
    monitoring.register(commands)
    names = Names(f"bench-{uuid.uuid4().hex[:8]}", "bot-deletion")
    pubsub, client = PubSub(emulator_host), connect(mongo_uri)
    found: dict[str, float] = {}
    try:
        publisher, subscriber = pubsub.publisher(), pubsub.subscriber()
        topology = Topology(publisher, subscriber, names, emulated=True)
        await topology.apply([BARE, OURS, PACED])
        doomed = [ObjectId() for _ in range(bots)]
        await _publish(GroupingPublisher(publisher, names.topic, max_pending=bots), doomed)
        for contender, run in ((BARE, _bare), (OURS, _ours), (PACED, _ours)):
            database = client[f"{names.project}_{contender}"]
            await _fill(database["messages"], doomed)
            await indexed(MongoJobStore, client, database.name)
            commands.seen, began = 0, time.perf_counter()
            path = names.subscription(contender)
            await run(subscriber, path, database, bots, contender)
            found[f"{contender}, jobs per second"] = bots / (time.perf_counter() - began)
            found[f"{contender}, round trips per job"] = commands.seen / bots
            if left := await database["messages"].count_documents({}):
                raise AssertionError(f"{contender} left {left} documents")
    finally:
        await pubsub.close()
        client.close()
    ours, paced, bare = (found[f"{name}, jobs per second"] for name in (OURS, PACED, BARE))
    return found | {"ratio": ours / bare, "ratio of the default pace to none": paced / ours}


async def _publish(publisher: GroupingPublisher, bots: Sequence[ObjectId]) -> None:
    now = datetime.now(UTC)
    events = (
        BotDeletionSubject(str(uuid.uuid4()), now, str(bot), RequestPlaced(now)) for bot in bots
    )
    await asyncio.gather(*(publisher.publish(to_message(event)) for event in events))


async def _fill(collection: Collection, bots: Sequence[ObjectId]) -> None:
    await collection.create_index([("botId", ASCENDING), ("_id", ASCENDING)])
    for first in range(0, len(bots), 500):
        some = bots[first : first + 500]
        await collection.insert_many(
            [{"botId": bot, "text": "a line"} for bot in some for _ in range(DOCUMENTS)]
        )


async def _bare(
    subscriber: SubscriberAsyncClient, path: str, database: Database, bots: int, service: str
) -> None:
    """Written out by hand: the record before the ack, the ack before the deletion."""
    subscription, jobs, messages = (
        PullSubscription(subscriber, path),
        database[COLLECTION],
        database["messages"],
    )
    slots, done = asyncio.Semaphore(SLOTS), 0

    async def handle(delivery: Delivery) -> None:
        nonlocal done
        try:
            event = decode(delivery.message.data)
            now = datetime.now(UTC)
            job = {
                "_id": ObjectId(),
                "service": service,
                "botId": ObjectId(event.bot_id),
                "eventId": event.event_id,
                "eventIds": [event.event_id],
                "status": Status.IN_PROGRESS.value,
                "live": True,
                "createdAt": now,
                "lastModifiedAt": now,
            }
            await jobs.insert_one(job)
            await subscription.ack([delivery])
            deleted = await messages.delete_many({"botId": job["botId"]})
            end = {"status": Status.COMPLETE.value, "live": False, "lastModifiedAt": now}
            await jobs.update_one(
                {"_id": job["_id"]}, {"$set": {**end, "deleted": deleted.deleted_count}}
            )
            done += 1
        finally:
            slots.release()

    async with asyncio.timeout(WITHIN), asyncio.TaskGroup() as group:
        while done < bots:
            await slots.acquire()
            free = 1
            while not slots.locked():
                await slots.acquire()
                free += 1
            pulled = await subscription.pull(free) if done < bots else []
            for delivery in pulled:
                group.create_task(handle(delivery))
            for _ in range(free - len(pulled)):
                slots.release()


class StoppingMetrics(Metrics):
    """Stops the consumer once so many runs have ended."""

    def __init__(self, service: str, runs: int, stopping: asyncio.Event) -> None:
        super().__init__(service, ["messages"], [outcome.value for outcome in Outcome])
        self._left = runs
        self._stopping = stopping

    def ended(self, outcome: str) -> None:
        super().ended(outcome)
        self._left -= 1
        if not self._left:
            self._stopping.set()


async def _ours(
    subscriber: SubscriberAsyncClient, path: str, database: Database, bots: int, service: str
) -> None:
    clock, stopping, alerts = SystemClock(), asyncio.Event(), RecordedAlerts()
    store = MongoJobStore(database.client, database.name)
    step = MongoStep("messages", database["messages"], "botId")
    plan = Plan(service, (step,)) if service == PACED else unpaced(service, step)
    metrics = StoppingMetrics(service, bots, stopping)
    runner = Runner(plan, store, clock, POLICY, stopping=stopping)
    subscription = PullSubscription(subscriber, path)

    def worker(queue: str, slots: int) -> Worker:
        claims = Claims(queue, store, clock, POLICY, "bench")
        return Worker(claims, runner, slots, clock, metrics, alerts, stopping=stopping)

    letters = MongoDeadLetterStore(database.client, database.name)
    consumer = Consumer(
        intake=Intake(plan, subscription, store, Quarantine(letters, alerts, clock), alerts, clock),
        workers=[worker(service, SLOTS), worker(suspect_queue(service), 1)],
        subscription=subscription,
        store=store,
        clock=clock,
        metrics=metrics,
        stopping=stopping,
    )
    async with asyncio.timeout(WITHIN):
        await consumer.consume(10)
    runs = metrics.registry.get_sample_value(
        "botdel_consumer_runs_total", {"outcome": "complete", "service": service}
    )
    if runs != bots:
        raise AssertionError(f"{runs} jobs are complete, not {bots}")
