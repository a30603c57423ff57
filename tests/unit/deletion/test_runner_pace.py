"""A run keeps to the pace of its steps, says so in its record, and must find what is expected."""

import asyncio
from datetime import timedelta

import pytest

from deletion.errors import NothingFound, PermanentError, PlanError, StoreUnavailable
from deletion.job import Job, LeasePolicy, Status, StepProgress, Throttled
from deletion.pace import UNPACED, Pace
from deletion.plan import Plan
from deletion.retry import Retry
from deletion.runner import Runner
from deletion.turns import LONGEST_PAUSE_AFTER_FAILURE
from tests.support.clock import START, VirtualClock
from tests.support.factories import BOT, OTHER_BOT, POLICY, SERVICE, a_job, items
from tests.support.scripted_step import ScriptedStep
from tests.support.scripted_stores import ScriptedStore

pytestmark = [pytest.mark.virtual_time, pytest.mark.usefixtures("logs")]

NAMES = ("first", "second")
PATIENCE = 300
"""Seconds in which errors are retried."""


class World:
    """Two steps over items of two bots; a batch takes a second."""

    def __init__(self, pace: Pace = UNPACED, *, expected: frozenset[str] = frozenset()) -> None:
        self.clock = VirtualClock()
        self.store = ScriptedStore(self.clock)
        self.first, self.second = (
            ScriptedStep(name, items([BOT, OTHER_BOT], 5), self.clock, seconds=1) for name in NAMES
        )
        paces = dict.fromkeys(NAMES, pace)
        self.plan = Plan(SERVICE, (self.first, self.second), paces=paces, expected=expected)
        self.stopping = asyncio.Event()
        self.job = self.store.put(a_job(steps=tuple(map(StepProgress, NAMES))))
        self.policy = LeasePolicy(timedelta(seconds=60), 3)
        self.runner = self._runner()

    def _runner(self) -> Runner:
        return Runner(
            self.plan,
            self.store,
            self.clock,
            self.policy,
            stopping=self.stopping,
            retry=Retry(self.clock, attempts=2),
            retry_seconds=PATIENCE,
        )

    @property
    def stored(self) -> Job:
        return self.store.jobs[self.job.id]

    def another(self, number: int) -> Job:
        """A job of another bot, in progress as well."""
        bot, job = f"65f0a1b2c3d4e5f60718{number:04}", f"65f0a1b2c3d4e5f60719{number:04}"
        return self.store.put(a_job(id=job, bot_id=bot, steps=tuple(map(StepProgress, NAMES))))

    async def run(self) -> Job | None:
        return await self.runner.run(self.job)

    async def resume(self) -> Job | None:
        """Another run, of a process of its own, after a sweep where one is needed."""
        if self.stored.due is None:
            self.clock.pause(POLICY.rest_after(self.stored.attempt).total_seconds() + 61)
            self.store.put(self.stored.resume(self.clock.now(), POLICY).after)
        self.job = self.store.put(self.stored.claim("worker-2/b", self.clock.now()).after)
        self.runner = self._runner()
        return await self.run()

    def of_another(self, **values: object) -> None:
        """A job of the bot that was complete before this one."""
        earlier = a_job(
            Status.COMPLETE,
            id="65f0a1b2c3d4e5f607180000",
            created_at=START - timedelta(days=1),
            **values,
        )
        self.store.put(earlier)


# --- the pace


async def test_what_held_a_run_back_stands_in_its_record() -> None:
    world = World(Pace(busy_share=0.1))
    await world.run()
    assert world.stored.status is Status.COMPLETE
    for progress in world.stored.steps:
        assert progress.throttled == Throttled("busy share 10 %", 27.0)
        assert str(progress.throttled) == "27.0 s by busy share 10 %"
        assert progress.deleted == 5


