"""A console in this process, over parts in memory, and the ways to visit it."""

from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from typing import Final

import httpx
from fastapi import APIRouter, FastAPI
from prometheus_client import CollectorRegistry
from pydantic import SecretStr

from console.access import KnownVisitor
from console.metrics import Metrics
from console.operating import Operating
from console.pages.render import POLL_EVERY, Renderer
from console.proxy import Proxy
from console.recovery import Recovery
from console.sessions import COOKIE, Sessions
from console.stores import Stores, routers
from console.users import Role, User, Users
from console.web import create_app
from deletion.breaker import LocalBreakerStore
from deletion.clock import Clock
from deletion.job import NOT_LIVE, suspect_queue
from deletion.operating.actions import Actions
from deletion.operating.kinds import Kinds
from deletion.ports import Unfinished
from deletion.tracing import Tracer
from tests.support.clock import VirtualClock
from tests.support.factories import POLICY
from tests.support.memory_actions import MemoryActionStore, MemoryPreviewStore
from tests.support.memory_bus import MemoryBus
from tests.support.memory_console import MemoryDeletionJobs, MemoryExaminationStore
from tests.support.memory_lists import MemoryJobLists, MemoryLetterLists, MemorySweepLists
from tests.support.memory_requests import MemoryRequestStore
from tests.support.memory_stores import MemoryDeadLetterStore, MemoryJobStore, MemorySweepStore

ORIGIN: Final = "https://console.example.org"
VIEWER: Final = User("vera", Role.VIEWER, SecretStr("the-token-of-the-viewer"))
OPERATOR: Final = User("otto", Role.OPERATOR, SecretStr("the-token-of-the-operator"))
USERS: Final = (VIEWER, OPERATOR)
OWN_PAGE: Final = {"Sec-Fetch-Site": "same-origin"}
"""What a browser sends with a form of the console."""
BROWSER: Final = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}


@dataclass
class Visited:
    """The application, its clock, and a client without a credential."""

    app: FastAPI
    http: httpx.AsyncClient
    clock: VirtualClock
    sessions: Sessions
    missing: str | None = None

    def cookie(self, user: User) -> dict[str, str]:
        """The header of a browser in which `user` has logged in."""
        return {"Cookie": f"{COOKIE}={self.sessions.cookie_of(user)}"}

    async def get(self, path: str, **headers: str) -> httpx.Response:
        """A page as the browser of the viewer asks for it. An underscore of a header's name stands
        for a hyphen.
        """
        given = {name.replace("_", "-"): text for name, text in headers.items()}
        return await self.http.get(path, headers=BROWSER | self.cookie(VIEWER) | given)


def bearer(user: User) -> dict[str, str]:
    """The header of a program with the token of `user`."""
    return {"Authorization": f"Bearer {user.token.get_secret_value()}"}


@asynccontextmanager
async def visiting(
    routers: Sequence[APIRouter] = (),
    *,
    users: Sequence[User] = USERS,
    own_origin: str | None = ORIGIN,
    proxy: Proxy | None = None,
    clock: VirtualClock | None = None,
    render: Renderer | None = None,
) -> AsyncIterator[Visited]:
    """The console with `routers`."""
    clock = clock or VirtualClock()
    known = Users(users)
    sessions = Sessions(known, clock)

    async def ready() -> str | None:
        return visited.missing

    app = create_app(
        known,
        sessions,
        proxy,
        own_origin=own_origin,
        clock=clock,
        render=render or Renderer(clock),
        metrics=Metrics(CollectorRegistry()),
        ready=ready,
        routers=routers,
    )
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app, raise_app_exceptions=False), base_url=ORIGIN
    ) as http:
        visited = Visited(app, http, clock, sessions)
        yield visited


async def attached(_: str) -> None:
    """Every service has its subscription."""


