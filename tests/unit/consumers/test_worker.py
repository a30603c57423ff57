"""A worker fills its slots with due jobs, wakes when there is something to do, and ends in time."""

import asyncio
from collections import deque
from datetime import datetime, timedelta
from typing import Any

import pytest
from structlog.typing import EventDict

from consumers.claims import Claims
from consumers.metrics import Metrics
from consumers.worker import MAX_PAUSE_SECONDS, MAX_POLL_SECONDS, Worker
from deletion.alerts import Alert, AlertKind
from deletion.errors import Parked, StoreUnavailable
from deletion.job import STALE, Change, Failure, Job, PastAttempt, Status, suspect_queue
from deletion.runner import Runner
from deletion.skew import KEEP_SECONDS, ClockCheck
from tests.support.alerts import RecordedAlerts
from tests.support.clock import START, VirtualClock, settle, until
from tests.support.factories import POLICY, SERVICE, a_job, unpaced
from tests.support.scripted_step import ScriptedStep
from tests.support.scripted_stores import ScriptedStore

pytestmark = [pytest.mark.virtual_time, pytest.mark.usefixtures("logs")]

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
        self.alerts = RecordedAlerts()
        plan = unpaced(SERVICE, self.step)
        self.runner = Runner(plan, self.store, self.clock, POLICY, stopping=self.stopping)
        self.check = ClockCheck(self.store, self.clock, POLICY)
        self.worker = self.new_worker(SERVICE, 4)
        self.working: asyncio.Task[None] | None = None

    def new_worker(self, queue: str, slots: int) -> Worker:
        claims = Claims(
            queue, self.store, self.clock, POLICY, "worker-1", counted=self.metrics.claimed
        )
        return Worker(
            claims,
            self.runner,
            slots,
            self.clock,
            self.metrics,
            self.alerts,
            stopping=self.stopping,
            check=self.check,
        )

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
        self.working = asyncio.create_task(self.worker.work())

    async def stop(self) -> float:
        """Ask it to stop; the seconds it took."""
        assert self.working
        asked = self.clock.now()
        self.stopping.set()
        await self.worker.end(GRACE)
        await asyncio.wait({self.working})
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


@pytest.fixture
def world() -> World:
    return World()


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
    await until(lambda: world.count(Status.COMPLETE) == 40)
    took = (world.clock.now() - START).total_seconds()
    assert took <= 10 * 4 * SECONDS_PER_BATCH + 5


async def test_a_wake_is_heard_at_once_though_it_has_been_idle_for_long(world: World) -> None:
    world.start()
    await world.clock.sleep(600)
    world.put()
    world.worker.wake()
    asked = world.clock.now()
    await until(lambda: world.running == 1)
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
    await until(lambda: world.running == 1)
    assert world.clock.now() - asked <= timedelta(seconds=MAX_POLL_SECONDS + 0.1)


async def test_a_full_worker_does_not_look(world: World) -> None:
    world.step.seconds = 200
    world.put(10)
    world.start()
    await until(lambda: world.running == 4)
    looks = world.looks
    await world.clock.sleep(150)
    assert world.looks == looks


@pytest.mark.proves("killer-job")
async def test_a_suspect_is_run_by_the_worker_of_its_own_queue_only(world: World) -> None:
    past = tuple(PastAttempt(n, "w", "first", 1, START, STALE) for n in (1, 2))
    [suspect] = world.put(past_attempts=past)
    world.put(4)
    world.start()
    await until(lambda: world.count(Status.COMPLETE) == 4)
    await world.clock.sleep(60)
    assert world.store.jobs[suspect.id].status is Status.PENDING
    other = world.new_worker(suspect_queue(SERVICE), 1)
    working = asyncio.create_task(other.work())
    await until(lambda: world.count(Status.COMPLETE) == 5)
    world.stopping.set()
    await working