@pytest.mark.proves("held-back")
async def test_while_a_run_waits_the_heartbeat_goes_on_and_the_record_says_why() -> None:
    """A pause may be longer than the whole lease."""
    world = World(Pace(busy_share=0.01))
    running = asyncio.create_task(world.run())
    await world.clock.sleep(90)
    assert len(world.first.deleted) == 2, "it pauses for 99 s"
    throttled = world.stored.progress("first").throttled
    assert throttled is not None
    assert throttled.why == "busy share 1 %"
    assert not world.stored.is_stale(world.clock.now(), world.policy)
    await running
    assert world.stored.status is Status.COMPLETE


async def test_a_run_that_waits_hands_its_job_over_at_once_when_it_is_to_stop() -> None:
    world = World(Pace(busy_share=0.01))
    running = asyncio.create_task(world.run())
    await world.clock.sleep(20)
    stopped = world.clock.now()
    world.stopping.set()
    await running
    assert world.clock.now() - stopped < timedelta(seconds=1)
    assert world.stored.failure
    assert world.stored.failure.interrupted
    assert world.stored.progress("first").deleted == 2


async def test_stops_while_it_waits_make_a_job_neither_a_suspect_nor_a_failure() -> None:
    """In a rolling update it may wait in each replica, and has tried nothing."""
    world = World(Pace(busy_share=0.01))
    for replica in range(4):
        world.runner = world._runner()
        ahead = asyncio.create_task(world.runner.run(world.another(replica)))
        await world.clock.sleep(1.5)
        waiting = asyncio.create_task(world.run())
        await world.clock.sleep(20)
        world.stopping.set()
        await asyncio.gather(ahead, waiting)
        world.stopping.clear()
        assert world.stored.failure
        assert world.stored.failure.interrupted
        assert not world.stored.is_suspect
        world.job = world.store.put(world.stored.claim("worker-2/b", world.clock.now()).after)
    assert world.stored.progress("first").batches == 0


async def test_a_run_that_is_cancelled_while_it_waits_hands_its_job_over() -> None:
    world = World(Pace(busy_share=0.01))
    running = asyncio.create_task(world.run())
    await world.clock.sleep(20)
    running.cancel()
    await running
    assert world.stored.failure
    assert world.stored.failure.interrupted


@pytest.mark.proves("held-back")
async def test_a_wait_takes_nothing_from_the_time_in_which_errors_are_retried() -> None:
    """300 s here; the pause is 495 s."""
    world = World(Pace(busy_share=0.01))
    world.first.seconds = 5
    world.first.script.extend([None, StoreUnavailable("away"), StoreUnavailable("away")])
    await world.run()
    assert world.stored.status is Status.COMPLETE


@pytest.mark.proves("bounded-retries")
@pytest.mark.parametrize("share", [0.5, 0.1, 0.01])
async def test_a_step_whose_server_is_down_fails_its_runs_in_a_bounded_time(share: float) -> None:
    """Eight runs share its pace, and each of their batches is cut off after 10 s."""
    world, runs, cut_off = World(Pace(busy_share=share)), 8, 10

    async def no_answer() -> None:
        await world.clock.sleep(cut_off)
        raise StoreUnavailable("away")

    world.first.script.extend([no_answer] * 1000)
    jobs = [world.another(number) for number in range(runs)]
    ends: list[float] = []

    async def run(job: Job) -> None:
        ended = await world.runner.run(job)
        ends.append(world.clock.monotonic())
        assert ended
        assert ended.failure
        assert ended.failure.type == StoreUnavailable.__name__

    await asyncio.gather(*map(run, jobs))
    round_of_all = runs * (cut_off + LONGEST_PAUSE_AFTER_FAILURE)
    assert min(ends) >= PATIENCE
    assert max(ends) <= 2 * PATIENCE + 2 * round_of_all, "the first wait, and the last"
    tries = 1000 - len(world.first.script)
    assert tries >= 3 * runs, "the waits have left time for retries"


async def test_the_last_batch_of_a_step_is_not_followed_by_a_wait_for_nothing() -> None:
    world = World(Pace(busy_share=0.1))
    world.first.tells_last = world.second.tells_last = True
    await world.run()
    assert world.clock.monotonic() == pytest.approx(2 * (3 * 1 + 2 * 9))


