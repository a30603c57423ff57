"""The HTTP applications of the processes over parts in memory, for what their documents say."""

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Final

from fastapi import FastAPI
from prometheus_client import CollectorRegistry
from pydantic import SecretStr

from console.api import create_api
from console.deletions import Deletions
from deletion.clock import SystemClock
from deletion.errors import StoreUnavailable
from deletion.job import Status
from deletion.ledger import ReadRequest
from deletion.process.head import HeadMiddleware
from deletion.process.problems import install_problems
from deletion.process.tokens import BearerTokens
from deletion.retry import Retry
from deletion.sweep import Sweep
from gateway import app as gateway
from recovery import app as recovery
from recovery.starting import Sweeps
from recovery.sweeper import Sweeper
from tests.support.alerts import RecordedAlerts
from tests.support.factories import BOT, POLICY, a_deletion_request, new_job
from tests.support.memory_bus import MemoryBus
from tests.support.memory_console import MemoryDeletionJobs
from tests.support.memory_requests import MemoryRequestStore
from tests.support.memory_stores import MemoryDeadLetterStore, MemoryJobStore, MemorySweepStore

TOKEN: Final = "a-token-that-is-long-enough"
AWAY: Final = "it does not answer"


def tokens() -> BearerTokens:
    """They accept `TOKEN`."""
    return BearerTokens([SecretStr(TOKEN)])


@dataclass(frozen=True)
class Parts:
    """What the processes depend on: broker and database."""

    are_away: bool = False

    def reach(self) -> None:
        """Raise if they are away."""
        if self.are_away:
            raise StoreUnavailable(AWAY)

    async def ready(self) -> str | None:
        """What is missing."""
        return AWAY if self.are_away else None


def is_known(id_: str) -> bool:
    """Half of all ids are found."""
    return int(id_[-1], 16) % 2 == 0


class KnownRequests(MemoryRequestStore):
    """Has recorded a request for half of all events."""

    def __init__(self, parts: Parts) -> None:
        super().__init__()
        self._parts = parts

    async def get(self, event_ids: Collection[str]) -> Sequence[ReadRequest]:
        self._parts.reach()
        [standing] = self.requests.values()
        return [replace(standing, id=each) for each in event_ids if is_known(each)]

    async def find(self, *args: Any, **options: Any) -> Sequence[ReadRequest]:
        self._parts.reach()
        return await super().find(*args, **options)


class KnownSweeps(MemorySweepStore):
    """Has run half of all sweeps."""

    def __init__(self, parts: Parts) -> None:
        super().__init__()
        self._parts = parts

    async def start(self, sweep: Sweep, *, silent_since: datetime) -> Sweep:
        self._parts.reach()
        return await super().start(sweep, silent_since=silent_since)

    async def get(self, sweep_id: str) -> Sweep | None:
        self._parts.reach()
        return Sweep.started(sweep_id, SystemClock().now()) if is_known(sweep_id) else None


def a_gateway(parts: Parts) -> FastAPI:
    bus, registry = MemoryBus(SystemClock()), CollectorRegistry()
    bus.down = parts.are_away
    return gateway.create_app(bus, tokens(), registry=registry, ready=parts.ready)


def a_recovery(parts: Parts) -> FastAPI:
    clock, store = SystemClock(), KnownSweeps(parts)
    retry = Retry(clock, attempts=1)
    sweeper = Sweeper(
        jobs=MemoryJobStore(),
        sweeps=store,
        clock=clock,
        policy=POLICY,
        retry=retry,
        page_size=10,
        alerts=RecordedAlerts(),
        stale_share=0.5,
        waiting_after=timedelta(days=1),
    )
    sweeps = Sweeps(
        store,
        sweeper,
        clock,
        retry,
        silent_after=timedelta(minutes=10),
        ended=lambda _: None,
        prepare=partial(asyncio.sleep, 0),
    )
    registry = CollectorRegistry()
    return recovery.create_app(sweeps, tokens(), registry=registry, ready=parts.ready)


def a_console(parts: Parts, guard: BearerTokens | None = None) -> FastAPI:
    requests, jobs = KnownRequests(parts), MemoryJobStore()
    request = a_deletion_request("analytics", "media", bot_id=BOT)
    requests.requests[request.id] = request
    job = new_job(Status.PENDING, service="media", bot_id=BOT, event_ids=(request.id,))
    jobs.jobs[job.id] = job
    deletions = Deletions(
        requests, MemoryDeletionJobs(jobs), MemoryDeadLetterStore(), SystemClock(), POLICY
    )
    app = FastAPI(title="Console", version="1")
    install_problems(app)
    app.add_middleware(HeadMiddleware)
    app.include_router(create_api(deletions, guard or tokens()))
    return app


APPS: Final[Mapping[str, Callable[[Parts], FastAPI]]] = {
    "gateway": a_gateway,
    "recovery": a_recovery,
    "console": a_console,
}
