"""A consumer's process: everything it needs, put together in one place."""

import asyncio
import os
import secrets
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import structlog
from fastapi import FastAPI

from consumers.consumer import Consumer
from consumers.intake import Intake
from consumers.metrics import Metrics
from consumers.settings import ConsumerSettings
from consumers.slots import Slots
from deletion.adapters.alerts.webhook import GRACE_SHARE, webhook_alerts
from deletion.adapters.mongo.archive import MongoEventArchive
from deletion.adapters.mongo.connection import Clients
from deletion.adapters.mongo.dead_letters import MongoDeadLetterStore
from deletion.adapters.mongo.jobs import MongoJobStore
from deletion.adapters.plan_file import PlanFile
from deletion.adapters.pubsub.connection import PubSub
from deletion.adapters.pubsub.publisher import GroupingPublisher
from deletion.adapters.pubsub.subscription import PullSubscription
from deletion.adapters.pubsub.topology import Topology
from deletion.alerts import Alerts
from deletion.bus import Publisher, Subscription
from deletion.clock import Clock, SystemClock
from deletion.errors import StoreUnavailable
from deletion.plan import Plan, Provisioned
from deletion.ports import DeadLetterStore, EventArchive, JobStore
from deletion.process.probes import Check, probes
from deletion.process.problems import install_problems
from deletion.process.serving import serving
from deletion.process.signals import stop_on_signals
from deletion.quarantine import Quarantine
from deletion.retry import Retry
from deletion.runner import Runner

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Parts:
    """The world of one consumer, behind its ports."""

    plan: Plan
    store: JobStore
    archive: EventArchive
    dead_letters: DeadLetterStore
    subscription: Subscription
    publisher: Publisher
    alerts: Alerts
    clock: Clock
    attached: Check
    """Whether the subscription still belongs to its topic."""


async def run(settings: ConsumerSettings, plan_file: PlanFile) -> None:
    """Consume until a signal.

    Raises `StoreUnavailable` when the database does not answer at the start, and
    `TopologyMissing` when real Pub/Sub has no subscription for the service.
    """
    async with connected(settings, plan_file) as parts:
        await work(settings, parts)


@asynccontextmanager
async def connected(settings: ConsumerSettings, plan_file: PlanFile) -> AsyncIterator[Parts]:
    """The real parts, with what they need in place; closed at the end."""
    clock = SystemClock()
    clients = Clients(settings.mongodb_uri.get_secret_value())
    pubsub = PubSub(settings.emulator)
    alerts = webhook_alerts(settings.alert_webhook_url, clock, settings.alert_group_seconds)
    try:
        store = MongoJobStore(clients.get(), settings.mongodb_database)
        await Retry(clock).call(store.ensure_indexes)
        dead_letters = MongoDeadLetterStore(clients.get(), settings.mongodb_database)
        await Retry(clock).call(dead_letters.ensure_indexes)
        publisher, subscriber = pubsub.publisher(), pubsub.subscriber()
        topology = Topology(publisher, subscriber, settings.names, emulated=pubsub.is_emulated)
        services = [plan_file.service]
        await topology.ready_for(services)
        recreate = topology.recreating(services)
        yield Parts(
            plan=plan_file.build(clients.get),
            store=store,
            archive=MongoEventArchive(clients.get(), settings.mongodb_database),
            dead_letters=dead_letters,
            subscription=PullSubscription(
                subscriber, settings.names.subscription(plan_file.service), recreate=recreate
            ),
            publisher=GroupingPublisher(publisher, settings.names.topic, recreate=recreate),
            alerts=alerts,
            clock=clock,
            attached=topology.attachment(plan_file.service),
        )
    finally:
        await alerts.close(settings.shutdown_grace_seconds * GRACE_SHARE)
        await pubsub.close()
        clients.close()


async def work(settings: ConsumerSettings, parts: Parts) -> None:
    """Consume over `parts` until a signal, then hand over within the grace period."""
    metrics = Metrics()
    with stop_on_signals() as stopping:
        consumer = _compose(settings, parts, metrics, stopping)
        await _report_missing(parts.plan)

        async def ready() -> str | None:
            return consumer.problem or await parts.attached()

        app = FastAPI(title=f"botdel consumer {parts.plan.service}", openapi_url=None)
        install_problems(app)
        app.include_router(probes(metrics.registry, ready))
        async with serving(
            app, settings.consumer_host, settings.consumer_port, name="consumer", grace=1
        ):
            await consumer.consume(stopping, settings.shutdown_grace_seconds)


def _compose(
    settings: ConsumerSettings, parts: Parts, metrics: Metrics, stopping: asyncio.Event
) -> Consumer:
    worker = f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(3)}"
    return Consumer(
        intake=Intake(
            parts.plan,
            parts.subscription,
            parts.store,
            parts.archive,
            Quarantine(parts.dead_letters, parts.alerts, parts.clock),
            parts.clock,
            settings.lease,
            worker,
        ),
        runner=Runner(
            parts.plan,
            parts.store,
            parts.clock,
            settings.lease,
            stopping=stopping,
            on_batch=metrics.deleted,
        ),
        subscription=parts.subscription,
        publisher=parts.publisher,
        store=parts.store,
        clock=parts.clock,
        slots=Slots(settings.consumer_slots),
        metrics=metrics,
    )


async def _report_missing(plan: Plan) -> None:
    """A missing index is the operator's to know of; it does not stop the work."""
    for step in plan.steps:
        if isinstance(step, Provisioned):
            try:
                missing = await step.missing()
            except StoreUnavailable as error:
                missing = f"could not be checked: {error}"
            if missing:
                log.warning("step is not provided for", step=step.name, missing=missing)
