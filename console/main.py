"""The console's process: all its parts, composed in one place."""

import asyncio

import httpx
import structlog
from fastapi import FastAPI
from prometheus_client import CollectorRegistry

from console.access import KnownVisitor
from console.metrics import Metrics
from console.mongo_job_lists import MongoJobLists
from console.mongo_jobs import MongoDeletionJobs
from console.mongo_lists import MongoLetterLists, MongoSweepLists
from console.operating import Operating
from console.pages.render import Renderer
from console.proxy import Proxy, keys_of_proxy, tokens_of_proxy
from console.publishing import Replaying, replaying
from console.recovery import Recovery
from console.sessions import Sessions
from console.settings import GUESSABLE, ConsoleSettings
from console.stores import Stores, routers
from console.users import Users
from console.web import create_app
from deletion.adapters.mongo.breakers import MongoBreakerStore
from deletion.adapters.mongo.census import MongoCensus
from deletion.adapters.mongo.connection import Client
from deletion.adapters.mongo.dead_letters import MongoDeadLetterStore
from deletion.adapters.mongo.doctor_results import MongoExaminationStore
from deletion.adapters.mongo.jobs import MongoJobStore
from deletion.adapters.mongo.operator_actions import MongoActionStore, MongoPreviewStore
from deletion.adapters.mongo.requests import MongoRequestStore
from deletion.clock import Clock, SystemClock
from deletion.operating.actions import Actions
from deletion.operating.kinds import Kinds
from deletion.process.database import connected_clients
from deletion.process.grace import ACTIONS, TRACES
from deletion.process.readiness import Readiness
from deletion.process.serving import serving
from deletion.process.signals import stop_on_signals
from deletion.process.tracing import tracing
from deletion.tracing import Tracer

log = structlog.get_logger(__name__)


async def run(settings: ConsoleSettings) -> None:
    """Serve until a signal, then finish the requests under way, and end the actions after the group
    of records that each is acting on.

    It also starts when the database does not answer; `/readyz` then says so. Raises
    `ConfigurationError`, and `OSError` for a port that is taken.
    """
    if settings.is_guessable:
        log.warning(GUESSABLE)
    with stop_on_signals() as stopping:
        async with (
            tracing(settings, "console", settings.shutdown_grace_seconds) as tracer,
            connected_clients(settings, tracer=tracer) as clients,
            replaying(settings) as pubsub,
        ):
            await _serve(settings, _Parts(settings, clients.get(), pubsub), tracer, stopping)


class _Parts:
    """What the process consists of."""

    def __init__(self, settings: ConsoleSettings, client: Client, pubsub: Replaying) -> None:
        self.clock = SystemClock()
        self.metrics = Metrics(CollectorRegistry())
        self.stores = _stores(settings, client, self.clock)
        kinds = Kinds(
            self.stores.jobs,
            self.stores.letters,
            self.stores.requests,
            pubsub.publisher,
            pubsub.check_attached,
            self.clock,
            settings.lease,
        )
        self.actions = Actions(
            self.stores.actions, self.stores.previews, kinds, self.clock, self.metrics.acted
        )
        self.operating = Operating(self.actions, kinds, recovery_of(settings))


async def _serve(
    settings: ConsoleSettings, parts: _Parts, tracer: Tracer | None, stopping: asyncio.Event
) -> None:
    grace = settings.shutdown_grace_seconds
    async with serving(
        _app(settings, parts, tracer),
        settings.console_host,
        settings.console_port,
        name="console",
        grace=grace * (1 - 2 * ACTIONS - TRACES),
    ):
        await stopping.wait()
        await parts.actions.close(grace * ACTIONS)


def _app(settings: ConsoleSettings, parts: _Parts, tracer: Tracer | None) -> FastAPI:
    clock, users = parts.clock, Users(settings.console_users)
    secret, audience = settings.console_secret, settings.console_iap_audience
    render, guard = Renderer(clock), KnownVisitor()
    return create_app(
        users,
        Sessions(users, clock, secret.get_secret_value() if secret else None),
        Proxy(users, tokens_of_proxy(audience, keys_of_proxy(clock), clock)) if audience else None,
        own_origin=settings.console_url,
        clock=clock,
        render=render,
        metrics=parts.metrics,
        ready=Readiness({"MongoDB": parts.stores.jobs.ping}),
        routers=routers(
            parts.stores, clock, settings.lease, render, guard, parts.operating, parts.metrics
        ),
        tracer=tracer,
    )


def recovery_of(
    settings: ConsoleSettings, transport: httpx.AsyncBaseTransport | None = None
) -> Recovery | None:
    """Recovery, if the console may start sweeps. It gets the first of its tokens."""
    url, tokens = settings.recovery_url, settings.recovery_token
    return Recovery(url, tokens[0], transport) if url and tokens else None


def _stores(settings: ConsoleSettings, client: Client, clock: Clock) -> Stores:
    database = settings.mongodb_database
    letters = MongoDeadLetterStore(client, database)
    return Stores(
        requests=MongoRequestStore(client, database),
        jobs=MongoJobStore(client, database),
        deletion_jobs=MongoDeletionJobs(client, database),
        job_lists=MongoJobLists(client, database, clock, settings.lease),
        census=MongoCensus(client, database),
        letters=letters,
        letter_lists=MongoLetterLists(client, database),
        event_letters=letters,
        breakers=MongoBreakerStore(client, database),
        sweeps=MongoSweepLists(client, database),
        actions=MongoActionStore(client, database),
        previews=MongoPreviewStore(client, database),
        examinations=MongoExaminationStore(client, database),
    )
