"""A consumer over parts in memory."""

import asyncio

from consumers.claims import Claims
from consumers.intake import Intake, Outcome
from consumers.loop import Consumer
from consumers.metrics import Metrics
from consumers.worker import Worker
from deletion.bus import Message
from deletion.events import BotDeletionSubject, to_message
from deletion.job import Job, Status, suspect_queue
from deletion.plan import Plan
from deletion.quarantine import Quarantine
from deletion.runner import Runner
from deletion.skew import ClockCheck
from tests.support.alerts import RecordedAlerts
from tests.support.clock import VirtualClock, until
from tests.support.factories import BOT, POLICY, SERVICE, items
from tests.support.memory_bus import MemoryBus
from tests.support.memory_stores import MemoryDeadLetterStore
from tests.support.scripted_step import ScriptedStep
from tests.support.scripted_stores import ScriptedStore

GRACE = 20.0
SECONDS_PER_BATCH = 2.0
BOTS = [f"{number:024x}" for number in range(1, 41)]


class World:
    """A consumer over parts in memory; each bot's deletion takes three batches."""

    def __init__(self, slots: int = 4) -> None:
        self.clock = VirtualClock()
        self.journal: list[str] = []
        self.bus = MemoryBus(self.clock, self.journal)
        self.subscription = self.bus.subscribe()
        self.store = ScriptedStore(self.clock, self.journal)
        self.data = items([BOT, *BOTS], 5)
        self.step = ScriptedStep("first", self.data, self.clock, seconds=SECONDS_PER_BATCH)
        self.stopping = asyncio.Event()
        self.metrics = Metrics(SERVICE, ["first"], list(Outcome))
        self.slots = slots
        self.dead_letters = MemoryDeadLetterStore()
        self.consumer = self.new_consumer()
        self.consuming: asyncio.Task[None] | None = None

    def new_consumer(self) -> Consumer:
        plan, alerts = Plan(SERVICE, (self.step,)), RecordedAlerts()
        quarantine = Quarantine(self.dead_letters, alerts, self.clock)
        runner = Runner(plan, self.store, self.clock, POLICY, stopping=self.stopping)

        def worker(queue: str, slots: int) -> Worker:
            claims = Claims(queue, self.store, self.clock, POLICY, "worker-1")
            return Worker(
                claims, runner, slots, self.clock, self.metrics, alerts, stopping=self.stopping
            )

        return Consumer(
            intake=Intake(plan, self.subscription, self.store, quarantine, alerts, self.clock),
            workers=[worker(SERVICE, self.slots), worker(suspect_queue(SERVICE), 1)],
            subscription=self.subscription,
            store=self.store,
            clock=self.clock,
            metrics=self.metrics,
            stopping=self.stopping,
            check=ClockCheck(self.store, self.clock, POLICY),
        )

    def start(self) -> None:
        self.consuming = asyncio.create_task(self.consumer.consume(GRACE))

    async def stop(self) -> float:
        """Ask it to stop; the seconds it took."""
        assert self.consuming is not None
        asked = self.clock.now()
        self.stopping.set()
        await self.consuming
        return (self.clock.now() - asked).total_seconds()

    async def publish(self, *events: BotDeletionSubject | Message) -> None:
        for event in events:
            await self.bus.publish(event if isinstance(event, Message) else to_message(event))

    @property
    def jobs(self) -> list[Job]:
        return list(self.store.jobs.values())

    def count(self, status: Status) -> int:
        return sum(job.status is status for job in self.jobs)

    @property
    def running(self) -> int:
        return int(self.metric("botdel_consumer_running"))

    def metric(self, name: str, **labels: str) -> float:
        labels = {"service": SERVICE} | labels
        return self.metrics.registry.get_sample_value(name, labels) or 0

    async def until_ended(self, jobs: int) -> None:
        await until(lambda: self.count(Status.COMPLETE) == jobs)
