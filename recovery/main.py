"""Recovery's process: all its parts, composed in one place."""

import asyncio
from contextlib import suppress
from datetime import timedelta
from functools import partial

import structlog

from deletion.adapters.mongo import dead_letters as letters
from deletion.adapters.mongo import jobs as job_records
from deletion.adapters.mongo.census import MongoCensus
from deletion.adapters.mongo.connection import Client, Database
from deletion.adapters.mongo.dead_letters import MongoDeadLetterStore
from deletion.adapters.mongo.indexes import Indexes, prepare
from deletion.adapters.mongo.jobs import MongoJobStore
from deletion.adapters.pubsub.subscription import PullSubscription
from deletion.alerts import Alerts
from deletion.bus import Subscription
from deletion.clock import Clock, SystemClock
from deletion.errors import Interrupted, StoreUnavailable
from deletion.message_spans import MessageSpans, TracedSubscription
from deletion.process.alerting import alerting
from deletion.process.bus import Bus, connected_bus
from deletion.process.database import connected_clients
from deletion.process.grace import PAGE, REQUESTS
from deletion.process.readiness import Readiness
from deletion.process.serving import serving
from deletion.process.signals import stop_on_signals, unless_stopped
from deletion.process.tokens import BearerTokens
from deletion.process.tracing import tracing
from deletion.quarantine import Quarantine
from deletion.retry import Retry
from deletion.skew import check_clock
from deletion.tracing import Tracer
from recovery import mongo_sweeps
from recovery.app import create_app
from recovery.dead_letter_consumer import DeadLetterConsumer
from recovery.gauges import JobGauges
from recovery.metrics import Metrics
from recovery.mongo_sweeps import MongoSweepStore
from recovery.settings import RecoverySettings
from recovery.starting import Sweeps
from recovery.sweep import silence
from recovery.sweeper import Sweeper

log = structlog.get_logger(__name__)

SWEEP_INDEXES: Indexes = {
    job_records.COLLECTION: job_records.INDEXES,
    mongo_sweeps.COLLECTION: mongo_sweeps.INDEXES,
}
LETTER_INDEXES: Indexes = {letters.COLLECTION: letters.INDEXES}

TRIES = 4
"""How often a sweep tries each call while the database does not answer."""


async def run(settings: RecoverySettings) -> None:
    """Serve and record dead letters until a signal, then end both within the grace period.

    A signal ends the process at once while it is still starting. It also starts when the database
    or Pub/Sub does not answer; `/readyz` then says so. Raises `ConfigurationError`, also for a
    missing unique index, `OSError` for a port that is taken, and `TopologyMissing`. With an
    emulator this process creates missing indexes and topology instead.
    """
    with stop_on_signals() as stopping:
        grace = settings.shutdown_grace_seconds
        async with (
            tracing(settings, "recovery", grace) as tracer,
            connected_clients(settings, tracer=tracer) as clients,
        ):
            with suppress(Interrupted):
                if settings.emulator is None:
                    database = clients.get()[settings.mongodb_database]
                    await unless_stopped(_require(database), stopping)
                async with (
                    connected_bus(settings) as bus,
                    alerting(settings, SystemClock(), grace) as alerts,
                ):
                    await _serve(settings, clients.get(), bus, alerts, tracer, stopping)


async def _require(database: Database) -> None:
    """Check the indexes once before anything is served, if the database answers."""
    try:
        await prepare(database, {**SWEEP_INDEXES, **LETTER_INDEXES}, build=False)
    except StoreUnavailable as error:
        log.warning("indexes are checked later", reason=str(error))


async def _serve(
    settings: RecoverySettings,
    client: Client,
    bus: Bus,
    alerts: Alerts,
    tracer: Tracer | None,
    stopping: asyncio.Event,
) -> None:
    clock, metrics = SystemClock(), Metrics()
    jobs = MongoJobStore(
        client, settings.mongodb_database, call_seconds=settings.lease.call_seconds
    )
    sweeps = _sweeps(settings, jobs, client, alerts, clock, metrics, tracer)
    dead = PullSubscription(
        bus.subscriber,
        settings.names.dead_letter_subscription,
        recreate=bus.topology.recreating(),
    )
    dead_letters = _dead_letters(settings, client, dead, alerts, clock, metrics, tracer)
    database, attached = Readiness({"MongoDB": jobs.ping}), bus.topology.keeper_attachment()

    async def ready() -> str | None:
        """What is missing, or None. The pulls of dead letters show whether Pub/Sub works."""
        missing = (await database(), dead_letters.problem, await attached())
        return "; ".join(each for each in missing if each) or None

    gauges = JobGauges(metrics.registry, MongoCensus(client, settings.mongodb_database), clock)
    app = create_app(
        sweeps,
        BearerTokens([settings.recovery_token]),
        registry=metrics.registry,
        ready=ready,
        refresh=gauges.refresh,
        tracer=tracer,
    )
    grace = settings.shutdown_grace_seconds
    async with serving(
        app, settings.recovery_host, settings.recovery_port, name="recovery", grace=grace * REQUESTS
    ):
        await unless_stopped(bus.topology.ready_for(recovery=True), stopping)
        consuming = asyncio.create_task(dead_letters.consume(stopping))
        await stopping.wait()
        ending = asyncio.wait({consuming}, timeout=grace * PAGE)
        await asyncio.gather(sweeps.close(grace * PAGE), ending)


def _dead_letters(
    settings: RecoverySettings,
    client: Client,
    subscription: Subscription,
    alerts: Alerts,
    clock: Clock,
    metrics: Metrics,
    tracer: Tracer | None,
) -> DeadLetterConsumer:
    path = settings.names.dead_letter_subscription
    spans = MessageSpans(tracer, path) if tracer else None
    store = MongoDeadLetterStore(client, settings.mongodb_database)
    return DeadLetterConsumer(
        TracedSubscription(subscription, spans) if spans else subscription,
        Quarantine(store, alerts, clock),
        clock,
        prefix=f"{settings.topic}.",
        prepare=partial(_prepared, settings, client, LETTER_INDEXES),
        metrics=metrics,
        spans=spans,
    )


def _sweeps(
    settings: RecoverySettings,
    jobs: MongoJobStore,
    client: Client,
    alerts: Alerts,
    clock: Clock,
    metrics: Metrics,
    tracer: Tracer | None,
) -> Sweeps:
    store = MongoSweepStore(client, settings.mongodb_database)
    retry = Retry(clock, attempts=TRIES)
    sweeper = Sweeper(
        jobs=jobs,
        sweeps=store,
        clock=clock,
        policy=settings.lease,
        retry=retry,
        page_size=settings.sweep_page_size,
        alerts=alerts,
        stale_share=settings.alert_stale_share,
        waiting_after=timedelta(seconds=settings.alert_waiting_seconds),
        tracer=tracer,
    )

    async def ready_to_sweep() -> None:
        await _prepared(settings, client, SWEEP_INDEXES)
        await check_clock(jobs, clock, settings.lease)

    return Sweeps(
        store,
        sweeper,
        clock,
        retry,
        silent_after=silence(settings.lease),
        prepare=ready_to_sweep,
        ended=metrics.ended,
        tracer=tracer,
    )


async def _prepared(settings: RecoverySettings, client: Client, indexes: Indexes) -> None:
    """Build the indexes with an emulator; require them elsewhere."""
    database = client[settings.mongodb_database]
    await prepare(database, indexes, build=settings.emulator is not None)
