"""A worker fills its slots with due jobs, wakes when there is something to do, and ends in time."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from typing import Any

import pytest
from structlog.testing import capture_logs
from structlog.typing import EventDict

from consumers.claims import Claims
from consumers.metrics import Metrics
from consumers.worker import MAX_PAUSE_SECONDS, MAX_POLL_SECONDS, Worker
from deletion.errors import Parked, StoreUnavailable
from deletion.job import STALE, Job, PastAttempt, Status, suspects
from deletion.plan import Plan
from deletion.runner import Runner
from tests.support.fakes import (
    POLICY,
    SERVICE,
    START,
    ScriptedStep,
    ScriptedStore,
    VirtualClock,
    a_job,
    until,
)

GRACE = 16.0
SECONDS_PER_BATCH = 2.0


class World:
    """A worker of four slots; each bot's deletion takes three batches."""

    def __init__(self) -> None:
        self.clock = VirtualClock()
        self.store = ScriptedStore(self.clock)
        self.step = ScriptedStep("first", {}, self.clock, seconds=SECONDS_PER_BATCH)
        self.stopping = asyncio.Event()
        self.metrics = Metrics(SERVICE, ["first"], [])
        plan = Plan(SERVICE, (self.step,))
        self.runner = Runner(plan, self.store, self.clock, POLICY, stopping=self.stopping)
        self.worker = self.new_worker(SERVICE, 4)
        self.working: asyncio.Task[None] | None = None

    def new_worker(self, queue: str, slots: int) -> Worker:
        claims = Claims(
            queue, self.store, self.clock, POLICY, "worker-1", counted=self.metrics.claimed
        )
        return Worker(claims, self.runner, slots, self.clock, self.metrics)

    def put(self, count: int = 1, **values: Any) -> list[Job]:
        """Pending jobs that are due, each of a bot with five items."""
        jobs = []
        for _ in range(count):
            identity = f"{len(self.store.jobs) + 1:024x}"
            now = self.clock.now()
            own = {"id": identity, "bot_id": identity, "attempt": 0, "due": now, "created_at": now}
            jobs.append(self.store.put(a_job(Status.PENDING, **(own | values))))
            self.step.data[identity] = list(range(5))
        return jobs

    def start(self) -> None:
        self.working = asyncio.create_task(self.worker.work(self.stopping))

    async def stop(self) -> float:
        """Ask it to stop; the seconds it took."""
        assert self.working
        asked = self.clock.now()
        self.stopping.set()
        await self.working
        await self.worker.end(GRACE)
        return (self.clock.now() - asked).total_seconds()

    def count(self, status: Status) -> int:
        return sum(job.status is status for job in self.store.jobs.values())

    def ended(self, outcome: str) -> float:
        labels = {"service": SERVICE, "outcome": outcome}
        return self.metrics.registry.get_sample_value("botdel_consumer_runs_total", labels) or 0

    @property
    def running(self) -> int:
        labels = {"service": SERVICE}
        return int(self.metrics.registry.get_sample_value("botdel_consumer_running", labels) or 0)

    @property
    def looks(self) -> int:
        """How often it has looked for due jobs."""
        return self.store.calls.count("due")


@pytest.fixture(autouse=True)
def logs() -> Iterator[list[EventDict]]:
    """What is logged, kept from being rendered."""
    with capture_logs() as logs:
        yield logs


@pytest.fixture
async def world() -> AsyncIterator[World]:
    world = World()
    yield world
    world.stopping.set()
    if world.working:
        world.working.cancel()
        await asyncio.gather(world.working, return_exceptions=True)
        await world.worker.end(0)


async def test_every_due_job_is_run_and_never_more_than_there_are_slots(world: World) -> None:
    world.put(30)
    world.start()
    most = 0
    while world.count(Status.COMPLETE) < 30:
        most = max(most, world.running, world.count(Status.IN_PROGRESS))
        await world.clock.sleep(0.1)
    assert most == 4
    assert world.ended("complete") == 30


async def test_a_free_slot_is_filled_at_once_and_not_at_the_next_poll(world: World) -> None:
    world.put(40)
    world.start()
    await until(lambda: world.count(Status.COMPLETE) == 40, world.clock)
    took = (world.clock.now() - START).total_seconds()
    assert took <= 10 * 4 * SECONDS_PER_BATCH + 5


async def test_a_wake_is_heard_at_once_though_it_has_been_idle_for_long(world: World) -> None:
    world.start()
    await world.clock.sleep(600)
    world.put()
    world.worker.wake()
    asked = world.clock.now()
    await until(lambda: world.running == 1, world.clock)
    assert world.clock.now() - asked <= timedelta(seconds=0.1)


async def test_a_wake_while_it_claims_is_not_missed(world: World) -> None:
    """What it reads then may be without the job it was woken for."""
    world.start()
    await world.clock.sleep(600)
    world.store.pauses["due"] = 1
    world.worker.wake()
    await world.clock.sleep(0.5)
    world.worker.wake()
    looks = world.looks
    await world.clock.sleep(1)
    assert world.looks > looks


