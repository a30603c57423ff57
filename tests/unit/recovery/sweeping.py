"""What the tests of recovery share: jobs, and a sweeper over them."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta

from deletion.alerts import AlertKind
from deletion.job import Change, Failure, Job, LeasePolicy, Status
from deletion.retry import Retry
from deletion.skew import check_clock
from deletion.sweep import Sweep
from recovery.starting import Sweeps
from recovery.sweeper import Sweeper
from tests.support.alerts import RecordedAlerts
from tests.support.clock import START, VirtualClock
from tests.support.memory_stores import MemorySweepStore
from tests.support.scripted_stores import ScriptedStore

POLICY = LeasePolicy(timedelta(seconds=600), max_attempts=5)
LONG_AGO = START - timedelta(days=2)
"""Stale since, and rested after any attempt."""
WAITING_AFTER = timedelta(days=1)


class Jobs(ScriptedStore):
    """A store that is easy to fill."""

    def add(
        self,
        status: Status = Status.FAILED,
        *,
        attempt: int = 1,
        modified: datetime = LONG_AGO,
        service: str = "service-a",
        due: datetime | None = None,
    ) -> str:
        """The id of a new job of its own bot and event."""
        job_id = self.new_id()
        self.jobs[job_id] = Job(
            id=job_id,
            service=service,
            bot_id=job_id,
            event_ids=(f"00000000-0000-4000-8000-{int(job_id, 16):012x}",),
            status=status,
            attempt=attempt,
            claimed_by="a run",
            placed_at=LONG_AGO,
            created_at=LONG_AGO,
            last_modified_at=modified,
            due=due or (LONG_AGO if status is Status.PENDING else None),
            failure=Failure("Boom", "it broke", LONG_AGO) if status is Status.FAILED else None,
        )
        return job_id

    @property
    def resumed(self) -> list[str]:
        """Ids of the jobs that were made pending, in order."""
        return [c.after.id for c in self.applied if c.after.status is Status.PENDING]


class World:
    """A sweeper over parts in memory."""

    def __init__(self, *, page_size: int = 3, clock: VirtualClock | None = None) -> None:
        self.clock = clock or VirtualClock()
        self.jobs = Jobs(self.clock)
        self.sweeps = MemorySweepStore()
        self.alerts = RecordedAlerts()
        self.sweeper = Sweeper(
            jobs=self.jobs,
            sweeps=self.sweeps,
            clock=self.clock,
            policy=POLICY,
            retry=Retry(self.clock, attempts=4),
            page_size=page_size,
            alerts=self.alerts,
            stale_share=0.5,
            waiting_after=WAITING_AFTER,
        )

    @property
    def given_up(self) -> list[str]:
        """Ids of the jobs that somebody was told are exhausted, in order."""
        return [a.example for a in self.alerts.told if a.kind is AlertKind.JOB_EXHAUSTED]


class Started:
    """`Sweeps` over a world, and what it says of each sweep's end."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.ended: asyncio.Queue[Sweep] = asyncio.Queue()
        self.prepared = 0
        self.preparing: Callable[[], Awaitable[None]] = self.check_clock
        self.sweeps = Sweeps(
            world.sweeps,
            world.sweeper,
            world.clock,
            Retry(world.clock, attempts=4),
            silent_after=timedelta(seconds=600),
            prepare=self.prepare,
            ended=self.ended.put_nowait,
        )

    async def prepare(self) -> None:
        self.prepared += 1
        await self.preparing()

    async def check_clock(self) -> None:
        await check_clock(self.world.jobs, self.world.clock, POLICY)


def hang(world: World) -> asyncio.Event:
    """Make every move of a job wait for the event that is returned."""
    going_on = asyncio.Event()

    async def waiting(change: Change) -> None:
        await going_on.wait()

    world.jobs.before_apply = waiting
    return going_on
