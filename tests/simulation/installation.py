"""The product's processes, put together over the ports of a simulated one."""

import asyncio
from dataclasses import replace

from consumers.consumer import Consumer
from consumers.intake import Intake
from consumers.metrics import Metrics
from consumers.slots import Slots
from deletion.errors import BusUnavailable, StoreUnavailable
from deletion.quarantine import Quarantine
from deletion.retry import Retry
from deletion.runner import Runner
from recovery.dead_letters import DeadLetterConsumer
from recovery.main import TRIES
from recovery.sweep import silence
from recovery.sweeper import Sweeper
from recovery.sweeps import Sweeps
from tests.simulation.broker import PREFIX
from tests.simulation.process import GRACE, Process
from tests.simulation.reached import ProcessClock, reached, reached_plan
from tests.simulation.world import World

SLOTS = 3


async def consume(process: Process, world: World, service: str) -> None:
    """`botdel consumer`."""
    clock = ProcessClock(process)
    plan = reached_plan(process, world.plans[service], world.holds)
    store = reached(process, "store", world.store, StoreUnavailable)
    letters = reached(process, "letters", world.letters, StoreUnavailable)
    archive = reached(process, "archive", world.archive, StoreUnavailable)
    subscription = reached(process, "subscription", world.broker.of[service], BusUnavailable)
    publisher = reached(process, "publisher", world.broker.topic, BusUnavailable)
    intake = Intake(
        plan,
        subscription,
        store,
        archive,
        Quarantine(letters, world.alerts, clock),
        clock,
        world.policy,
        process.id,
    )
    intake._retry = replace(intake._retry, rng=process.rng)  # its own jitter repeats nothing
    consumer = Consumer(
        intake=intake,
        runner=Runner(
            plan,
            store,
            clock,
            world.policy,
            stopping=process.stopping,
            retry=Retry(clock, rng=process.rng),
        ),
        subscription=subscription,
        publisher=publisher,
        store=store,
        clock=clock,
        slots=Slots(SLOTS),
        metrics=Metrics(),
    )
    await consumer.consume(process.stopping, GRACE)


class Recovery:
    """`botdel recovery`: its sweeps, and the consumer of the dead-letter topic."""

    def __init__(self, process: Process, world: World) -> None:
        clock = ProcessClock(process)
        letters = reached(process, "letters", world.letters, StoreUnavailable)
        dead = reached(process, "dead_letters", world.broker.dead_letters, BusUnavailable)
        quarantine = Quarantine(letters, world.alerts, clock)
        self._process = process
        self._dead_letters = DeadLetterConsumer(
            dead, quarantine, clock, prefix=PREFIX, prepare=_nothing_to_prepare
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
    sweeper = Sweeper(
        jobs=reached(process, "store", world.store, StoreUnavailable),
        sweeps=store,
        publisher=reached(process, "publisher", world.broker.topic, BusUnavailable),
        clock=clock,
        policy=world.policy,
        retry=retry,
        page_size=2,
        alerts=world.alerts,
        stale_share=0.5,
    )

    return Sweeps(
        store,
        sweeper,
        clock,
        retry,
        silent_after=silence(world.policy),
        ended=lambda _: None,
        prepare=_nothing_to_prepare,
    )


async def _nothing_to_prepare() -> None:
    """A store in memory has its indexes."""