async def test_each_end_of_a_run_is_counted_as_what_it_is(world: World) -> None:
    world.worker = world.new_worker(SERVICE, 1)
    later = START + timedelta(days=1)
    world.step.script.extend([ValueError("broken"), Parked(later, "the circuit is open")])
    world.put(3)
    world.start()
    await until(lambda: world.count(Status.COMPLETE) == 1)
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
    await until(lambda: world.count(Status.PENDING) == world.running == 0)
    said = [line["event"] for line in logs]
    assert said.count("a run raised an error: its job will be stale") == 4
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
    await until(lambda: world.count(Status.COMPLETE) == 1)
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
    await until(lambda: world.running == 4)
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
    await until(lambda: world.running == 1)
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
    await until(lambda: world.running == 1)
    world.store.down = True
    assert await world.stop() <= GRACE * 3 / 4 + 1
    [job] = world.store.jobs.values()
    assert job.status is Status.IN_PROGRESS, "stale in time, and recovery's to find"
    assert "not handed over in time: their jobs will be stale" in [line["event"] for line in logs]


def claims_that(world: World, *, wait_for: asyncio.Event) -> None:
    """From now on the write of a claim arrives at once, and is answered after that event."""
    apply = world.store.apply

    async def answer_late(change: Change) -> Job:
        job = await apply(change)
        if change.after.status is Status.IN_PROGRESS:
            await wait_for.wait()
        return job

    world.store.apply = answer_late  # type: ignore[method-assign]


@pytest.mark.proves("claim-at-a-stop")
async def test_what_is_won_after_the_stop_is_handed_over_and_not_left_in_progress(
    world: World,
) -> None:
    """A claim that is cancelled may arrive all the same, and its job be run by nobody."""
    answered = asyncio.Event()
    claims_that(world, wait_for=answered)
    world.put()
    world.start()
    await until(lambda: world.count(Status.IN_PROGRESS) == 1)
    stopping = asyncio.create_task(world.stop())
    await world.clock.sleep(GRACE * 5 / 8)
    answered.set()
    assert await stopping <= GRACE * 5 / 8 + 1
    [job] = world.store.jobs.values()
    assert job.failure is not None
    assert job.failure.interrupted
    assert (job.attempt, job.is_due(world.clock.now())) == (0, True)
    assert world.step.cursors == [], "no step was begun"


@pytest.mark.proves("claim-at-a-stop")
async def test_a_claim_whose_answer_was_lost_is_repeated_after_the_stop_and_handed_over(
    world: World,
) -> None:
    world.store.lost["apply"] = deque([StoreUnavailable("answer lost")] * 4)
    world.put()
    world.start()
    await until(lambda: world.count(Status.IN_PROGRESS) == 1)
    assert world.running == 0
    await world.stop()
    assert world.count(Status.IN_PROGRESS) == 0


@pytest.mark.proves("claim-at-a-stop")
async def test_jobs_won_beside_a_claim_that_is_never_answered_are_run_and_handed_over(
    world: World, logs: list[EventDict]
) -> None:
    """That one alone is left, to be stale, and only after the whole grace."""
    jobs = world.put(4)
    silent = jobs[0].id

    apply = world.store.apply

    async def lose(change: Change) -> Job:
        job = await apply(change)
        if change.after.id == silent:
            raise StoreUnavailable("answer lost")
        return job

    world.store.apply = lose  # type: ignore[method-assign]
    world.start()
    await until(lambda: world.running == 3)
    assert GRACE / 2 <= await world.stop() <= GRACE * 3 / 4 + 1
    left = [job.id for job in world.store.jobs.values() if job.status is Status.IN_PROGRESS]
    assert left == [silent]
    assert world.count(Status.FAILED) == 3
    assert "not handed over in time: their jobs will be stale" in [line["event"] for line in logs]


async def test_a_run_that_was_won_after_the_stop_outlives_it_no_more_than_others(
    world: World,
) -> None:
    """Its process closes what it would write with."""
    world.put(1)
    world.store.pauses["apply"] = 3.0

    async def away(change: Change) -> None:
        if change.after.status is not Status.IN_PROGRESS:
            raise StoreUnavailable("away")

    world.store.before_apply = away
    world.start()
    await until(lambda: "apply" in world.store.calls)
    others = asyncio.all_tasks() - {world.working}
    assert await world.stop() <= GRACE * 3 / 4 + 1
    await settle()
    assert asyncio.all_tasks() <= others


