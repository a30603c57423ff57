"""The product's processes, put together over the ports of a simulated one."""

import asyncio
from dataclasses import replace
from datetime import timedelta
from functools import cache

from consumers.claims import Claims
from consumers.intake import Intake, Outcome
from consumers.loop import Consumer
from consumers.main import SUSPECT_SLOTS
from consumers.metrics import Metrics
from consumers.worker import Worker
from deletion.errors import BusUnavailable, StoreUnavailable
from deletion.job import suspect_queue
from deletion.quarantine import Quarantine
from deletion.retry import Retry
from deletion.runner import Runner
from deletion.skew import ClockCheck, check_clock
from deletion.sweep import silence
from recovery.dead_letter_consumer import DeadLetterConsumer
from recovery.main import TRIES
from recovery.metrics import Metrics as RecoveryMetrics
from recovery.starting import Sweeps
from recovery.sweeper import Sweeper
from tests.simulation.broker import PREFIX
from tests.simulation.process import GRACE, Process
from tests.simulation.reached import ProcessClock, reached, reached_plan
from tests.simulation.world import ROWS, World

WAITING_AFTER = timedelta(hours=1)


async def consume(process: Process, world: World, service: str) -> None:
    """`botdel consumer`."""
    clock = ProcessClock(process)
    plan = reached_plan(process, world.plans[service], world.holds)
    store = reached(process, "store", world.store, StoreUnavailable)
    letters = reached(process, "letters", world.letters, StoreUnavailable)
    subscription = reached(process, "subscription", world.broker.of[service], BusUnavailable)
    intake = Intake(
        plan,
        subscription,
        store,
        Quarantine(letters, world.alerts, clock),
        world.alerts,
        clock,
    )
    intake._retry = replace(intake._retry, rng=process.rng)  # its own jitter repeats nothing
    runner = Runner(
        plan,
        store,
        clock,
        world.policy,
        stopping=process.stopping,
        retry=Retry(clock, rng=process.rng),
        retry_seconds=world.retry_seconds,
    )
    metrics = _metrics(service)
    check = ClockCheck(store, clock, world.policy)

    def worker(queue: str, slots: int) -> Worker:
        claims = Claims(
            queue,
            store,
            clock,
            world.policy,
            process.id,
            rng=process.rng,
            counted=world.count_claims,
        )
        return Worker(
            claims,
            runner,
            slots,
            clock,
            metrics,
            world.alerts,
            stopping=process.stopping,
            check=check,
            rng=process.rng,
        )

    consumer = Consumer(
        intake=intake,
        workers=[
            worker(service, world.scenario.slots),
            worker(suspect_queue(service), SUSPECT_SLOTS),
        ],
        subscription=subscription,
        store=store,
        clock=clock,
        metrics=metrics,
        stopping=process.stopping,
        check=check,
    )
    await consumer.consume(GRACE)


_recovery_metrics = cache(RecoveryMetrics)


@cache
def _metrics(service: str) -> Metrics:
    """One for all replicas: what they count is tested elsewhere, and a registry is slow to make."""
    return Metrics(service, ROWS, [outcome.value for outcome in Outcome])


class Recovery:
    """`botdel recovery`: its sweeps, and the consumer of the dead-letter topic."""

    def __init__(self, process: Process, world: World) -> None:
        clock = ProcessClock(process)
        letters = reached(process, "letters", world.letters, StoreUnavailable)
        dead = reached(process, "dead_letters", world.broker.dead_letters, BusUnavailable)
        quarantine = Quarantine(letters, world.alerts, clock)
        self._process = process
        self._dead_letters = DeadLetterConsumer(
            dead,
            quarantine,
            clock,
            prefix=PREFIX,
            prepare=_nothing_to_prepare,
            metrics=_recovery_metrics(),
        )
        self.sweeps = _sweeps(process, world, clock)

    async def run(self) -> None:
        """Until SIGTERM."""
        recording = asyncio.create_task(self._dead_letters.consume(self._process.stopping))
        await self._process.stopping.wait()
        await self.sweeps.close(GRACE / 4)
        await recording


def _sweeps(process: Process, world: World, clock: ProcessClock) -> Sweeps:
    retry = Retry(clock, attempts=TRIES, rng=process.rng)
    store = reached(process, "sweeps", world.sweeps, StoreUnavailable)
    jobs = reached(process, "store", world.store, StoreUnavailable)
    sweeper = Sweeper(
        jobs=jobs,
        sweeps=store,
        clock=clock,
        policy=world.policy,
        retry=retry,
        page_size=2,
        alerts=world.alerts,
        stale_share=0.5,
        waiting_after=WAITING_AFTER,
    )

    async def prepare() -> None:
        await check_clock(jobs, clock, world.policy)

    return Sweeps(
        store,
        sweeper,
        clock,
        retry,
        silent_after=silence(world.policy),
        ended=lambda _: None,
        prepare=prepare,
    )


async def _nothing_to_prepare() -> None:
    """A store in memory has its indexes."""
