"""The ledger of a recovery process, composed of its stores, its topics and its settings."""

import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from deletion.adapters.mongo import dead_letters, jobs, requests
from deletion.adapters.mongo.connection import Client
from deletion.adapters.mongo.coverage import MongoCoverageStore
from deletion.adapters.mongo.dead_letters import MongoDeadLetterStore
from deletion.adapters.mongo.indexes import Indexes, prepare
from deletion.adapters.mongo.jobs import MongoJobStore
from deletion.adapters.mongo.requests import MongoRequestStore
from deletion.adapters.mongo.services import MongoServiceStore
from deletion.adapters.pubsub.publisher import GroupingPublisher
from deletion.adapters.pubsub.subscription import PullSubscription
from deletion.alerts import Alerts
from deletion.clock import Clock
from deletion.message_spans import MessageSpans, TracedSubscription
from deletion.process.bus import Bus
from deletion.skew import ClockCheck
from deletion.tracing import Tracer
from recovery.ledger.callback import Callback
from recovery.ledger.metrics import LedgerMetrics
from recovery.ledger.running import Ledger, Stores, Topics
from recovery.settings import RecoverySettings

LEDGER_INDEXES: Indexes = {
    requests.COLLECTION: requests.INDEXES,
    jobs.COLLECTION: jobs.INDEXES,
    dead_letters.COLLECTION: dead_letters.INDEXES,
}


@asynccontextmanager
async def ledger_of(
    settings: RecoverySettings,
    client: Client,
    bus: Bus,
    alerts: Alerts,
    clock: Clock,
    metrics: LedgerMetrics,
    tracer: Tracer | None = None,
) -> AsyncIterator[Ledger]:
    """Yield the ledger, not yet running. At the end, close the connections of the callback."""
    callback = _callback(settings, clock)
    database = client[settings.mongodb_database]
    path = settings.names.ledger_subscription
    spans = MessageSpans(tracer, path) if tracer else None
    records = MongoJobStore(
        client, settings.mongodb_database, call_seconds=settings.lease.call_seconds
    )

    async def ready() -> None:
        await prepare(database, LEDGER_INDEXES, build=settings.emulator is not None)
        await records.check_writes()

    try:
        yield Ledger(
            _stores(settings, client),
            _topics(settings, bus, tracer, spans),
            alerts,
            clock,
            random.Random(),  # noqa: S311 - it spreads waits, and keeps no secret
            policy=settings.ledger,
            metrics=metrics,
            prepare=ready,
            receiver=callback.call if callback else None,
            check=ClockCheck(records, clock, settings.lease),
            spans=spans,
            tracer=tracer,
        )
    finally:
        if callback:
            await callback.close()


def _callback(settings: RecoverySettings, clock: Clock) -> Callback | None:
    if settings.callback_url is None or settings.callback_secret is None:
        return None
    return Callback(settings.callback_url, settings.callback_secret, clock)


def _stores(settings: RecoverySettings, client: Client) -> Stores:
    database = settings.mongodb_database
    return Stores(
        MongoRequestStore(client, database),
        MongoServiceStore(client, database),
        MongoCoverageStore(client, database),
        MongoDeadLetterStore(client, database),
    )


def _topics(
    settings: RecoverySettings, bus: Bus, tracer: Tracer | None, spans: MessageSpans | None
) -> Topics:
    names, recreate = settings.names, bus.topology.recreating()

    def publisher(topic: str) -> GroupingPublisher:
        sending = MessageSpans(tracer, topic) if tracer else None
        return GroupingPublisher(bus.publisher, topic, recreate=recreate, spans=sending)

    subscription = PullSubscription(bus.subscriber, names.ledger_subscription, recreate=recreate)
    return Topics(
        TracedSubscription(subscription, spans) if spans else subscription,
        publisher(names.topic),
        publisher(names.completed_topic),
        bus.topology.services,
    )