async def test_without_a_pace_nothing_is_held_back() -> None:
    world = World()
    await world.run()
    assert [progress.throttled for progress in world.stored.steps] == [None, None]


# --- expect: nonzero


BOTH = frozenset(NAMES)


async def test_a_job_that_found_what_it_must_is_complete() -> None:
    world = World(expected=BOTH)
    await world.run()
    assert world.stored.status is Status.COMPLETE


@pytest.mark.proves("expected-data")
@pytest.mark.parametrize("missing", [NAMES[:1], NAMES[1:], NAMES])
async def test_a_job_may_not_complete_over_nothing_ever_found(missing: tuple[str, ...]) -> None:
    world = World(expected=BOTH)
    for name in missing:
        getattr(world, name).data[BOT] = []
    await world.run()
    assert world.stored.status is Status.FAILED
    assert world.stored.failure
    assert world.stored.failure.type == NothingFound.__name__
    assert f"step {', '.join(missing)} has never found" in world.stored.failure.message


async def test_a_step_of_which_nothing_is_expected_may_find_nothing() -> None:
    world = World(expected=frozenset({"second"}))
    world.first.data[BOT] = []
    await world.run()
    assert world.stored.status is Status.COMPLETE


async def test_what_an_earlier_attempt_found_counts() -> None:
    world = World(expected=BOTH)
    world.first.script.extend([None, None, None, ValueError("broken")])
    await world.run()
    assert world.stored.failure
    assert not world.first.data[BOT]
    await world.resume()
    assert world.stored.status is Status.COMPLETE


@pytest.mark.proves("expected-data")
async def test_what_was_deleted_by_a_batch_whose_count_was_lost_counts() -> None:
    """The process dies between the only batch of the step and the checkpoint behind it."""
    world = World(expected=frozenset({"first"}))
    world.first.batch_size = 10
    saved: list[Job] = []
    world.first.script.append(lambda: saved.append(world.stored))
    await world.run()
    world.store.put(saved[0])  # as it was written before the batch: what it did was lost
    assert not world.first.data[BOT]
    world.clock.pause(61)
    await world.resume()
    assert world.stored.progress("first").deleted == 0
    assert world.stored.status is Status.COMPLETE


@pytest.mark.proves("expected-data")
async def test_a_second_request_for_a_bot_may_find_nothing() -> None:
    """Its job is a new one, and the data went with the first."""
    world = World(expected=BOTH)
    world.first.data[BOT] = world.second.data[BOT] = []
    world.of_another(steps=tuple(StepProgress(name, deleted=3) for name in NAMES))
    await world.run()
    assert world.stored.status is Status.COMPLETE


@pytest.mark.proves("expected-data")
async def test_an_earlier_job_that_found_nothing_itself_proves_nothing() -> None:
    world = World(expected=BOTH)
    world.first.data[BOT] = world.second.data[BOT] = []
    world.of_another(steps=(StepProgress("first", deleted=3), StepProgress("second")))
    await world.run()
    assert world.stored.failure
    assert "step second has never" in world.stored.failure.message


async def test_what_was_found_of_another_bot_proves_nothing() -> None:
    world = World(expected=BOTH)
    world.first.data[BOT] = world.second.data[BOT] = []
    steps = tuple(StepProgress(name, deleted=3) for name in NAMES)
    world.of_another(steps=steps, bot_id=OTHER_BOT)
    await world.run()
    assert world.stored.status is Status.FAILED


def test_nothing_found_does_not_pass_by_itself() -> None:
    assert issubclass(NothingFound, PermanentError)


def test_something_expected_of_no_step_is_refused() -> None:
    step = ScriptedStep("messages", {}, VirtualClock())
    with pytest.raises(PlanError, match="massages"):
        Plan(SERVICE, (step,), expected=frozenset({"massages"}))