async def test_an_idle_worker_looks_less_and_less_often_and_not_never(world: World) -> None:
    world.start()
    await world.clock.sleep(60)
    looks = world.looks
    await world.clock.sleep(600)
    polls = world.looks - looks
    assert 600 / MAX_POLL_SECONDS <= polls <= 2 * 600 / MAX_POLL_SECONDS + 1
    world.put()
    asked = world.clock.now()
    await until(lambda: world.running == 1, world.clock)
    assert world.clock.now() - asked <= timedelta(seconds=MAX_POLL_SECONDS + 0.1)


async def test_a_full_worker_does_not_look(world: World) -> None:
    world.step.seconds = 200
    world.put(10)
    world.start()
    await until(lambda: world.running == 4, world.clock)
    looks = world.looks
    await world.clock.sleep(150)
    assert world.looks == looks


async def test_a_suspect_is_run_by_the_worker_of_its_own_queue_only(world: World) -> None:
    past = tuple(PastAttempt(n, "w", "first", 1, START, STALE) for n in (1, 2))
    [suspect] = world.put(past_attempts=past)
    world.put(4)
    world.start()
    await until(lambda: world.count(Status.COMPLETE) == 4, world.clock)
    await world.clock.sleep(60)
    assert world.store.jobs[suspect.id].status is Status.PENDING
    other = world.new_worker(suspects(SERVICE), 1)
    working = asyncio.create_task(other.work(world.stopping))
    await until(lambda: world.count(Status.COMPLETE) == 5, world.clock)
    world.stopping.set()
    await working


async def test_each_end_of_a_run_is_counted_as_what_it_is(world: World) -> None:
    world.worker = world.new_worker(SERVICE, 1)
    later = START + timedelta(days=1)
    world.step.script.extend([ValueError("broken"), Parked(later, "the circuit is open")])
    world.put(3)
    world.start()
    await until(lambda: world.count(Status.COMPLETE) == 1, world.clock)
    assert [world.ended(outcome) for outcome in ("failed", "pending", "complete")] == [1, 1, 1]
    await world.clock.sleep(10)
    assert world.count(Status.PENDING) == 1, "until it is due"


async def test_a_run_that_breaks_off_frees_its_slot(world: World, logs: list[EventDict]) -> None:
    world.put(8)
    broken = 0

    async def refuse(change: Any) -> None:
        nonlocal broken
        if change.before.status is Status.IN_PROGRESS and broken < 8:
            broken += 1
            raise PermissionError("refused")

    world.store.before_apply = refuse
    world.start()
    await until(lambda: world.count(Status.PENDING) == world.running == 0, world.clock)
    said = [line["event"] for line in logs]
    assert said.count("a run broke off: its job will be stale") == 4
    assert world.count(Status.COMPLETE) == 4


@pytest.mark.parametrize("error", [StoreUnavailable("no primary"), RuntimeError("secret")])
async def test_a_problem_is_shown_tried_again_less_and_less_often_and_taken_back(
    world: World, error: Exception
) -> None:
    world.store.faults["due"] = deque([error] * 12)
    world.put()
    world.start()
    await world.clock.sleep(60)
    assert world.worker.problem is not None
    assert ("secret" in world.worker.problem) is False
    looks = world.looks
    await world.clock.sleep(60)
    assert world.looks - looks <= 60 / MAX_PAUSE_SECONDS + 1
    await until(lambda: world.count(Status.COMPLETE) == 1, world.clock)
    assert world.worker.problem is None


async def test_an_idle_worker_stops_at_once(world: World) -> None:
    world.start()
    await world.clock.sleep(600)
    assert await world.stop() == 0


async def test_a_worker_that_waits_for_the_database_stops_at_once(world: World) -> None:
    world.store.down = True
    world.start()
    await world.clock.sleep(600)
    assert await world.stop() == 0


async def test_a_stop_hands_over_between_two_batches_and_claims_nothing_more(
    world: World,
) -> None:
    world.put(8)
    world.start()
    await until(lambda: world.running == 4, world.clock)
    assert await world.stop() <= SECONDS_PER_BATCH
    assert (world.count(Status.FAILED), world.count(Status.PENDING)) == (4, 4)
    assert world.ended("interrupted") == 4
    for job in world.store.jobs.values():
        assert job.attempt == 0
        assert job.is_due(world.clock.now()), "another replica may claim each at once"


async def test_a_run_that_does_not_end_is_cut_short_after_half_of_the_grace(world: World) -> None:
    world.step.script.append(7200.0)
    world.put()
    world.start()
    await until(lambda: world.running == 1, world.clock)
    assert GRACE / 2 <= await world.stop() <= GRACE / 2 + 1
    [job] = world.store.jobs.values()
    assert job.failure is not None
    assert job.failure.interrupted
    assert job.is_due(world.clock.now())


async def test_the_end_comes_within_the_grace_even_when_nothing_can_be_handed_over(
    world: World, logs: list[EventDict]
) -> None:
    world.step.script.append(7200.0)
    world.put()
    world.start()
    await until(lambda: world.running == 1, world.clock)
    world.store.down = True
    assert await world.stop() <= GRACE * 3 / 4 + 1
    [job] = world.store.jobs.values()
    assert job.status is Status.IN_PROGRESS, "stale in time, and recovery's to find"
    assert "not handed over in time: their jobs will be stale" in [line["event"] for line in logs]
