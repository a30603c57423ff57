"""Intake: events recorded and acked per second, against subscribers that only ack.

The same 5,000 events wait in four subscriptions of one topic. Ours decodes each, records it in
one bulk insert with those that came along, and acks: once with idle slots (nothing else runs),
once while every slot is busy with a deletion that goes on for as long as the events come.
"""

import asyncio
import os
import time
import uuid
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import count
from statistics import median
from typing import Final

from bson import ObjectId
from google.cloud import pubsub_v1
from google.pubsub_v1.services.subscriber import SubscriberAsyncClient
from google.pubsub_v1.types import AcknowledgeRequest, PullRequest
from pymongo import monitoring

from consumers.claims import Claims
from consumers.intake import Intake, Outcome
from consumers.loop import Consumer
from consumers.metrics import Metrics
from consumers.worker import Worker
from deletion.adapters.mongo.connection import Database, connect
from deletion.adapters.mongo.dead_letters import MongoDeadLetterStore
from deletion.adapters.mongo.jobs import MongoJobStore
from deletion.adapters.pubsub.connection import PubSub
from deletion.adapters.pubsub.names import Names
from deletion.adapters.pubsub.publisher import GroupingPublisher
from deletion.adapters.pubsub.seeking import seek
from deletion.adapters.pubsub.subscription import PullSubscription
from deletion.adapters.pubsub.topology import Topology
from deletion.bus import Delivery
from deletion.clock import SystemClock
from deletion.events import BotDeletionSubject, RequestPlaced, to_message
from deletion.job import Job, LeasePolicy, StepProgress
from deletion.plan import Plan
from deletion.quarantine import Quarantine
from deletion.runner import Runner
from tests.bench.endless import SLOTS, EndlessStep
from tests.support.alerts import RecordedAlerts
from tests.support.factories import unpaced
from tests.support.indexed import indexed

EVENTS: Final = 5_000
ROUNDS: Final = 3
ROUND_SECONDS: Final = 120.0
LONG: Final = timedelta(hours=1)
STREAM, PULLS, IDLE, BUSY = "bare-stream", "bare-pulls", "ours-idle", "ours-busy"


async def bench(emulator_host: str, mongo_uri: str, rounds: int = ROUNDS) -> dict[str, float]:
    """Events per second of each, the ratios, and the database's round trips for one event."""
    os.environ["PUBSUB_EMULATOR_HOST"] = emulator_host  # for the stream's own client
    names = Names(f"bench-{uuid.uuid4().hex[:8]}", "bot-deletion")
    commands = Commands()
    monitoring.register(commands)
    pubsub, client = PubSub(emulator_host), connect(mongo_uri)
    try:
        publisher, subscriber = pubsub.publisher(), pubsub.subscriber()
        topology = Topology(publisher, subscriber, names, emulated=True)
        grouping = GroupingPublisher(publisher, names.topic, max_pending=EVENTS)
        store = await indexed(MongoJobStore, client, names.project)
        contenders: dict[str, Callable[[str], Awaitable[float]]] = {
            STREAM: _stream,
            PULLS: lambda path: _pulls(subscriber, path),
            IDLE: lambda path: _ours(subscriber, path, store, client[names.project], busy=False),
            BUSY: lambda path: _ours(subscriber, path, store, client[names.project], busy=True),
        }
        found: dict[str, list[float]] = {name: [] for name in contenders}
        trips = []
        for number in range(rounds):
            # New ones each time: the emulator goes on feeding a stream that was cancelled.
            paths = {name: names.subscription(f"{name}-{number}") for name in contenders}
            await topology.apply([f"{name}-{number}" for name in contenders])
            for path in paths.values():  # not the events of earlier rounds, which the topic keeps
                await seek(subscriber, path, datetime.now(UTC))
            await _publish(grouping)
            order = list(contenders)[number % 4 :] + list(contenders)[: number % 4]
            for name in order:
                commands.seen = 0
                found[name].append(EVENTS / await contenders[name](paths[name]))
                if name == IDLE:
                    trips.append(commands.seen / EVENTS)
    finally:
        await pubsub.close()
        client.close()
    rates = {name: median(values) for name, values in found.items()}
    return {
        **rates,
        "idle, of the stream": rates[IDLE] / rates[STREAM],
        "idle, of the pulls": rates[IDLE] / rates[PULLS],
        "busy, of the stream": rates[BUSY] / rates[STREAM],
        "busy, of idle": rates[BUSY] / rates[IDLE],
        "round trips per event, idle": median(trips),
    }


class Commands(monitoring.CommandListener):
    """Counts the database's round trips."""

    seen = 0

    def started(self, event: monitoring.CommandStartedEvent) -> None:
        self.seen += 1

    def succeeded(self, event: monitoring.CommandSucceededEvent) -> None:
        pass

    def failed(self, event: monitoring.CommandFailedEvent) -> None:
        pass


