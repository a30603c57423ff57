"""The consumer pulls what it has room for, and leaves nothing behind when it stops."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Iterator

import pytest
from structlog.testing import capture_logs
from structlog.typing import EventDict

from consumers.consumer import PULL_LIMIT, Consumer
from consumers.intake import Intake
from consumers.metrics import Metrics
from consumers.slots import Slots
from deletion.bus import Delivery, Message
from deletion.errors import BusUnavailable, StoreUnavailable, TopologyMissing
from deletion.events import BotDeletionSubject, ResumeRequested, decode, to_message
from deletion.job import Job, Status
from deletion.plan import Plan
from deletion.quarantine import Quarantine
from deletion.resume import resume_message
from deletion.runner import Runner
from tests.support.fakes import (
    BOT,
    POLICY,
    SERVICE,
    MemoryArchive,
    MemoryBus,
    RecordedAlerts,
    ScriptedStep,
    ScriptedStore,
    VirtualClock,
    a_job,
    items,
    placed,
    settle,
    until,
)
from tests.support.memory_stores import MemoryDeadLetterStore

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
        self.metrics = Metrics()
        self.slots = Slots(slots)
        self.dead_letters = MemoryDeadLetterStore()
        self.consumer = self.new_consumer(self.slots)
        self.consuming: asyncio.Task[None] | None = None

    def new_consumer(self, slots: Slots) -> Consumer:
        plan = Plan(SERVICE, (self.step,))
        archive = MemoryArchive(self.journal)
        quarantine = Quarantine(self.dead_letters, RecordedAlerts(), self.clock)
        return Consumer(
            intake=Intake(
                plan,
                self.subscription,
                self.store,
                archive,
                quarantine,
                self.clock,
                POLICY,
                "worker-1",
            ),
            runner=Runner(plan, self.store, self.clock, POLICY, stopping=self.stopping),
            subscription=self.subscription,
            publisher=self.bus,
            store=self.store,
            clock=self.clock,
            slots=slots,
            metrics=self.metrics,
        )

    def start(self) -> None:
        self.consuming = asyncio.create_task(self.consumer.consume(self.stopping, GRACE))

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
        return self.metrics.registry.get_sample_value(name, labels) or 0

    @property
    def resumptions(self) -> list[str]:
        """The jobs whose resumption was asked for."""
        events = [decode(message.data).event for message in self.bus.published]
        return [event.job_id for event in events if isinstance(event, ResumeRequested)]

    async def until_ended(self, jobs: int) -> None:
        await until(lambda: self.count(Status.COMPLETE) == jobs, self.clock)


@pytest.fixture(autouse=True)
def logs() -> Iterator[list[EventDict]]:
    """What is logged, kept from being rendered."""
    with capture_logs() as logs:
        yield logs


@pytest.fixture
async def world() -> AsyncIterator[World]:
    world = World()
    yield world
    if world.consuming:
        world.consuming.cancel()
        await asyncio.gather(world.consuming, return_exceptions=True)


async def test_every_request_becomes_a_job_that_is_complete(world: World) -> None:
    await world.publish(*(placed(bot) for bot in BOTS))
    world.start()
    await world.until_ended(len(BOTS))
    assert world.subscription.unacked == []
    assert not any(world.data[bot] for bot in BOTS)
    assert world.data[BOT] == [0, 1, 2, 3, 4], "of a bot nobody asked to delete"
    assert world.metric("botdel_consumer_runs_total", outcome="complete") == len(BOTS)
    assert world.metric("botdel_consumer_messages_total", outcome="run") == len(BOTS)


async def test_no_more_jobs_run_at_once_than_there_are_slots(world: World) -> None:
    await world.publish(*(placed(bot) for bot in BOTS))
    world.start()
    most = 0
    while world.count(Status.COMPLETE) < len(BOTS):
        most = max(most, world.running, world.count(Status.IN_PROGRESS))
        await world.clock.sleep(0.1)
    assert most == world.slots.size == 4


async def test_a_pull_never_asks_for_more_than_is_free(world: World) -> None:
    asked: list[tuple[int, int]] = []
    pull = world.subscription.pull

    async def noted(limit: int) -> list[Delivery]:
        asked.append((limit, world.slots.size - world.running))
        return await pull(limit)

    world.subscription.pull = noted  # type: ignore[method-assign]
    await world.publish(*(placed(bot) for bot in BOTS))
    world.start()
    await world.until_ended(len(BOTS))
    assert all(1 <= limit <= free for limit, free in asked)


async def test_messages_beyond_the_slots_are_left_on_the_subscription(world: World) -> None:
    world.step.seconds = 300
    await world.publish(*(placed(bot) for bot in BOTS))
    world.start()
    await world.clock.sleep(250)
    assert len(world.jobs) == world.slots.size
    assert len(world.subscription.unacked) == len(BOTS) - world.slots.size


async def test_a_pull_is_bounded_however_many_slots_there_are() -> None:
    world = World(slots=1000)
    world.start()
    await world.clock.sleep(1)
    await world.stop()
    assert world.subscription.pulls == [PULL_LIMIT]


async def test_a_message_that_needs_no_run_frees_its_slot(world: World) -> None:
    done = world.store.put(a_job(Status.COMPLETE))
    await world.publish(*[placed(BOT, done.event_id)] * 20)
    await world.publish(*(placed(bot) for bot in BOTS[:8]))
    world.start()
    await world.until_ended(9)
    await until(
        lambda: world.metric("botdel_consumer_messages_total", outcome="known") == 20, world.clock
    )
    assert world.subscription.unacked == []


async def test_a_group_that_breaks_off_frees_its_slots(world: World) -> None:
    world.store.faults["record"] = deque([RuntimeError("unexpected")] * 5)
    await world.publish(*(placed(bot) for bot in BOTS))
    world.start()
    await world.until_ended(len(BOTS))


async def test_a_run_that_breaks_off_frees_its_slot(world: World) -> None:
    world.store.faults["apply"] = deque([RuntimeError("refused")] * 20)
    await world.publish(*(placed(bot) for bot in BOTS))
    world.start()
    await until(lambda: world.subscription.unacked == [], world.clock)


async def test_a_failed_job_frees_its_slot_and_is_counted(world: World) -> None:
    world.step.script.extend([ValueError("broken")] * 8)
    await world.publish(*(placed(bot) for bot in BOTS[:12]))
    world.start()
    await until(
        lambda: world.count(Status.FAILED) + world.count(Status.COMPLETE) == 12, world.clock
    )
    assert world.metric("botdel_consumer_runs_total", outcome="failed") == 8
    assert world.resumptions == [], "an error of its own is recovery's to resume, not at once"


async def test_a_resumption_is_run(world: World) -> None:
    job = world.store.put(a_job(Status.FAILED))
    await world.publish(resume_message(job, world.clock.now()))
    world.start()
    await world.until_ended(1)
    assert world.jobs[0].attempt == 2


async def test_a_stop_fails_what_runs_as_interrupted_and_asks_for_its_resumption(
    world: World,
) -> None:
    await world.publish(*(placed(bot) for bot in BOTS[:4]))
    world.start()
    await until(lambda: world.running == 4, world.clock)
    took = await world.stop()
    assert took <= SECONDS_PER_BATCH + 3, "one batch, or one pull"
    assert world.count(Status.FAILED) == 4
    assert all(job.failure and job.failure.interrupted for job in world.jobs)
    assert [job.attempt for job in world.jobs] == [0] * 4
    assert sorted(world.resumptions) == sorted(world.store.jobs)
    assert world.metric("botdel_consumer_runs_total", outcome="interrupted") == 4


async def test_what_one_process_handed_over_the_next_one_finishes(world: World) -> None:
    await world.publish(*(placed(bot) for bot in BOTS[:4]))
    world.start()
    await until(lambda: world.running == 4, world.clock)
    await world.stop()
    world.stopping.clear()
    world.consumer = world.new_consumer(Slots(4))
    world.start()
    await world.until_ended(4)
    assert [job.attempt for job in world.jobs] == [1] * 4
    assert sorted(world.step.deleted) == sorted([0, 1, 2, 3, 4] * 4), "each item once"


async def test_an_idle_consumer_stops_within_one_pull(world: World) -> None:
    world.start()
    await world.clock.sleep(10)
    assert await world.stop() <= 3


async def test_a_full_consumer_stops_without_another_pull(world: World) -> None:
    world.step.seconds = 5
    await world.publish(*(placed(bot) for bot in BOTS))
    world.start()
    await until(lambda: world.running == 4, world.clock)
    pulls = len(world.subscription.pulls)
    await world.stop()
    assert len(world.subscription.pulls) == pulls
    assert len(world.resumptions) == 4
    assert len(world.subscription.unacked) == len(BOTS) - 4 + len(world.resumptions)


async def test_what_a_pull_brings_after_the_stop_is_handed_back_unrecorded(world: World) -> None:
    world.start()
    await until(lambda: len(world.subscription.pulls) == 1, world.clock)
    world.stopping.set()
    await world.publish(placed())
    await world.stop()
    assert world.journal == ["nack 1"]
    assert world.subscription.unacked == ["1"]
    assert world.jobs == []


async def test_what_was_being_recorded_at_the_stop_is_handed_over_not_lost(world: World) -> None:
    world.store.pauses["record"] = 1
    await world.publish(placed())
    world.start()
    await until(lambda: "record" in world.store.calls, world.clock)
    await world.stop()
    assert world.subscription.acked == ["1"]
    assert world.count(Status.FAILED) == 1
    assert world.resumptions == list(world.store.jobs)
    assert world.step.deleted == []


async def test_a_run_that_does_not_stop_in_time_is_cut_short_and_handed_over(world: World) -> None:
    world.step.script.append(7200.0)
    await world.publish(placed())
    world.start()
    await until(lambda: world.running == 1, world.clock)
    took = await world.stop()
    assert GRACE / 2 <= took <= GRACE / 2 + 3
    [job] = world.jobs
    assert job.status is Status.FAILED
    assert job.failure is not None
    assert job.failure.interrupted
    assert job.attempt == 0
    assert world.resumptions == [job.id]


async def test_the_grace_holds_even_when_nothing_can_be_handed_over(world: World) -> None:
    world.step.script.append(7200.0)
    await world.publish(placed())
    world.start()
    await until(lambda: world.running == 1, world.clock)
    world.store.down = True
    assert await world.stop() <= GRACE
    await settle()
    [job] = world.jobs
    assert job.status is Status.IN_PROGRESS, "stale in time, and recovery's to find"


async def test_a_resumption_that_cannot_be_asked_for_is_left_to_the_next_sweep(
    world: World,
) -> None:
    await world.publish(placed())
    world.start()
    await until(lambda: world.running == 1, world.clock)
    world.bus.down = True
    await world.stop()
    assert world.count(Status.FAILED) == 1


async def test_nothing_is_pulled_before_the_database_answers(world: World) -> None:
    world.store.down = True
    await world.publish(placed())
    world.start()
    await world.clock.sleep(30)
    assert world.subscription.pulls == []
    assert world.consumer.problem is not None
    assert "database" in world.consumer.problem
    world.store.down = False
    await world.until_ended(1)
    assert world.consumer.problem is None


async def test_an_outage_of_the_database_pauses_pulling_so_that_no_delivery_is_spent(
    world: World,
) -> None:
    world.start()
    await world.clock.sleep(10)
    assert world.consumer.problem is None
    world.store.down = True
    await world.publish(*(placed(bot) for bot in BOTS))
    await world.clock.sleep(45)
    pulls = len(world.subscription.pulls)
    assert world.consumer.problem is not None
    await world.clock.sleep(600)
    assert len(world.subscription.pulls) == pulls
    nacks = world.subscription.nacked
    assert max(nacks.count(message) for message in nacks) <= 2, "of five deliveries it may have"
    world.store.down = False
    await world.until_ended(len(BOTS))
    assert world.consumer.problem is None
    assert world.subscription.unacked == []


async def test_groups_handed_back_during_a_pull_stop_the_next_one(world: World) -> None:
    """A pull that was under way when the database went away must not hide that it did."""
    world.store.pauses["record"] = 1
    world.start()
    await world.clock.sleep(1)
    await world.publish(placed(BOTS[0]))
    await until(lambda: "record" in world.store.calls, world.clock)
    world.store.down = True
    await world.clock.sleep(25)
    assert world.consumer.problem is not None
    pulls = len(world.subscription.pulls)
    await world.clock.sleep(60)
    assert len(world.subscription.pulls) == pulls


async def test_a_database_that_answers_but_takes_nothing_is_asked_less_and_less(
    world: World,
) -> None:
    """Each try costs a delivery, and a message has few of them."""
    world.store.faults["record"] = deque([RuntimeError("not authorised")] * 999)
    await world.publish(placed())
    world.start()
    await world.clock.sleep(600)
    assert world.consumer.problem is not None
    assert len(world.subscription.nacked) <= 20, "a back-off of 10 s alone would make it 60"
    world.store.faults.clear()
    await world.until_ended(1)
    assert world.consumer.problem is None


async def test_a_stop_does_not_sit_out_a_back_off(world: World) -> None:
    world.store.faults["record"] = deque([RuntimeError("not authorised")] * 999)
    await world.publish(placed())
    world.start()
    await world.clock.sleep(600)
    assert await world.stop() <= 3, "one pull"


async def test_a_message_that_is_no_event_does_not_stop_the_others(world: World) -> None:
    world.start()
    await world.clock.sleep(10)
    await world.publish(Message(b"not an event", {}))
    await until(lambda: len(world.dead_letters.letters) == 1, world.clock)
    assert world.consumer.problem is None
    assert world.subscription.nacked == []
    assert world.store.calls.count("ping") == 1, "it says nothing of the database"
    await world.publish(placed())
    await world.until_ended(1)


async def test_a_bus_that_is_away_is_waited_for(world: World) -> None:
    world.subscription.down = True
    world.start()
    await world.clock.sleep(30)
    assert world.consumer.problem == "the subscription is down"
    await world.publish(placed())
    world.subscription.down = False
    await world.until_ended(1)
    assert world.consumer.problem is None


async def test_a_stop_while_nothing_answers_is_prompt(world: World) -> None:
    world.store.down = world.subscription.down = True
    world.start()
    await world.clock.sleep(5)
    assert await world.stop() <= 2


async def test_a_subscription_that_does_not_exist_ends_the_process_after_handing_over(
    world: World,
) -> None:
    await world.publish(placed())
    world.start()
    await until(lambda: world.running == 1, world.clock)

    async def gone(limit: int) -> list[Delivery]:
        raise TopologyMissing("no such subscription")

    world.subscription.pull = gone  # type: ignore[method-assign]
    assert world.consuming is not None
    with pytest.raises(TopologyMissing):
        await world.consuming
    assert world.count(Status.FAILED) == 1
    assert world.resumptions == list(world.store.jobs)


async def test_an_event_delivered_many_times_is_run_once(world: World) -> None:
    event = placed()
    for _ in range(10):
        await world.publish(event, event)
        if world.consuming is None:
            world.start()
        await world.clock.sleep(1)
    await world.until_ended(1)
    await until(lambda: world.subscription.unacked == [], world.clock)
    assert world.step.deleted == [0, 1, 2, 3, 4]
    assert world.step.cursors == [None]


async def test_lost_acks_cost_redeliveries_and_no_second_run(world: World) -> None:
    world.subscription.ack_faults.extend([BusUnavailable("away")] * 4)
    await world.publish(*(placed(bot) for bot in BOTS[:8]))
    world.start()
    await until(lambda: world.subscription.unacked == [], world.clock)
    await world.until_ended(8)
    assert len(world.step.cursors) == 8


async def test_a_moment_of_a_lost_database_costs_no_second_run(world: World) -> None:
    world.store.lost["record"] = deque([StoreUnavailable("answer lost")])
    await world.publish(*(placed(bot) for bot in BOTS[:4]))
    world.start()
    await world.until_ended(4)
    assert len(world.step.cursors) == 4
