"""The consumer's process, composed in one place."""

import asyncio
import os
import secrets
import socket
from asyncio import Event
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass

import structlog
from fastapi import FastAPI

from consumers.claims import Claims
from consumers.intake import Intake, Outcome
from consumers.loop import Consumer
from consumers.metrics import BreakerGauge, Metrics
from consumers.settings import ConsumerSettings
from consumers.worker import Worker
from deletion.adapters.http_api.client import HttpClient
from deletion.adapters.http_api.shared import Http, closing
from deletion.adapters.mongo import dead_letters as letters
from deletion.adapters.mongo import jobs
from deletion.adapters.mongo.breakers import MongoBreakerStore
from deletion.adapters.mongo.dead_letters import MongoDeadLetterStore
from deletion.adapters.mongo.indexes import Indexes, prepare
from deletion.adapters.mongo.jobs import MongoJobStore
from deletion.adapters.mongo.services import MongoServiceStore
from deletion.adapters.plan_source import PlanSource
from deletion.adapters.pubsub.subscription import PullSubscription
from deletion.adapters.spec import StepConnections
from deletion.alerts import Alerts
from deletion.bus import Subscription
from deletion.clock import Clock, SystemClock
from deletion.errors import Interrupted, with_type
from deletion.gate import Gates
from deletion.job import suspect_queue
from deletion.message_spans import MessageSpans, TracedSubscription
from deletion.plan import Plan, Provisioned
from deletion.ports import DeadLetterStore, JobStore
from deletion.process.alerting import alerting
from deletion.process.bus import connected_bus
from deletion.process.database import connected_clients
from deletion.process.head import HeadMiddleware
from deletion.process.probes import ReadinessCheck, probes
from deletion.process.problems import install_problems
from deletion.process.serving import serving
from deletion.process.signals import stop_on_signals, unless_stopped
from deletion.process.tracing import tracing
from deletion.quarantine import Quarantine
from deletion.retry import Retry
from deletion.runner import Runner
from deletion.skew import ClockCheck
from deletion.tracing import Tracer
from deletion.turns import Pacers

SUSPECT_SLOTS = 1
"""How many suspects, jobs that may kill their process, run at a time beside the other jobs."""

INDEXES: Indexes = {
    jobs.COLLECTION: jobs.INDEXES,
    letters.COLLECTION: letters.INDEXES,
}

NOT_PROVIDED = "step lacks what it needs: run `botdel topology apply --plan FILE`"

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Parts:
    """Everything outside a consumer that it needs, behind ports."""

    plan: Plan
    store: JobStore
    dead_letters: DeadLetterStore
    subscription: Subscription
    alerts: Alerts
    clock: Clock
    attached: ReadinessCheck
    """Checks that the subscription still belongs to its topic."""
    gates: Gates
    """The hosts that the plan's steps call."""
    tracer: Tracer | None = None
    spans: MessageSpans | None = None
    """Those of the subscription, which records its own."""


async def run(settings: ConsumerSettings, source: PlanSource) -> None:
    """Consume until a signal. A signal during the start ends the process at once.

    Raises `PlanError` when the plan cannot be built, `StoreUnavailable` when the database does not
    answer at the start, and `TopologyMissing` when real Pub/Sub has no subscription for the
    service.
    """
    with stop_on_signals() as stopping:
        async with AsyncExitStack() as stack:
            connecting = stack.enter_async_context(connected(settings, source))
            with suppress(Interrupted):
                await work(settings, await unless_stopped(connecting, stopping), stopping)


@asynccontextmanager
async def connected(settings: ConsumerSettings, source: PlanSource) -> AsyncIterator[Parts]:
    """The real parts, with indexes and topology in place. They are closed at the end.

    With an emulator it makes both itself, and registers the service, which then owes each request.
    """
    clock = SystemClock()
    runs = settings.consumer_slots + SUSPECT_SLOTS
    grace, seconds = settings.shutdown_grace_seconds, settings.lease.call_seconds
    async with (
        tracing(settings, f"consumer-{source.service}", grace) as tracer,
        connected_clients(settings, runs, tracer) as clients,
        connected_bus(settings) as bus,
        closing(HttpClient(clock)) as http,
        alerting(settings, clock, grace) as alerts,
    ):
        client, database = clients.get(), settings.mongodb_database
        breakers = MongoBreakerStore(client, database, call_seconds=seconds)
        gates = Gates(breakers, clock, alerts, service=source.service, policy=settings.breaker)
        connections = StepConnections(clients.get, seconds, database, Http(http, gates, clock))
        plan = source.build(connections)
        await Retry(clock).call(lambda: prepare(client[database], INDEXES, build=bus.is_emulated))
        services = [source.service]
        if bus.is_emulated:  # elsewhere `botdel topology apply` does it
            registered = MongoServiceStore(client, database)
            await Retry(clock).call(lambda: registered.register(services, clock.now()))
        await bus.topology.ready_for(services)
        path = settings.names.subscription(source.service)
        spans = MessageSpans(tracer, path) if tracer else None
        pulling = PullSubscription(bus.subscriber, path, recreate=bus.topology.recreating(services))
        yield Parts(
            plan=plan,
            store=MongoJobStore(client, database, call_seconds=seconds),
            dead_letters=MongoDeadLetterStore(client, database),
            subscription=TracedSubscription(pulling, spans) if spans else pulling,
            alerts=alerts,
            clock=clock,
            attached=bus.topology.attachment(source.service),
            gates=gates,
            tracer=tracer,
            spans=spans,
        )