async def _publish(publisher: GroupingPublisher) -> None:
    now = datetime.now(UTC)
    events = (
        BotDeletionSubject(str(uuid.uuid4()), now, str(ObjectId()), RequestPlaced(now))
        for _ in range(EVENTS)
    )
    await asyncio.gather(*(publisher.publish(to_message(event)) for event in events))


async def _stream(path: str) -> float:
    """One `subscribe()` stream whose callback acks."""
    acked, done = count(1), asyncio.Event()  # callbacks run in threads: next() is atomic
    loop = asyncio.get_running_loop()

    def ack(message: pubsub_v1.subscriber.message.Message) -> None:
        message.ack()
        if next(acked) == EVENTS:
            loop.call_soon_threadsafe(done.set)

    with pubsub_v1.SubscriberClient() as client:
        began = time.perf_counter()
        streaming = client.subscribe(path, callback=ack)
        async with asyncio.timeout(ROUND_SECONDS):
            await done.wait()
        seconds = time.perf_counter() - began
        streaming.cancel()
        await asyncio.to_thread(streaming.result, ROUND_SECONDS)
    return seconds


async def _pulls(client: SubscriberAsyncClient, path: str) -> float:
    """Asyncio pulls of 100, each acked in one request."""
    acked, began = 0, time.perf_counter()
    async with asyncio.timeout(ROUND_SECONDS):
        while acked < EVENTS:
            request = PullRequest(subscription=path, max_messages=100)
            answer = await client.pull(request, retry=None, timeout=3)
            if ids := [received.ack_id for received in answer.received_messages]:
                await client.acknowledge(AcknowledgeRequest(subscription=path, ack_ids=ids))
                acked += len(ids)
    return time.perf_counter() - began


@dataclass
class CountingSubscription:
    """Tells when every event is acked."""

    subscription: PullSubscription
    done: asyncio.Event
    acked: int = 0

    async def pull(self, limit: int) -> list[Delivery]:
        return await self.subscription.pull(limit)

    async def ack(self, deliveries: Sequence[Delivery]) -> None:
        await self.subscription.ack(deliveries)
        self.acked += len(deliveries)
        if self.acked >= EVENTS:
            self.done.set()

    async def nack(self, deliveries: Sequence[Delivery]) -> None:
        assert not deliveries, f"{len(deliveries)} events were handed back"


async def _ours(
    subscriber: SubscriberAsyncClient,
    path: str,
    store: MongoJobStore,
    database: Database,
    *,
    busy: bool,
) -> float:
    clock, policy, stopping = SystemClock(), LeasePolicy(LONG, 5), asyncio.Event()
    step = EndlessStep("endless")
    plan = unpaced(path.rpartition(".")[2], step)
    subscription = CountingSubscription(PullSubscription(subscriber, path), asyncio.Event())
    alerts = RecordedAlerts()
    letters = MongoDeadLetterStore(database.client, database.name)
    metrics = Metrics(plan.service, [step.name], [outcome.value for outcome in Outcome])
    runner = Runner(plan, store, clock, policy, stopping=stopping)

    def worker(queue: str) -> Worker:
        claims = Claims(queue, store, clock, policy, "bench")
        return Worker(claims, runner, SLOTS, clock, metrics, alerts, stopping=stopping)

    busy_one, idle_one = worker(plan.service), worker(f"{plan.service}/nothing")
    if busy:
        await store.record([_filler(plan, store, clock.now()) for _ in range(SLOTS)])
    consumer = Consumer(
        intake=Intake(plan, subscription, store, Quarantine(letters, alerts, clock), alerts, clock),
        workers=[idle_one],
        subscription=subscription,
        store=store,
        clock=clock,
        metrics=metrics,
        stopping=stopping,
    )
    working = asyncio.create_task(busy_one.work() if busy else asyncio.sleep(0))
    async with asyncio.timeout(ROUND_SECONDS):
        if busy:
            await step.all_run.wait()
    began = time.perf_counter()
    consuming = asyncio.create_task(consumer.consume(grace=10))
    async with asyncio.timeout(ROUND_SECONDS):
        await subscription.done.wait()
    seconds = time.perf_counter() - began
    stopping.set()
    await asyncio.gather(consuming, working, busy_one.end(10))
    return seconds


def _filler(plan: Plan, store: MongoJobStore, now: datetime) -> Job:
    return Job.placed(
        id=store.new_id(),
        service=plan.service,
        bot_id=str(ObjectId()),
        event_id=str(uuid.uuid4()),
        placed_at=now,
        steps=tuple(StepProgress(step.name) for step in plan.steps),
        now=now,
    )