@pytest.mark.proves("unclaimable-job")
async def test_one_job_whose_claim_is_refused_makes_nobody_unready(world: World) -> None:
    [bad] = world.put()

    async def refuse(change: Change) -> None:
        if change.after.id == bad.id:
            raise PermissionError("document failed validation")

    world.store.before_apply = refuse
    world.start()
    await world.clock.sleep(10)
    assert world.worker.problem is None
    world.put(4)
    world.worker.wake()
    await until(lambda: world.count(Status.COMPLETE) == 4)
    labels = {"service": SERVICE, "outcome": "refused"}
    name = "botdel_consumer_claims_total"
    assert world.metrics.registry.get_sample_value(name, labels) == 1


async def test_a_wake_ends_a_pause_after_a_problem(world: World) -> None:
    """Who has just recorded something knows that the database is back."""
    world.store.down = True
    world.start()
    await world.clock.sleep(600)
    world.store.down = False
    world.put()
    world.worker.wake()
    asked = world.clock.now()
    await until(lambda: world.running == 1)
    assert world.clock.now() - asked <= timedelta(seconds=0.1)


@pytest.mark.proves("claim-clock")
@pytest.mark.parametrize("skew", [POLICY.max_skew, -POLICY.max_skew])
async def test_nothing_is_claimed_while_the_clock_is_off_and_again_once_it_is_right(
    world: World, logs: list[EventDict], skew: timedelta
) -> None:
    """Its heartbeats would look silent to a sweep, or it would claim before a job is due."""
    world.store.skew = skew * 1.1
    world.put(4)
    world.start()
    await world.clock.sleep(600)
    assert (world.count(Status.PENDING), world.looks) == (4, 0)
    assert world.worker.problem is not None
    assert "synchronise" in world.worker.problem
    assert any("synchronise" in line.get("reason", "") for line in logs)
    world.store.skew = skew
    await world.clock.sleep(KEEP_SECONDS + MAX_PAUSE_SECONDS)
    assert world.worker.problem is None
    assert world.count(Status.COMPLETE) == 4


@pytest.mark.parametrize("skew", [timedelta(0), timedelta(days=1)])
async def test_the_database_is_asked_for_its_time_once_a_minute_whoever_works(
    world: World, skew: timedelta
) -> None:
    world.store.skew = skew
    other = world.new_worker(suspect_queue(SERVICE), 1)
    working = asyncio.create_task(other.work())
    world.start()
    await world.clock.sleep(3600)
    assert 30 <= world.store.calls.count("time") <= 3600 / KEEP_SECONDS + 1
    world.stopping.set()
    await working


@pytest.mark.proves("claim-clock")
async def test_a_clock_that_goes_wrong_later_is_noticed_within_minutes(world: World) -> None:
    world.start()
    await world.clock.sleep(600)
    assert world.worker.problem is None
    world.store.skew = timedelta(hours=1)
    await world.clock.sleep(KEEP_SECONDS + MAX_POLL_SECONDS)
    assert world.worker.problem is not None


@pytest.mark.parametrize("skew", [POLICY.max_skew, -POLICY.max_skew])
@pytest.mark.parametrize("told_first", [True, False])
async def test_a_slow_answer_of_the_database_is_no_skew(
    world: World, skew: timedelta, told_first: bool
) -> None:
    world.store.skew = skew
    time = world.store.time

    async def slow() -> datetime:
        if told_first:
            told = await time()
            await world.clock.sleep(POLICY.call_seconds)
            return told
        await world.clock.sleep(POLICY.call_seconds)
        return await time()

    world.store.time = slow  # type: ignore[method-assign]
    world.start()
    await world.clock.sleep(60)
    assert world.worker.problem is None


async def test_a_job_that_was_rolled_back_raises_an_alert(world: World) -> None:
    why = Failure("HttpRefused", "403", START)
    [job, _] = world.put(1, point_of_no_return="first", rollback_cause=why) + world.put(1)
    world.start()
    await until(lambda: world.count(Status.COMPLETE) + world.count(Status.COMPENSATED) == 2)
    assert world.alerts.told == [Alert(AlertKind.JOB_COMPENSATED, SERVICE, "HttpRefused", job.id)]
