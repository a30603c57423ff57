"""Recovery's process: everything it needs, put together in one place."""

import asyncio

from deletion.adapters import mongo
from deletion.adapters.clock import SystemClock
from deletion.adapters.http import BearerTokens
from deletion.adapters.mongo_jobs import MongoJobStore
from deletion.adapters.process import serving, stop_on_signals
from deletion.adapters.pubsub import PubSub
from deletion.adapters.pubsub_publisher import GroupingPublisher
from deletion.adapters.pubsub_topology import Topology
from deletion.adapters.readiness import Readiness
from deletion.bus import Publisher
from deletion.ports import Clock
from deletion.retry import Retry
from recovery.app import create_app
from recovery.metrics import Metrics
from recovery.mongo_sweeps import MongoSweepStore
from recovery.settings import RecoverySettings
from recovery.sweep import silence
from recovery.sweeper import Sweeper
from recovery.sweeps import Sweeps

TRIES = 4
"""Of each call of a sweep; with back-off about 35 s while Pub/Sub does not answer."""


async def run(settings: RecoverySettings) -> None:
    """Serve until a signal, then end the sweep of this process within the grace period.

    A database or a Pub/Sub that does not answer is no reason not to start: `/readyz` says so
    until it does. Raises `ConfigurationError`, `OSError` for a port that is taken, and
    `TopologyMissing` (never against an emulator).
    """
    clients = mongo.Clients(settings.mongodb_uri.get_secret_value())
    pubsub = PubSub(settings.emulator)
    try:
        with stop_on_signals() as stopping:
            await _serve(settings, clients.get(), pubsub, stopping)
    finally:
        await pubsub.close()
        clients.close()


async def _serve(
    settings: RecoverySettings, client: mongo.Client, pubsub: PubSub, stopping: asyncio.Event
) -> None:
    clock, metrics = SystemClock(), Metrics()
    jobs = MongoJobStore(client, settings.mongodb_database)
    publisher = pubsub.publisher()
    topology = Topology(publisher, pubsub.subscriber(), settings.names, emulated=pubsub.is_emulated)
    grouping = GroupingPublisher(
        publisher,
        settings.names.topic,
        max_pending=settings.sweep_page_size,
        recreate=topology.recreating(),
    )
    sweeps = _compose(settings, jobs, client, grouping, clock, metrics)
    ready = Readiness({"MongoDB": jobs.ping, "Pub/Sub": topology.recreating() or topology.require})
    app = create_app(
        sweeps, BearerTokens([settings.recovery_token]), registry=metrics.registry, ready=ready
    )
    # A quarter for the page under way, one for its cancellation, one for requests, and the last
    # for the connections to close.
    grace = settings.shutdown_grace_seconds
    async with serving(
        app, settings.recovery_host, settings.recovery_port, name="recovery", grace=grace / 4
    ):
        await topology.ready_for()
        await stopping.wait()
        await sweeps.close(grace / 4)


def _compose(
    settings: RecoverySettings,
    jobs: MongoJobStore,
    client: mongo.Client,
    publisher: Publisher,
    clock: Clock,
    metrics: Metrics,
) -> Sweeps:
    store = MongoSweepStore(client, settings.mongodb_database)
    retry = Retry(clock, attempts=TRIES)
    sweeper = Sweeper(
        jobs=jobs,
        sweeps=store,
        publisher=publisher,
        clock=clock,
        policy=settings.lease,
        retry=retry,
        page_size=settings.sweep_page_size,
    )

    async def prepare() -> None:
        await jobs.ensure_indexes()
        await store.ensure_indexes()

    return Sweeps(
        store,
        sweeper,
        clock,
        retry,
        silent_after=silence(settings.lease),
        prepare=prepare,
        ended=metrics.ended,
    )
