"""Intake and workers side by side: nothing waits for a deletion, nothing is left behind."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Sequence
from datetime import timedelta

import pytest

from consumers.claims import Claims
from consumers.consumer import GROUPS, MAX_PAUSE_SECONDS, PROBE, PULL_LIMIT, Consumer
from consumers.intake import Intake, Outcome
from consumers.metrics import Metrics
from consumers.worker import Worker
from deletion.bus import Delivery, Message
from deletion.errors import BusUnavailable, StoreUnavailable, TopologyMissing
from deletion.events import BotDeletionSubject, to_message
from deletion.job import STALE, Change, Job, PastAttempt, Status, suspects
from deletion.plan import Plan
from deletion.ports import Recorded
from deletion.quarantine import Quarantine
from deletion.runner import Runner
from deletion.skew import ClockCheck
from tests.support.alerts import RecordedAlerts
from tests.support.clock import START, VirtualClock, settle, until
from tests.support.factories import BOT, POLICY, SERVICE, a_job, items, placed
from tests.support.memory_bus import MemoryBus
from tests.support.memory_stores import MemoryDeadLetterStore
from tests.support.scripted_step import ScriptedStep
from tests.support.scripted_stores import ScriptedStore

pytestmark = pytest.mark.usefixtures("logs")

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
            return Worker(claims, runner, slots, self.clock, self.metrics, alerts)

        return Consumer(
            intake=Intake(plan, self.subscription, self.store, quarantine, alerts, self.clock),
            workers=[worker(SERVICE, self.slots), worker(suspects(SERVICE), 1)],
            subscription=self.subscription,
            store=self.store,
            clock=self.clock,
            metrics=self.metrics,
            check=ClockCheck(self.store, self.clock, POLICY),
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
        labels = {"service": SERVICE} | labels
        return self.metrics.registry.get_sample_value(name, labels) or 0

    async def until_ended(self, jobs: int) -> None:
        await until(lambda: self.count(Status.COMPLETE) == jobs, self.clock)


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
    assert world.metric("botdel_consumer_messages_total", outcome="recorded") == len(BOTS)


@pytest.mark.proves("recorded-in-seconds")
async def test_events_become_jobs_however_many_runs_are_busy(world: World) -> None:
    """A backlog is pending jobs: visible, ordered, and never expired by a broker."""
    world.step.seconds = 250
    world.start()
    await world.publish(*(placed(bot) for bot in BOTS[:4]))
    await until(lambda: world.running == 4, world.clock)
    await world.publish(*(placed(bot) for bot in BOTS[4:]))
    await world.clock.sleep(5)
    assert world.subscription.unacked == []
    assert (world.count(Status.IN_PROGRESS), world.count(Status.PENDING)) == (4, len(BOTS) - 4)


async def test_a_new_job_is_claimed_at_once_and_not_at_the_next_poll(world: World) -> None:
    world.start()
    await world.clock.sleep(600)
    asked = world.clock.now()
    await world.publish(placed())
    await until(lambda: world.running == 1, world.clock)
    assert (world.clock.now() - asked).total_seconds() <= 0.1


@pytest.mark.proves("recorded-in-seconds")
async def test_what_is_held_in_memory_is_bounded_by_groups(world: World) -> None:
    world.store.pauses["record"] = 5
    most = 0
    take = world.consumer._intake.take
    held = 0

    async def noted(deliveries: list[Delivery]) -> object:
        nonlocal held, most
        held += len(deliveries)
        most = max(most, held)
        taken = await take(deliveries)
        held -= len(deliveries)
        return taken

    world.consumer._intake.take = noted  # type: ignore[method-assign, assignment]
    await world.publish(*(placed(f"{n:024x}") for n in range(6 * PULL_LIMIT)))
    world.start()
    await until(lambda: world.subscription.unacked == [], world.clock)
    assert most == GROUPS * PULL_LIMIT
    assert set(world.subscription.pulls) == {PULL_LIMIT}


async def test_a_job_that_kills_its_process_runs_beside_the_others(world: World) -> None:
    """However many wait in front of it, and it takes none of their slots."""
    past = tuple(PastAttempt(n, "w", "first", 1, START, STALE) for n in (1, 2))
    world.store.put(a_job(Status.PENDING, attempt=2, past_attempts=past, bot_id=BOT))
    await world.publish(*(placed(bot) for bot in BOTS))
    world.start()
    await until(lambda: world.running == 5, world.clock)
    await world.until_ended(len(BOTS) + 1)


async def test_a_group_that_breaks_off_is_handed_back_and_taken_in_later(world: World) -> None:
    world.store.faults["record"] = deque([RuntimeError("unexpected")] * 50)
    await world.publish(*(placed(bot) for bot in BOTS))
    world.start()
    await world.until_ended(len(BOTS))


async def test_a_stop_hands_over_what_runs_and_any_replica_may_claim_it_at_once(
    world: World,
) -> None:
    await world.publish(*(placed(bot) for bot in BOTS[:4]))
    world.start()
    await until(lambda: world.running == 4, world.clock)
    took = await world.stop()
    assert took <= SECONDS_PER_BATCH + 3, "one batch, or one pull"
    assert world.count(Status.FAILED) == 4
    for job in world.jobs:
        assert job.failure
        assert job.failure.interrupted
        assert job.attempt == 0
        assert job.is_due(world.clock.now())
    assert world.metric("botdel_consumer_runs_total", outcome="interrupted") == 4


async def test_what_one_process_handed_over_the_next_one_finishes_without_a_sweep(
    world: World,
) -> None:
    await world.publish(*(placed(bot) for bot in BOTS[:4]))
    world.start()
    await until(lambda: world.running == 4, world.clock)
    await world.stop()
    world.stopping.clear()
    world.consumer = world.new_consumer()
    world.start()
    await world.until_ended(4)
    assert [job.attempt for job in world.jobs] == [1] * 4
    assert sorted(world.step.deleted) == sorted([0, 1, 2, 3, 4] * 4), "each item once"


async def test_an_idle_consumer_stops_within_one_pull(world: World) -> None:
    world.start()
    await world.clock.sleep(10)
    assert await world.stop() <= 3


@pytest.mark.proves("hand-back")
async def test_what_a_pull_brings_after_the_stop_is_recorded_for_the_other_replicas(
    world: World,
) -> None:
    """Handed back, it would have spent a delivery of each message, with every deployment."""
    world.start()
    await until(lambda: len(world.subscription.pulls) == 1, world.clock)
    world.stopping.set()
    await world.publish(placed())
    await world.stop()
    assert (world.subscription.acked, world.subscription.nacked) == (["1"], [])
    [job] = world.jobs
    assert job.is_due(world.clock.now())
    assert world.step.deleted == []


async def test_what_was_being_recorded_at_the_stop_is_pending_and_not_lost(world: World) -> None:
    world.store.pauses["record"] = 1
    await world.publish(placed())
    world.start()
    await until(lambda: "record" in world.store.calls, world.clock)
    await world.stop()
    assert world.subscription.acked == ["1"]
    [job] = world.jobs
    assert job.is_due(world.clock.now())
    assert world.step.deleted == []


async def test_a_claim_that_is_answered_after_the_stop_is_handed_over(world: World) -> None:
    """Cancelled, it would arrive all the same, and its job be in progress and run by nobody."""
    apply = world.store.apply

    async def answered_late(change: Change) -> Job:
        job = await apply(change)
        await world.clock.sleep(GRACE * 3 / 8)
        return job

    world.store.apply = answered_late  # type: ignore[method-assign]
    await world.publish(placed())
    world.start()
    await until(lambda: world.count(Status.IN_PROGRESS) == 1, world.clock)
    assert await world.stop() <= GRACE
    [job] = world.jobs
    assert job.failure is not None
    assert job.failure.interrupted
    assert (job.attempt, job.is_due(world.clock.now())) == (0, True)
    assert world.step.deleted == []


@pytest.mark.proves("hand-over")
async def test_a_run_that_does_not_stop_in_time_is_cut_short_and_handed_over(world: World) -> None:
    world.step.script.append(7200.0)
    await world.publish(placed())
    world.start()
    await until(lambda: world.running == 1, world.clock)
    took = await world.stop()
    assert GRACE * 7 / 16 <= took <= GRACE / 2 + 3
    [job] = world.jobs
    assert job.status is Status.FAILED
    assert job.failure is not None
    assert job.failure.interrupted
    assert job.attempt == 0
    assert job.is_due(world.clock.now())


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


@pytest.mark.proves("outage-of-intake")
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


@pytest.mark.proves("outage-of-intake")
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


@pytest.mark.proves("outage-of-intake")
async def test_a_database_that_takes_nothing_for_hours_wears_out_few_deliveries(
    world: World,
) -> None:
    """It answers pings, so a whole group each minute would be spent: thousands of messages."""
    world.store.faults["record"] = deque([RuntimeError("disk full")] * 10_000)
    world.store.pauses["record"] = 1
    waiting = 5 * PULL_LIMIT
    await world.publish(*(placed(f"{n:024x}") for n in range(1, waiting + 1)))
    world.start()
    await world.clock.sleep(2 * 3600)
    assert len(world.subscription.nacked) <= GROUPS * PULL_LIMIT + PROBE * (2 * 60 + 10)
    assert world.consumer.problem is not None
    world.store.faults.clear()
    await until(lambda: world.subscription.unacked == [], world.clock)
    assert world.consumer.problem is None
    assert len(world.jobs) == waiting
    assert world.subscription.pulls[-1] == PULL_LIMIT


def refuse(world: World, bot: str) -> None:
    """The database never stores a job of that bot, whatever it is that is wrong with it."""
    record = world.store.record

    async def refusing(jobs: Sequence[Job]) -> list[Recorded]:
        if any(job.bot_id == bot for job in jobs):
            raise RuntimeError("document failed validation")
        return await record(jobs)

    world.store.record = refusing  # type: ignore[method-assign]


@pytest.mark.proves("outage-of-intake")
async def test_a_message_that_can_never_be_stored_does_not_hold_up_those_pulled_with_it(
    world: World,
) -> None:
    refuse(world, BOT)
    await world.publish(placed(BOT), *(placed(f"{n:024x}") for n in range(1, 3 * PULL_LIMIT)))
    world.start()
    await until(lambda: len(world.jobs) == 3 * PULL_LIMIT - 1, world.clock, within=2)
    assert world.store.calls.count("check_writes") == 1, "the database is not at fault"


@pytest.mark.proves("outage-of-intake")
async def test_a_message_that_can_never_be_stored_does_not_hold_up_those_that_come_after_it(
    world: World,
) -> None:
    """While it is the only one nothing shows whose fault it is."""
    refuse(world, BOT)
    await world.publish(placed(BOT))
    world.start()
    await world.clock.sleep(600)
    await world.publish(*(placed(bot) for bot in BOTS))
    await until(lambda: len(world.jobs) == len(BOTS), world.clock, within=2 * MAX_PAUSE_SECONDS)


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
    assert world.store.calls.count("check_writes") == 1, "it says nothing of the database"
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


@pytest.mark.proves("pubsub-trouble")
@pytest.mark.parametrize(
    ("error", "problem"),
    [
        (TopologyMissing("no such subscription"), "no such subscription"),
        (ValueError("the key is disabled"), "unexpected ValueError"),
    ],
)
async def test_a_pull_that_is_refused_ends_no_run_and_is_tried_less_and_less(
    world: World, monkeypatch: pytest.MonkeyPatch, error: Exception, problem: str
) -> None:
    """What is recorded needs no Pub/Sub; that nothing is pulled shows in the readiness."""
    world.store.put(a_job(Status.PENDING, attempt=0, due=START, created_at=START))
    refused = 0

    async def refusing(limit: int) -> list[Delivery]:
        nonlocal refused
        refused += 1
        raise error

    with monkeypatch.context() as patched:
        patched.setattr(world.subscription, "pull", refusing)
        world.start()
        await world.until_ended(1)
        await world.clock.sleep(3600)
        assert world.consumer.problem == problem
        assert refused < 3600 / MAX_PAUSE_SECONDS + 10
    await world.publish(placed(BOTS[0]))
    await world.until_ended(2)
    assert world.consumer.problem is None


@pytest.mark.proves("clock-set")
async def test_nothing_is_pulled_under_a_clock_that_is_wrong(world: World) -> None:
    """Its jobs would be due in the future, where no worker, sweep or operator looks."""
    world.store.skew = timedelta(days=-3)
    await world.publish(placed())
    world.start()
    await world.clock.sleep(600)
    assert world.subscription.pulls == []
    assert "clock" in (world.consumer.problem or "")
    world.store.skew = timedelta(0)
    await world.until_ended(1)
    assert world.consumer.problem is None


@pytest.mark.proves("clock-set")
async def test_a_clock_that_is_set_during_a_pull_makes_no_job_of_the_future(world: World) -> None:
    world.start()
    await world.clock.sleep(10)
    for step in (timedelta(days=3), -timedelta(days=3)):
        world.clock.set(step)
        world.store.skew -= step
        await world.publish(*(placed(bot) for bot in BOTS))
        await world.clock.sleep(20)
    await world.until_ended(len(BOTS))
    assert max(job.created_at for job in world.jobs) <= world.clock.now()


@pytest.mark.proves("outage-of-intake")
async def test_a_database_that_answers_and_takes_no_write_costs_each_message_one_delivery(
    world: World,
) -> None:
    """Without its majority, full, or locked: after five deliveries Pub/Sub gives a message up."""
    world.start()
    await world.clock.sleep(10)
    for method in ("record", "check_writes"):
        world.store.faults[method] = deque([StoreUnavailable("no majority")] * 10_000)
    await world.publish(*(placed(bot) for bot in BOTS))
    await world.clock.sleep(2 * 3600)
    nacks = world.subscription.nacked
    assert max(nacks.count(message) for message in nacks) <= 2, "of five deliveries it may have"
    world.store.faults.clear()
    await world.until_ended(len(BOTS))
    assert world.consumer.problem is None


async def test_a_worker_that_breaks_off_stops_the_process(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An intake without a worker would take in what nobody runs, and look well."""
    await world.publish(placed())
    world.start()
    await until(lambda: world.running == 1, world.clock)

    async def broken(self: Worker, free: int, stopping: asyncio.Event) -> list[Job]:
        raise ZeroDivisionError

    monkeypatch.setattr(Worker, "_claim", broken)
    assert world.consuming is not None
    with pytest.raises(ZeroDivisionError):
        await world.consuming
    assert world.stopping.is_set()
    assert world.count(Status.FAILED) == 1, "and what ran was handed over"


async def test_a_problem_of_a_worker_is_a_problem_of_the_consumer(world: World) -> None:
    world.start()
    await world.clock.sleep(10)
    assert world.consumer.problem is None
    world.store.faults["due"] = deque([RuntimeError("unexpected")] * 100)
    await world.clock.sleep(30)
    assert world.consumer.problem == "unexpected RuntimeError"


def test_a_consumer_that_has_not_started_is_not_ready() -> None:
    assert World().consumer.problem == "not started"


@pytest.mark.proves("duplicates")
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
