"""Recovery's process: all its parts, composed in one place."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from functools import partial

import structlog

from deletion.adapters.mongo import dead_letters as letters
from deletion.adapters.mongo import jobs as job_records
from deletion.adapters.mongo import sweeps as sweep_records
from deletion.adapters.mongo.census import MongoCensus
from deletion.adapters.mongo.connection import Client, Database
from deletion.adapters.mongo.dead_letters import MongoDeadLetterStore
from deletion.adapters.mongo.indexes import Indexes, prepare
from deletion.adapters.mongo.jobs import MongoJobStore
from deletion.adapters.mongo.requests import MongoRequestStore
from deletion.adapters.pubsub.subscription import PullSubscription
from deletion.alerts import Alerts
from deletion.clock import Clock, SystemClock
from deletion.errors import Interrupted, StoreUnavailable
from deletion.message_spans import MessageSpans, TracedSubscription
from deletion.process.alerting import alerting
from deletion.process.bus import Bus, connected_bus
from deletion.process.database import connected_clients
from deletion.process.grace import PAGE, REQUESTS
from deletion.process.probes import ReadinessCheck, Refresh
from deletion.process.readiness import Readiness
from deletion.process.serving import serving
from deletion.process.signals import stop_on_signals, unless_stopped
from deletion.process.tokens import BearerTokens
from deletion.process.tracing import tracing
from deletion.quarantine import Quarantine
from deletion.retry import Retry
from deletion.skew import check_clock
from deletion.sweep import Sweep, silence
from deletion.tracing import Tracer
from recovery.app import create_app
from recovery.dead_letter_consumer import DeadLetterConsumer
from recovery.gauges import JobGauges, LetterGauge, ReadFailures
from recovery.identities import BEARER, Identities, google_keys
from recovery.ledger.composing import LEDGER_INDEXES, ledger_of
from recovery.ledger.gauges import RequestGauges
from recovery.ledger.metrics import LedgerMetrics
from recovery.ledger.running import Ledger
from recovery.metrics import Metrics
from recovery.mongo_sweeps import MongoSweepStore
from recovery.settings import RecoverySettings
from recovery.starting import Sweeps
from recovery.sweeper import Sweeper

log = structlog.get_logger(__name__)

SWEEP_INDEXES: Indexes = {
    job_records.COLLECTION: job_records.INDEXES,
    sweep_records.COLLECTION: sweep_records.INDEXES,
}
LETTER_INDEXES: Indexes = {letters.COLLECTION: letters.INDEXES}

TRIES = 4
"""How often a sweep tries each call while the database does not answer."""


async def run(settings: RecoverySettings) -> None:
    """Serve and record dead letters until a signal, then end both within the grace period.

    A signal ends the process at once while it is still starting. It also starts when the database
    or Pub/Sub does not answer; `/readyz` then says so. Raises `ConfigurationError`, also for a
    missing index that it needs, `OSError` for a port that is taken, and `TopologyMissing`. With an
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
        await prepare(database, {**SWEEP_INDEXES, **LEDGER_INDEXES}, build=False)
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
    ledger_metrics = LedgerMetrics(metrics.registry)
    jobs = MongoJobStore(
        client, settings.mongodb_database, call_seconds=settings.lease.call_seconds
    )
    dead_letters = _dead_letters(settings, client, bus, alerts, clock, metrics, tracer)
    async with ledger_of(settings, client, bus, alerts, clock, ledger_metrics, tracer) as ledger:

        def ended(sweep: Sweep) -> None:
            metrics.ended(sweep)
            ledger.republish()

        sweeps = _sweeps(settings, jobs, client, alerts, clock, ended, tracer)
        app = create_app(
            sweeps,
            accepted_tokens(settings, clock),
            registry=metrics.registry,
            ready=_ready(jobs, bus, dead_letters, ledger),
            refresh=_gauges(settings, client, clock, metrics),
            tracer=tracer,
        )
        grace = settings.shutdown_grace_seconds
        host, port = settings.recovery_host, settings.recovery_port
        async with serving(app, host, port, name="recovery", grace=grace * REQUESTS):
            await unless_stopped(bus.topology.ready_for(recovery=True), stopping)
            consuming = asyncio.create_task(dead_letters.consume(stopping))
            keeping = asyncio.create_task(ledger.run(stopping))
            await stopping.wait()
            ending = asyncio.wait({consuming}, timeout=grace * PAGE)
            await asyncio.gather(sweeps.close(grace * PAGE), ending, _end(keeping, grace * PAGE))


def accepted_tokens(settings: RecoverySettings, clock: Clock) -> BearerTokens:
    """The credentials that the endpoint accepts."""
    return BearerTokens(settings.recovery_token, _identities(settings, clock), BEARER)


def _identities(settings: RecoverySettings, clock: Clock) -> Identities | None:
    """The service accounts that may also call the endpoint, or None without any."""
    audience, emails = settings.recovery_oidc_audience, settings.recovery_oidc_emails
    if not (audience and emails):
        return None
    return Identities(google_keys(clock), audience, emails, clock)


async def _end(ledger: asyncio.Task[None], patience: float) -> None:
    """Let the parts of the ledger end, and cancel them after `patience` seconds. What they have
    claimed is tried again once the claim ends.
    """
    await asyncio.wait({ledger}, timeout=patience)
    ledger.cancel()
    await asyncio.wait({ledger}, timeout=patience)


def _ready(
    jobs: MongoJobStore, bus: Bus, dead_letters: DeadLetterConsumer, ledger: Ledger
) -> ReadinessCheck:
    database = Readiness({"MongoDB": jobs.ping})
    attached = (bus.topology.keeper_attachment(), bus.topology.ledger_attachment())

    async def ready() -> str | None:
        """What is missing, or None. The pulls show whether Pub/Sub works."""
        detached = [await each() for each in attached]
        missing = (await database(), dead_letters.problem, ledger.problem, *detached)
        return "; ".join(each for each in missing if each) or None

    return ready


def _gauges(settings: RecoverySettings, client: Client, clock: Clock, metrics: Metrics) -> Refresh:
    registry, database = metrics.registry, settings.mongodb_database
    failures = ReadFailures(registry)
    jobs = JobGauges(registry, MongoCensus(client, database), clock, failures)
    dead = LetterGauge(registry, MongoDeadLetterStore(client, database), clock, failures)
    requests = RequestGauges(
        registry,
        MongoRequestStore(client, database),
        clock,
        failures,
        calls_back=settings.callback_url is not None,
    )

    async def refresh() -> None:
        """Count all at the same time, so that a scrape waits only for the slowest."""
        await asyncio.gather(jobs.refresh(), requests.refresh(), dead.refresh())

    return refresh


def _dead_letters(
    settings: RecoverySettings,
    client: Client,
    bus: Bus,
    alerts: Alerts,
    clock: Clock,
    metrics: Metrics,
    tracer: Tracer | None,
) -> DeadLetterConsumer:
    path = settings.names.dead_letter_subscription
    spans = MessageSpans(tracer, path) if tracer else None
    subscription = PullSubscription(
        bus.subscriber,
        settings.names.dead_letter_subscription,
        recreate=bus.topology.recreating(),
    )
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
    ended: Callable[[Sweep], None],
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
        ended=ended,
        tracer=tracer,
    )


async def _prepared(settings: RecoverySettings, client: Client, indexes: Indexes) -> None:
    """Build the indexes with an emulator; require them elsewhere."""
    database = client[settings.mongodb_database]
    await prepare(database, indexes, build=settings.emulator is not None)
