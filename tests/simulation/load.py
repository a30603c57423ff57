"""Many replicas over one service: nothing goes wrong here but that they want the same jobs.

Only what decides that takes part: records, claims, workers and runs, over calls of the database
that take as long as real ones do.
"""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from consumers.claims import Claims
from consumers.intake import Outcome
from consumers.metrics import Metrics
from consumers.worker import Worker
from deletion.errors import StoreUnavailable
from deletion.job import Change, Job, LeasePolicy, StepProgress
from deletion.plan import Batch
from deletion.ports import Read
from deletion.retry import Retry
from deletion.runner import Runner
from tests.simulation.schedule import rng
from tests.support.alerts import RecordedAlerts
from tests.support.clock import VirtualClock, now
from tests.support.factories import unpaced
from tests.support.large_store import LargeJobStore

SERVICE = "conversations"
POLICY = LeasePolicy(timedelta(seconds=600), max_attempts=5)
CALL = (0.002, 0.008)
"""Seconds a call of the database takes, from and to."""
FOR_EACH = 0.00001
"""Seconds more for each job that is read."""


class Distant(LargeJobStore):
    """As far away as a database is."""

    def __init__(self, *name: object) -> None:
        super().__init__(now)
        self._rng = rng("distant", *name)

    @property
    def looks(self) -> int:
        """How many queries there were for due jobs."""
        return self.calls["due"]

    async def due(self, queue: str, since: datetime, until: datetime, limit: int) -> Sequence[Read]:
        await self._travel()
        found = await super().due(queue, since, until, limit)
        await self._travel(len(found))
        return found

    async def apply(self, change: Change) -> Job:
        await self._travel()
        job = await super().apply(change)
        await self._travel()
        return job

    async def _travel(self, jobs: int = 0) -> None:
        """One way of the two."""
        await asyncio.sleep(self._rng.uniform(*CALL) / 2 + jobs * FOR_EACH)


@dataclass
class Work:
    """A step of one batch, which takes `seconds`. While `is_out`, each call raises."""

    seconds: float
    is_out: bool = False
    name: str = "messages"
    bots: set[str] = field(default_factory=set)

    async def delete(self, bot_id: str, cursor: str | None) -> AsyncGenerator[Batch, None]:
        """One batch."""
        self._answer()
        if bot_id not in self.bots:
            await asyncio.sleep(self.seconds)
            self.bots.add(bot_id)
            yield Batch(1, "1")

    async def is_empty(self, bot_id: str) -> bool:
        """Whether its batch is gone."""
        self._answer()
        return bot_id in self.bots

    def _answer(self) -> None:
        if self.is_out:
            raise StoreUnavailable("the data database does not answer")


class Replicas:
    """So many workers of one service, of `slots` each, over the data of `step`.

    Services may share a `store`. `won` and `lost` are their claims.
    """

    def __init__(
        self,
        number: int,
        slots: int,
        seconds: float,
        *,
        seed: int = 1,
        service: str = SERVICE,
        store: Distant | None = None,
    ) -> None:
        self.store = store or Distant(seed)
        self.service = service
        self.rng = rng("load", service, seed)
        self.won = self.lost = 0
        self._stopping = asyncio.Event()
        self.step = Work(seconds)
        self._plan = unpaced(service, self.step)
        self._metrics = Metrics(service, ["messages"], [outcome.value for outcome in Outcome])
        self._placed = 0
        self.workers = [self._worker(f"replica-{each}", slots) for each in range(1, number + 1)]
        self._working: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """All within a second, as a deployment does."""
        self._working = [asyncio.create_task(self._work(worker)) for worker in self.workers]

    async def stop(self) -> None:
        """Returns when the last has ended."""
        self._stopping.set()
        await asyncio.gather(*self._working)
        await asyncio.gather(*(worker.end(20) for worker in self.workers))

    async def place(self, number: int) -> None:
        """So many new jobs at once, as one intake records them."""
        jobs: list[Job] = []
        for _ in range(number):
            self._placed += 1
            jobs.append(a_new_job(self.store.new_id(), f"{self._placed:024x}", self.service))
        await self.store.record(jobs)

    async def ended(self, within: float, look: float = 0.5) -> float:
        """Seconds until every job is complete, looked at every `look` seconds."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        while any(job.live for job in self.store.jobs.values()):
            assert loop.time() - began < within, self.standing
            await asyncio.sleep(look)
        return loop.time() - began

    @property
    def standing(self) -> str:
        """For a failure."""
        live = sum(job.live for job in self.store.jobs.values())
        return f"{live} jobs are left, {self.won} claims won, {self.lost} lost"

    def _worker(self, name: str, slots: int) -> Worker:
        clock, numbers = VirtualClock(), rng(name)
        claims = Claims(
            self.service, self.store, clock, POLICY, name, rng=numbers, counted=self._counted
        )
        runner = Runner(
            self._plan,
            self.store,
            clock,
            POLICY,
            stopping=self._stopping,
            retry=Retry(clock, rng=numbers),
        )
        return Worker(
            claims,
            runner,
            slots,
            clock,
            self._metrics,
            RecordedAlerts(),
            stopping=self._stopping,
            rng=numbers,
        )

    async def _work(self, worker: Worker) -> None:
        await asyncio.sleep(self.rng.random())
        await worker.work()

    def _counted(self, won: int, lost: int, _refused: int) -> None:
        self.won += won
        self.lost += lost


def a_new_job(job_id: str, bot_id: str, service: str = SERVICE) -> Job:
    """A job whose event has the number of its bot."""
    steps = (StepProgress("messages"),)
    return Job.placed(
        id=job_id,
        service=service,
        bot_id=bot_id,
        event_id=bot_id,
        placed_at=now(),
        steps=steps,
        now=now(),
    )