class MemoryCensus:
    """`deletion.ports.Census` on the jobs of `store`."""

    def __init__(self, store: MemoryJobStore) -> None:
        self._store = store

    async def unfinished(self) -> Sequence[Unfinished]:
        """See the port."""
        live = [job for job in self._store.jobs.values() if job.status not in NOT_LIVE]
        live.sort(key=lambda job: (job.service, job.status))
        return [
            Unfinished(service, status, len(group), min(job.created_at for job in group))
            for (service, status), jobs in groupby(live, lambda job: (job.service, job.status))
            if (group := list(jobs))
        ]

    async def due(self, services: Collection[str], now: datetime, limit: int) -> Mapping[str, int]:
        """See the port."""
        queues = Counter(
            job.queue for job in self._store.jobs.values() if job.due and job.due <= now
        )
        return {each: min(limit, queues[each] + queues[suspect_queue(each)]) for each in services}


class Console:
    """Stores in memory, and a console that shows them."""

    def __init__(self, clock: Clock | None = None) -> None:
        self.virtual = VirtualClock()
        self.clock = clock or self.virtual
        self.requests = MemoryRequestStore()
        self.jobs = MemoryJobStore(self.clock.now)
        self.letters = MemoryDeadLetterStore()
        self.breakers = LocalBreakerStore(self.clock)
        self.sweeps = MemorySweepStore()
        self.actions = MemoryActionStore()
        self.previews = MemoryPreviewStore()
        self.bus = MemoryBus(self.clock)
        self.check_attached: Callable[[str], Awaitable[None]] = attached
        self.recovery: Recovery | None = None
        self.metrics = Metrics(CollectorRegistry())
        self.examinations = MemoryExaminationStore()

    def stores(self) -> Stores:
        """The ports of the console."""
        return Stores(
            requests=self.requests,
            jobs=self.jobs,
            deletion_jobs=MemoryDeletionJobs(self.jobs),
            job_lists=MemoryJobLists(self.jobs, self.clock, POLICY),
            census=MemoryCensus(self.jobs),
            letters=self.letters,
            letter_lists=MemoryLetterLists(self.letters),
            event_letters=self.letters,
            breakers=self.breakers,
            sweeps=MemorySweepLists(self.sweeps),
            actions=self.actions,
            previews=self.previews,
            examinations=self.examinations,
        )

    def operating(self) -> Operating:
        """What acts on these stores, and publishes to `bus`."""
        kinds = Kinds(
            self.jobs,
            self.letters,
            self.requests,
            self.bus,
            self.check_attached,
            self.clock,
            POLICY,
        )
        actions = Actions(self.actions, self.previews, kinds, self.clock, self.metrics.acted)
        return Operating(actions, kinds, self.recovery)

    def routers(self, render: Renderer) -> Sequence[APIRouter]:
        """The API and all pages, over these stores."""
        return self.routers_over(self.stores(), render)

    def routers_over(self, stores: Stores, render: Renderer) -> Sequence[APIRouter]:
        """The API and all pages, over `stores`."""
        guard, operating = KnownVisitor(), self.operating()
        return routers(stores, self.clock, POLICY, render, guard, operating, self.metrics)

    def app(
        self,
        own_origin: str = ORIGIN,
        poll_every: str = POLL_EVERY,
        tracer: Tracer | None = None,
    ) -> FastAPI:
        """The console over these stores, for `USERS`."""
        render = Renderer(self.clock, poll_every)
        known = Users(USERS)

        async def ready() -> str | None:
            return None

        return create_app(
            known,
            Sessions(known, self.clock),
            None,
            own_origin=own_origin,
            clock=self.clock,
            render=render,
            metrics=self.metrics,
            ready=ready,
            routers=self.routers(render),
            tracer=tracer,
        )

    @asynccontextmanager
    async def visited(self, tracer: Tracer | None = None) -> AsyncIterator[Visited]:
        """A visit, in virtual time."""
        sessions = Sessions(Users(USERS), self.clock)
        app = self.app(tracer=tracer)
        async with httpx.AsyncClient(
            transport=httpx.ASGITransport(app, raise_app_exceptions=False), base_url=ORIGIN
        ) as http:
            yield Visited(app, http, self.virtual, sessions)
