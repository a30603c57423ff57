"""A fleet of consumers' workers in virtual time, with one step, which calls a fake API."""

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta

import httpx

from consumers.claims import Claims
from consumers.metrics import Metrics
from consumers.worker import Worker
from deletion.adapters.http_api.client import HttpClient
from deletion.adapters.http_api.shared import Http
from deletion.adapters.http_api.spec import HttpSpec
from deletion.adapters.mongo.connection import Client
from deletion.adapters.spec import StepConnections
from deletion.breaker import LocalBreakerStore
from deletion.gate import Gates
from deletion.job import Change, Job, LeasePolicy, Status, StepProgress
from deletion.plan import Plan
from deletion.retry import Retry
from deletion.runner import Runner
from tests.support.alerts import RecordedAlerts
from tests.support.clock import VirtualClock
from tests.support.factories import SERVICE, a_job
from tests.support.memory_stores import MemoryJobStore

SLOTS = 8
POLICY = LeasePolicy(timedelta(seconds=600), max_attempts=5)
URL = "https://billing.example/bots/{bot_id}"
Answers = Callable[[str, float], int]
"""The status for a bot, a number of seconds after the start."""


class CountedClaims(MemoryJobStore):
    """Counts the claims that were won."""

    claims = 0

    async def apply(self, change: Change) -> Job:
        job = await super().apply(change)
        self.claims += change.before.attempt < job.attempt
        return job


class Fleet:
    """`replicas` consumers with `SLOTS` slots each, and a job for each of `bots` bots."""

    def __init__(self, replicas: int, bots: int, answers: Answers, *, seed: int = 1) -> None:
        self.clock = VirtualClock()
        self._began = self.clock.monotonic()
        self.store = CountedClaims(self.clock.now)
        self.breakers = LocalBreakerStore(self.clock)
        self.alerts = RecordedAlerts()
        self.calls: list[tuple[float, str]] = []
        self._rng = random.Random(seed)  # noqa: S311
        self._answers = answers
        self._stopping = asyncio.Event()
        self.workers = [self._worker(number) for number in range(replicas)]
        self.bots = [f"65f0a1b2c3d4e5f60718{number:04}" for number in range(bots)]
        for bot in self.bots:
            fresh = {"attempt": 0, "claimed_by": "", "steps": (StepProgress("account"),)}
            job = a_job(Status.PENDING, bot_id=bot, id=self.store.new_id(), **fresh)
            self.store.jobs[job.id] = job

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """All replicas work while the block runs."""
        working = [asyncio.create_task(worker.work()) for worker in self.workers]
        try:
            yield
        finally:
            self._stopping.set()
            for task in working:
                task.cancel()
            await asyncio.gather(*working, return_exceptions=True)
            await asyncio.gather(*(worker.end(4) for worker in self.workers))

    @property
    def seconds(self) -> float:
        """Since the start."""
        return self.clock.monotonic() - self._began

    def statuses(self) -> Counter[Status]:
        """The number of jobs by status."""
        return Counter(job.status for job in self.store.jobs.values())

    def sweep(self) -> None:
        """Move every job that a sweep would move."""
        now = self.clock.now()
        for job in [*self.store.jobs.values()]:
            if job.needs_sweep(now, POLICY):
                self.store.jobs[job.id] = job.sweep(now, POLICY).after

    def job_of(self, bot: str) -> Job:
        """The bot's job."""
        return next(job for job in self.store.jobs.values() if job.bot_id == bot)

    def calls_between(self, since: float, until: float) -> int:
        """The number of calls that the API got between these seconds."""
        return sum(since <= at < until for at, _ in self.calls)

    def _worker(self, number: int) -> Worker:
        client = HttpClient(self.clock, transport=httpx.MockTransport(self._answer))
        gates = Gates(self.breakers, self.clock, self.alerts, service=SERVICE)
        connections = StepConnections(_no_database, http=Http(client, gates, self.clock))
        step = HttpSpec.model_validate({"url": URL}).build("account", connections)
        retry = Retry(self.clock, rng=random.Random(self._rng.random()))  # noqa: S311
        runner = Runner(
            Plan(SERVICE, (step,)),
            self.store,
            self.clock,
            POLICY,
            stopping=self._stopping,
            retry=retry,
        )
        rng = random.Random(self._rng.random())  # noqa: S311
        claims = Claims(SERVICE, self.store, self.clock, POLICY, f"worker-{number}", rng=rng)
        metrics = Metrics(SERVICE, ["account"], [])
        return Worker(
            claims,
            runner,
            SLOTS,
            self.clock,
            metrics,
            self.alerts,
            stopping=self._stopping,
            rng=rng,
        )

    async def _answer(self, request: httpx.Request) -> httpx.Response:
        bot = request.url.path.rpartition("/")[2]
        self.calls.append((self.seconds, bot))
        await self.clock.sleep(0.05)
        status = self._answers(bot, self.seconds)
        headers = {"Location": request.url.path} if status == httpx.codes.ACCEPTED else {}
        return httpx.Response(status, headers=headers, stream=httpx.ByteStream(b""))


def _no_database(_: str | None) -> Client:
    raise AssertionError("no step has a database")