async def work(settings: ConsumerSettings, parts: Parts, stopping: Event) -> None:
    """Consume with `parts` until `stopping`, then hand jobs over within the grace period.

    Raises `Interrupted` when it is stopped during the start.
    """
    steps = [step.name for step in parts.plan.steps]
    metrics = Metrics(parts.plan.service, steps, [outcome.value for outcome in Outcome])
    consumer = compose(settings, parts, metrics, stopping)
    await unless_stopped(_report_missing(parts.plan, settings.lease.call_seconds), stopping)

    async def ready() -> str | None:
        return consumer.problem or await parts.attached()

    app = FastAPI(title=f"botdel consumer {parts.plan.service}", openapi_url=None)
    install_problems(app)
    app.add_middleware(HeadMiddleware)
    app.include_router(
        probes(metrics.registry, ready, BreakerGauge(metrics.breakers, parts.gates).refresh)
    )
    async with serving(
        app, settings.consumer_host, settings.consumer_port, name="consumer", grace=1
    ):
        await consumer.consume(settings.shutdown_grace_seconds)


def compose(
    settings: ConsumerSettings, parts: Parts, metrics: Metrics, stopping: Event
) -> Consumer:
    """The consumer: its intake, and a worker for each of the service's queues."""
    service = parts.plan.service
    check = ClockCheck(parts.store, parts.clock, settings.lease)
    runner = _runner(settings, parts, metrics, stopping)
    name = f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(3)}"

    def worker(queue: str, slots: int) -> Worker:
        claims = Claims(
            queue, parts.store, parts.clock, settings.lease, name, counted=metrics.claimed
        )
        return Worker(
            claims,
            runner,
            slots,
            parts.clock,
            metrics,
            parts.alerts,
            stopping=stopping,
            check=check,
        )

    return Consumer(
        intake=_intake(parts),
        workers=[
            worker(service, settings.consumer_slots),
            worker(suspect_queue(service), SUSPECT_SLOTS),
        ],
        subscription=parts.subscription,
        store=parts.store,
        clock=parts.clock,
        metrics=metrics,
        stopping=stopping,
        check=check,
        spans=parts.spans,
    )


def _intake(parts: Parts) -> Intake:
    return Intake(
        parts.plan,
        parts.subscription,
        parts.store,
        Quarantine(parts.dead_letters, parts.alerts, parts.clock),
        parts.alerts,
        parts.clock,
    )


def _runner(settings: ConsumerSettings, parts: Parts, metrics: Metrics, stopping: Event) -> Runner:
    pacers = Pacers(
        parts.plan, parts.clock, stopping, on_wait=metrics.waited, on_unread=metrics.unread
    )
    return Runner(
        parts.plan,
        parts.store,
        parts.clock,
        settings.lease,
        stopping=stopping,
        retry_seconds=settings.retry_seconds,
        on_batch=metrics.deleted,
        pacers=pacers,
        tracer=parts.tracer,
    )


async def _report_missing(plan: Plan, seconds: float) -> None:
    """Log what steps lack, such as indexes. They work without, but slowly.

    The process serves no probe before all steps have answered. So they are asked side by side, and
    none is waited for longer than `seconds`, even if it ignores that it is cancelled then.
    """
    steps = [step for step in plan.steps if isinstance(step, Provisioned)]
    asked = [asyncio.create_task(step.missing()) for step in steps]
    try:
        if asked:
            await asyncio.wait(asked, timeout=seconds)
    finally:
        for task in asked:
            task.cancel()
    for step, task in zip(steps, asked, strict=True):
        if missing := _answer(task, seconds):
            log.warning(NOT_PROVIDED, step=step.name, missing=missing)


def _answer(asked: asyncio.Task[str | None], seconds: float) -> str | None:
    """What the step lacks, or why that is not known; None when it lacks nothing."""
    if not asked.done():
        return f"could not be checked: no answer within {seconds:g} s"
    if asked.cancelled():
        return "could not be checked: the step cancelled itself"
    if error := asked.exception():
        return f"could not be checked: {with_type(error)}"
    return asked.result()
