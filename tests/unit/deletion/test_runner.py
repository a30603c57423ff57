"""A run ends complete, failed with its reason, or stops because the job is another's."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest
from structlog.typing import EventDict

from deletion.errors import LeaseLost, Parked, SharedDocument, StoreUnavailable, TransientError
from deletion.job import LONGEST_REST, Change, Job, LeasePolicy, Status, StepProgress, StepStatus
from deletion.lease import LAST_CAP, Lease
from deletion.plan import Batch, Plan
from deletion.retry import Retry
from deletion.runner import PASSES, Runner
from tests.support.clock import START, VirtualClock
from tests.support.factories import BOT, OTHER_BOT, POLICY, SERVICE, a_job, items
from tests.support.scripted_step import Action, ScriptedStep
from tests.support.scripted_stores import ScriptedStore

pytestmark = pytest.mark.usefixtures("logs")

PATIENCE = 300
"""Seconds for which errors that may pass are retried in these tests."""


class World:
    """A plan of two steps over five items of the bot each, and as many of another bot."""

    def __init__(
        self,
        *,
        policy: LeasePolicy = POLICY,
        seconds: float = 0,
        kind: type[ScriptedStep] = ScriptedStep,
    ) -> None:
        self.kind = kind
        self.clock = VirtualClock()
        self.store = ScriptedStore(self.clock)
        self.first = self._step("first", seconds)
        self.second = self._step("second", seconds)
        self.plan = Plan(SERVICE, (self.first, self.second))
        self.stopping = asyncio.Event()
        self.batches: list[tuple[str, int]] = []
        self.policy = policy
        self.runner = Runner(
            self.plan,
            self.store,
            self.clock,
            policy,
            stopping=self.stopping,
            retry=Retry(self.clock, attempts=2),
            retry_seconds=PATIENCE,
            on_batch=lambda step, deleted: self.batches.append((step, deleted)),
        )
        steps = (StepProgress("first"), StepProgress("second"))
        self.job = self.store.put(a_job(steps=steps))

    def _step(self, name: str, seconds: float) -> ScriptedStep:
        return self.kind(name, items([BOT, OTHER_BOT], 5), self.clock, seconds=seconds)

    @property
    def stored(self) -> Job:
        return self.store.jobs[self.job.id]

    @property
    def deleted(self) -> tuple[list[int], list[int]]:
        return self.first.deleted, self.second.deleted

    def given(self, *steps: StepProgress) -> None:
        """The job has come so far before this run."""
        self.job = self.store.put(replace(self.job, steps=steps))

    def rob(self) -> None:
        at = max(self.clock.now(), self.stored.last_modified_at + POLICY.stale_after)
        resumed = self.stored.resume(at, POLICY).after
        self.store.put(resumed.claim("worker-2/b", at).after)

    def take_up(self) -> None:
        """Another process claims it, after a sweep where one is needed."""
        if self.stored.due is None:
            self.clock.pause(POLICY.rest_after(self.stored.attempt).total_seconds() + 1)
            self.store.put(self.stored.resume(self.clock.now(), POLICY).after)
        self.job = self.store.put(self.stored.claim("worker-2/b", self.clock.now()).after)

    async def run(self) -> Job | None:
        async with asyncio.timeout(20):
            return await self.runner.run(self.job)


@pytest.fixture
async def world() -> World:
    return World()


async def test_a_run_deletes_everything_of_its_bot_and_nothing_else(world: World) -> None:
    ended = await world.run()
    assert ended == world.stored
    assert world.stored.status is Status.COMPLETE
    assert world.stored.finished_at == world.clock.now()
    assert world.deleted == ([0, 1, 2, 3, 4], [0, 1, 2, 3, 4])
    for step in (world.first, world.second):
        assert step.data == {BOT: [], OTHER_BOT: [0, 1, 2, 3, 4]}
    assert world.stored.steps == tuple(
        StepProgress(name, StepStatus.COMPLETE, 5, batches=3, placed_at=world.job.placed_at)
        for name in ("first", "second")
    )


async def test_the_steps_run_in_the_order_of_the_plan(world: World) -> None:
    await world.run()
    assert [step for step, _ in world.batches] == ["first"] * 3 + ["second"] * 3


async def test_every_batch_is_counted(world: World) -> None:
    await world.run()
    assert [deleted for _, deleted in world.batches] == [2, 2, 1, 2, 2, 1]


@pytest.mark.proves("checkpoint")
async def test_each_batch_is_followed_by_its_checkpoint_before_the_next_is_deleted(
    world: World,
) -> None:
    seen: list[tuple[int, int]] = []

    def look() -> None:
        seen.append((len(world.first.deleted), world.stored.progress("first").deleted))

    world.first.script.extend([look] * 4)
    await world.run()
    assert seen == [(0, 0), (2, 2), (4, 4), (5, 5)]


async def test_only_the_very_last_batch_has_its_checkpoint_with_the_jobs_end(world: World) -> None:
    seen: list[int] = []

    def look() -> None:
        seen.extend(world.stored.progress(step).deleted for step in ("first", "second"))

    world.first.tells_last = world.second.tells_last = True
    world.second.script.append(look)
    world.second.read_script.append(look)
    await world.run()
    assert seen == [5, 0, 5, 4]
    look()
    assert seen[-2:] == [5, 5]


@pytest.mark.proves("checkpoint")
async def test_a_run_goes_on_from_the_cursor_and_counts_on(world: World) -> None:
    begun = StepProgress("first", StepStatus.IN_PROGRESS, 2, "1", batches=1, slowest=7)
    world.given(begun, StepProgress("second"))
    world.first.data[BOT] = [2, 3, 4]
    await world.run()
    assert world.first.cursors == ["1"]
    assert world.stored.progress("first") == StepProgress(
        "first", StepStatus.COMPLETE, 5, batches=3, slowest=7
    )


async def test_the_time_of_the_slowest_batch_is_kept(world: World) -> None:
    world.first.script.extend([2.0, 9.5, 0.5])
    await world.run()
    assert world.stored.progress("first").slowest == 9.5
    assert world.stored.progress("second").slowest == 0


async def test_a_step_that_was_completed_is_not_run_again_but_is_read_back(world: World) -> None:
    world.given(StepProgress("first", StepStatus.COMPLETE, 5, "4"), StepProgress("second"))
    world.first.data[BOT] = []
    await world.run()
    assert world.first.cursors == []
    assert world.first.read_backs == 1
    assert world.stored.status is Status.COMPLETE


async def test_a_completed_step_whose_data_came_back_is_run_again_from_the_beginning(
    world: World,
) -> None:
    world.given(StepProgress("first", StepStatus.COMPLETE, 5, "4"), StepProgress("second"))
    world.first.data[BOT] = [3]
    await world.run()
    assert world.first.cursors == [None]
    assert world.first.data[BOT] == []
    assert world.stored.status is Status.COMPLETE


async def test_what_was_written_behind_the_cursor_is_found_by_the_read_back(world: World) -> None:
    world.second.script.append(lambda: world.first.data[BOT].append(0))
    await world.run()
    assert world.first.data[BOT] == []
    assert world.stored.status is Status.COMPLETE
    assert world.stored.progress("first").deleted == 6


@pytest.mark.proves("nothing-left")
async def test_a_job_is_complete_only_after_every_step_was_read_back_empty(world: World) -> None:
    await world.run()
    assert world.first.read_backs == world.second.read_backs == 1
    assert world.store.applied[-1].after.status is Status.COMPLETE


@pytest.mark.proves("join")
async def test_a_request_that_joins_after_the_read_back_is_looked_for_too(world: World) -> None:
    newer = START + timedelta(seconds=30)

    async def join(change: Change) -> None:
        """Between the last read-back and the end: data, and a request to delete it."""
        if change.after.status is Status.COMPLETE and change.after.placed_at < newer:
            world.second.data[BOT] = [7]
            await world.store.record([a_job(id="d" * 24, event_ids=("b",), placed_at=newer)])

    world.store.before_apply = join
    await world.run()
    assert (world.stored.status, world.stored.placed_at) == (Status.COMPLETE, newer)
    assert world.second.data[BOT] == []
    assert len(world.store.jobs) == 1


async def test_progress_noted_while_a_heartbeat_is_under_way_is_not_lost(world: World) -> None:
    world.store.pauses["apply"] = 5
    lease = Lease(world.job, world.store, world.clock, POLICY, Retry(world.clock))
    beating = asyncio.create_task(lease.checkpoint())
    await world.clock.sleep(1)
    done = StepProgress("first", StepStatus.COMPLETE, 5, "4")
    await lease.note(done)
    await beating
    assert lease.job.progress("first") == done


@pytest.mark.proves("nothing-left")
async def test_left_overs_fail_the_job_after_the_last_pass(world: World) -> None:
    def write_again() -> None:
        world.first.data[BOT] = [9]

    world.first.read_script.extend([write_again] * 99)
    await world.run()
    assert world.first.read_backs == 2 * PASSES - 1, "and once more before each further pass"
    assert world.stored.status is Status.FAILED
    assert world.stored.failure is not None
    assert world.stored.failure.type == "LeftOvers"
    assert "first" in world.stored.failure.message
    assert "second" not in world.stored.failure.message


@pytest.mark.parametrize("error", [SharedDocument("not the bot's alone"), ValueError("a fault")])
async def test_only_an_error_that_nobody_foresaw_is_logged_with_its_trace(
    world: World, logs: list[EventDict], error: Exception
) -> None:
    def fail() -> None:
        raise error

    world.first.read_script.append(fail)
    await world.run()
    [failed] = [line for line in logs if line["event"] == "run failed"]
    assert failed["reason"] == f"{type(error).__name__}: {error}"
    assert failed["exc_info"] == isinstance(error, ValueError)


async def test_what_is_read_back_late_is_not_deleted_again(world: World) -> None:
    """As at an API whose reads lag behind its deletions."""
    left = world.first.data
    seen, gone = lambda: left.update({BOT: [0]}), lambda: left.update({BOT: []})
    world.first.read_script.extend([seen, gone])
    await world.run()
    assert world.stored.status is Status.COMPLETE
    assert world.first.cursors == [None]


async def test_left_overs_are_cleared_by_the_next_run(world: World) -> None:
    world.first.read_script.extend([lambda: world.first.data[BOT].append(0)] * (2 * PASSES - 1))
    await world.run()
    world.take_up()
    await world.run()
    assert world.stored.status is Status.COMPLETE
    assert world.first.data[BOT] == []


async def test_a_stop_between_two_batches_fails_the_job_as_interrupted(world: World) -> None:
    world.first.script.extend([None, world.stopping.set])
    ended = await world.run()
    assert ended == world.stored
    assert world.stored.status is Status.FAILED
    assert world.stored.failure is not None
    assert world.stored.failure.interrupted
    assert world.stored.attempt == world.job.attempt - 1, "the attempt is handed back"
    assert world.first.deleted == [0, 1, 2, 3], "the batch under way is finished, none begun"
    assert world.stored.progress("first").deleted == 4, "and it is in the checkpoint"


async def test_nothing_is_deleted_when_the_process_is_stopping_already(world: World) -> None:
    world.stopping.set()
    await world.run()
    assert world.deleted == ([], [])
    assert world.stored.status is Status.FAILED


async def test_an_interrupted_job_is_finished_by_the_next_run(world: World) -> None:
    world.second.script.extend([None, world.stopping.set])
    await world.run()
    world.stopping.clear()
    world.take_up()
    await world.run()
    assert world.stored.status is Status.COMPLETE
    assert world.stored.attempt == 1
    assert world.deleted == ([0, 1, 2, 3, 4], [0, 1, 2, 3, 4])
    assert world.second.cursors == [None, "3"]


async def test_a_cancelled_run_hands_its_job_over_without_waiting_for_the_batch(
    world: World,
) -> None:
    world.first.script.extend([None, 3600.0])
    running = asyncio.create_task(world.run())
    await world.clock.sleep(1)
    running.cancel()
    ended = await running
    assert ended == world.stored
    assert world.stored.status is Status.FAILED
    assert world.stored.failure is not None
    assert world.stored.failure.interrupted
    assert world.stored.attempt == 0
    assert world.clock.now() < START + timedelta(seconds=2)
    assert world.stored.progress("first").deleted == 2


@pytest.mark.parametrize("cancelled", [1, 2])
async def test_a_run_that_hands_over_already_is_given_up_by_the_second_cancellation(
    world: World, cancelled: int
) -> None:
    """A process that stops cancels what still deletes; a hand-over is what it asks for."""
    running = asyncio.create_task(world.run())
    world.stopping.set()
    world.store.down = True
    await world.clock.sleep(1)
    for _ in range(cancelled):
        running.cancel()
        await world.clock.sleep(1)
    assert running.done() == (cancelled == 2)
    world.store.down = False
    await asyncio.gather(running, return_exceptions=True)
    handed_over = world.stored.status is Status.FAILED and world.stored.due is not None
    assert handed_over == (cancelled == 1)
    assert world.clock.now() - START <= timedelta(seconds=2 * cancelled + LAST_CAP)


@pytest.mark.proves("steps-on-record")
async def test_a_job_with_a_step_that_the_plan_lacks_is_not_complete(world: World) -> None:
    """A newer version of the plan recorded it: its share would be left, and nobody would know."""
    world.given(*world.job.steps, StepProgress("third"))
    await world.run()
    assert world.deleted == ([0, 1, 2, 3, 4], [0, 1, 2, 3, 4])
    assert world.stored.status is Status.FAILED
    assert world.stored.failure is not None
    assert world.stored.failure.type == "StepUnknown"
    assert "has no step third," in world.stored.failure.message


async def test_a_step_that_was_done_before_it_left_the_plan_is_no_obstacle(world: World) -> None:
    world.given(StepProgress("third", StepStatus.COMPLETE), *world.job.steps)
    await world.run()
    assert world.stored.status is Status.COMPLETE


async def test_a_run_cancelled_while_it_completes_does_not_stay_in_progress(world: World) -> None:
    world.first.data[BOT] = world.second.data[BOT] = []
    world.store.pauses["apply"] = 10
    running = asyncio.create_task(world.run())
    await world.clock.sleep(1)
    running.cancel()
    ended = await running
    assert ended == world.stored
    assert world.stored.status is Status.FAILED
    assert world.stored.failure is not None
    assert world.stored.failure.interrupted


async def test_an_error_that_may_pass_is_tried_again_from_the_last_checkpoint(world: World) -> None:
    world.first.script.extend([None, TransientError("away"), TransientError("away")])
    await world.run()
    assert world.first.cursors == [None, "1", "1"]
    assert world.stored.status is Status.COMPLETE
    assert world.stored.progress("first").deleted == 5


async def test_errors_without_progress_use_up_the_patience(world: World) -> None:
    world.first.script.extend([TransientError("away")] * 9999)
    await world.run()
    assert PATIENCE <= (world.clock.now() - START).total_seconds() <= PATIENCE + 20
    assert world.stored.status is Status.FAILED
    assert world.stored.failure is not None
    assert (world.stored.failure.type, world.stored.failure.message) == ("TransientError", "away")
    assert not world.stored.failure.interrupted
    assert world.stored.attempt == 1


async def test_progress_renews_the_patience(world: World) -> None:
    away: list[Action] = [TransientError("away"), PATIENCE - 30.0]
    world.first.script.extend([*away, *away, *away, TransientError("away")])
    await world.run()
    assert world.stored.status is Status.COMPLETE
    assert (world.clock.now() - START).total_seconds() > 2 * PATIENCE


async def test_a_step_or_a_look_has_all_of_the_patience_of_its_own(world: World) -> None:
    slow: list[Action] = [PATIENCE - 30.0, TransientError("away")]
    for script in (world.first.read_script, world.second.read_script):
        script.extend(slow[1:])
    world.first.script.extend(slow)
    world.second.script.extend(slow)
    await world.run()
    assert world.stored.status is Status.COMPLETE


async def test_progress_does_not_make_the_patience_endless(world: World) -> None:
    world.first.script.extend([None, *[TransientError("away")] * 9999])
    await world.run()
    assert (world.clock.now() - START).total_seconds() <= PATIENCE + 20
    assert world.stored.status is Status.FAILED
    assert world.stored.progress("first").deleted == 2


async def test_a_batch_that_did_nothing_after_an_error_is_no_progress() -> None:
    """Or a step that says so before it raises again would be retried for ever."""

    class Hollow(ScriptedStep):
        async def delete(self, bot_id: str, cursor: str | None) -> AsyncGenerator[Batch, None]:
            async with aclosing(super().delete(bot_id, cursor)) as batches:
                async for batch in batches:
                    yield batch
                    yield Batch(0, batch.cursor)
                    raise TransientError("away")
            yield Batch(0, cursor)
            raise TransientError("away")

    world = World(kind=Hollow)
    await world.run()
    assert world.stored.status is Status.FAILED
    assert world.stored.progress("first").deleted == 5
    assert (world.clock.now() - START).total_seconds() <= PATIENCE + 60


NAIVE = datetime(2026, 1, 1)  # noqa: DTZ001


@pytest.mark.parametrize("until", [NAIVE, 3600.0, datetime.max.replace(tzinfo=UTC)])
async def test_a_wrong_time_to_wait_until_fails_the_job_or_is_a_day_at_most(
    world: World, until: Any
) -> None:
    world.first.script.append(lambda: parked(until))
    await world.run()
    assert world.stored.failure
    if world.stored.status is Status.PENDING:
        assert world.stored.due
        assert world.stored.due <= world.clock.now() + 3 * LONGEST_REST
    else:
        assert (world.stored.status, world.stored.failure.type) == (Status.FAILED, "TypeError")
        assert "time zone" in world.stored.failure.message


def parked(until: Any) -> None:
    raise Parked(until, "the circuit is open")


async def test_a_read_back_that_may_pass_is_tried_again(world: World) -> None:
    world.second.read_script.extend([TransientError("away")] * 10)
    await world.run()
    assert world.stored.status is Status.COMPLETE
    assert world.second.read_backs == 11


@pytest.mark.proves("nothing-left")
async def test_a_read_back_that_does_not_answer_is_never_taken_for_empty(world: World) -> None:
    world.second.read_script.extend([TransientError("away")] * 9999)
    await world.run()
    assert world.stored.status is Status.FAILED


@pytest.mark.parametrize("where", ["script", "read_script"])
async def test_any_other_error_fails_the_job_with_its_reason_at_once(
    world: World, where: str
) -> None:
    getattr(world.first, where).append(ZeroDivisionError("by nought"))
    ended = await world.run()
    assert ended == world.stored
    assert world.stored.status is Status.FAILED
    assert world.stored.failure is not None
    assert world.stored.failure.type == "ZeroDivisionError"
    assert world.stored.failure.message == "by nought"
    assert not world.stored.failure.interrupted
    assert world.stored.attempt == 1
    assert world.second.cursors == ([] if where == "script" else [None])


async def test_the_progress_of_a_failed_run_is_kept(world: World) -> None:
    world.second.script.extend([None, ZeroDivisionError("by nought")])
    await world.run()
    assert world.stored.progress("first").status is StepStatus.COMPLETE
    assert world.stored.progress("second") == StepProgress(
        "second", StepStatus.IN_PROGRESS, 2, "1", batches=1, placed_at=world.job.placed_at
    )


@pytest.mark.proves("one-holder")
async def test_a_run_whose_job_was_taken_deletes_nothing_more(world: World) -> None:
    world.first.script.extend([None, world.rob])
    assert await world.run() is None
    assert world.first.deleted == [0, 1, 2, 3], "the batch under way, whose checkpoint told"
    assert world.second.deleted == []
    assert (world.stored.claimed_by, world.stored.status) == ("worker-2/b", Status.IN_PROGRESS)


@pytest.mark.proves("one-holder")
async def test_the_heartbeat_stops_a_slow_step_whose_job_was_taken(world: World) -> None:
    async def slow_then_taken() -> None:
        world.rob()
        await world.clock.sleep(7200)

    world.first.script.extend([None, slow_then_taken])
    assert await world.run() is None
    assert world.clock.now() - START < POLICY.stale_after
    await world.clock.sleep(3 * 3600)
    assert world.first.deleted == [0, 1], "the slow batch never comes to its deletion"
    assert world.stored.claimed_by == "worker-2/b"


@pytest.mark.proves("one-holder")
async def test_a_run_that_was_suspended_proves_its_hold_before_it_deletes(world: World) -> None:
    def suspended() -> None:
        world.clock.pause(POLICY.stale_after.total_seconds() + 1)
        world.rob()

    store = world.store
    original = store.apply

    async def apply_then_suspend(change: object) -> Job:
        job = await original(change)  # type: ignore[arg-type]
        if len(store.applied) == 1:
            suspended()
        return job

    store.apply = apply_then_suspend  # type: ignore[method-assign]
    assert await world.run() is None
    assert world.first.deleted == [0, 1]


@pytest.mark.proves("heartbeat")
async def test_the_record_moves_at_least_every_third_of_the_threshold_in_a_step_of_hours() -> None:
    world = World()
    world.first.data[BOT] = list(range(100))
    world.first.seconds = POLICY.batch.total_seconds() - 1
    await world.run()
    times = [START, *(change.after.last_modified_at for change in world.store.applied)]
    third = POLICY.stale_after / 3
    assert max(later - earlier for earlier, later in pairwise(times)) <= third
    assert world.stored.status is Status.COMPLETE
    assert world.clock.now() - START >= timedelta(hours=4)


async def test_a_read_back_of_hours_keeps_the_lease_too() -> None:
    world = World(policy=replace(POLICY, batch=timedelta(hours=3)))
    world.second.read_script.append(2 * 3600.0)
    await world.run()
    times = [START, *(change.after.last_modified_at for change in world.store.applied)]
    assert max(later - earlier for earlier, later in pairwise(times)) <= POLICY.stale_after / 3
    assert world.stored.status is Status.COMPLETE


async def test_a_short_outage_of_the_database_costs_nothing(world: World) -> None:
    world.first.script.extend([None, lambda: setattr(world.store, "down", True)])
    running = asyncio.create_task(world.run())
    await world.clock.sleep(POLICY.stale_after.total_seconds() / 2)
    assert world.first.deleted == [0, 1, 2, 3], "it waits with its checkpoint, and deletes no more"
    world.store.down = False
    await running
    assert world.stored.status is Status.COMPLETE
    assert world.stored.attempt == 1


async def test_an_outage_longer_than_the_lease_ends_the_run_without_another_deletion(
    world: World,
) -> None:
    world.first.script.extend([None, lambda: setattr(world.store, "down", True)])
    assert await world.run() is None
    assert world.first.deleted == [0, 1, 2, 3]
    assert world.stored.status is Status.IN_PROGRESS, "stale by now, and recovery's to find"
    assert world.stored.is_stale(world.clock.now(), POLICY)


async def test_a_failure_is_written_once_the_database_answers_again(world: World) -> None:
    world.first.script.append(ZeroDivisionError("by nought"))
    world.store.faults["apply"] = deque([StoreUnavailable("away")] * 3)
    await world.run()
    assert world.stored.status is Status.FAILED


@pytest.mark.proves("hung-step")
@pytest.mark.parametrize("where", ["script", "read_script"])
async def test_a_hung_step_is_vouched_for_as_long_as_a_batch_may_take_and_then_goes_stale(
    world: World, where: str
) -> None:
    getattr(world.first, where).append(30 * 24 * 3600.0 - 1)
    assert await world.run() is None
    last = world.stored.last_modified_at - START
    assert POLICY.batch - POLICY.stale_after <= last <= POLICY.batch + POLICY.stale_after
    assert world.stored.is_stale(world.clock.now(), POLICY)
    assert not world.stored.is_spent(POLICY)
    assert world.clock.now() - START < timedelta(hours=1)


@pytest.mark.parametrize("how", ["stop", "cancel"])
async def test_an_interruption_while_an_error_is_retried_fails_with_that_error(
    world: World, how: str
) -> None:
    """Or a process restarted again and again would retry a job for ever, its attempt unspent."""
    world.first.script.extend([None, *[TransientError("no primary")] * 9999])
    running = asyncio.create_task(world.run())
    await world.clock.sleep(60)
    world.stopping.set() if how == "stop" else running.cancel()
    await running
    assert world.stored.status is Status.FAILED
    assert world.stored.failure is not None
    assert world.stored.failure.type == "TransientError"
    assert world.stored.failure.message == "no primary"
    assert not world.stored.failure.interrupted
    assert (world.stored.attempt, world.stored.due) == (1, None), "its attempt is spent"
    assert world.clock.now() - START < timedelta(seconds=61)


async def test_an_error_that_has_passed_does_not_spend_the_attempt_of_an_interruption(
    world: World,
) -> None:
    world.first.script.extend([TransientError("away"), None, world.stopping.set])
    await world.run()
    assert world.stored.failure is not None
    assert world.stored.failure.interrupted
    assert world.stored.attempt == 0


@pytest.mark.proves("hand-over")
async def test_one_call_that_was_cut_off_does_not_spend_the_attempt_of_an_interruption(
    world: World,
) -> None:
    """MongoDB cuts a long walk off every ten seconds: nothing is wrong."""

    def cut_off() -> None:
        world.stopping.set()
        raise StoreUnavailable("MongoDB: ExecutionTimeout")

    world.first.script.extend([None, cut_off])
    await world.run()
    assert world.stored.failure is not None
    assert world.stored.failure.interrupted
    assert (world.stored.attempt, world.stored.due) == (0, world.stored.created_at)


@pytest.mark.proves("repeated-sigterm")
async def test_interruptions_of_a_step_that_fails_use_up_the_attempts(world: World) -> None:
    for attempt in range(1, POLICY.max_attempts + 1):
        world.first.script.extend([TransientError("no primary")] * 9999)
        running = asyncio.create_task(world.run())
        await world.clock.sleep(30)
        world.stopping.set()
        await running
        world.stopping.clear()
        world.first.script.clear()
        assert world.stored.attempt == attempt
        if attempt < POLICY.max_attempts:
            world.take_up()
    assert world.stored.is_spent(POLICY)


@pytest.mark.proves("repeated-sigterm")
async def test_a_step_that_cancels_itself_fails_and_is_not_handed_back(world: World) -> None:
    """It would be claimed at once, and cancel itself again, for ever."""

    def cancel() -> None:
        raise asyncio.CancelledError("by the step")

    world.first.script.extend([None, cancel])
    await world.run()
    assert world.stored.status is Status.FAILED
    assert world.stored.failure is not None
    assert (world.stored.failure.type, world.stored.failure.interrupted) == (
        "CancelledError",
        False,
    )
    assert (world.stored.attempt, world.stored.due) == (1, None)


@pytest.mark.parametrize(("spent", "attempt"), [(False, 0), (True, 1)])
async def test_a_job_whose_step_must_not_call_now_is_parked(
    world: World, spent: bool, attempt: int, logs: list[EventDict]
) -> None:
    until = START + timedelta(minutes=7)
    world.second.script.extend([None, Parked(until, "the circuit is open", spent=spent)])
    ended = await world.run()
    assert ended == world.stored
    assert world.stored.status is Status.PENDING
    assert world.stored.due
    wait = until - world.clock.now()
    if spent:
        assert world.stored.due == world.clock.now() + POLICY.rest_after(1)
    else:
        assert until <= world.stored.due <= until + wait, "jobs that wait for one host are spread"
    assert world.stored.attempt == attempt
    assert world.stored.failure
    assert (world.stored.failure.type, world.stored.failure.message) == (
        "Parked",
        "the circuit is open",
    )
    assert world.stored.progress("second").deleted == 2, "what it has done is kept"
    [line] = [each for each in logs if each["event"] == "parked"]
    assert line["until"].endswith("Z"), "as every time in a log is written"


async def test_the_last_attempt_does_not_park_once_it_has_called_out(world: World) -> None:
    """A job that parks again and again would never run out of attempts."""
    world.job = world.store.put(replace(world.job, attempt=POLICY.max_attempts))
    world.second.script.extend([None, Parked(START, "the circuit is open", spent=True)])
    await world.run()
    assert world.stored.status is Status.FAILED
    assert world.stored.failure is not None
    assert (world.stored.failure.type, world.stored.due) == ("Parked", None)


async def test_a_message_that_cannot_be_stored_as_it_is_is_stored_all_the_same(
    world: World,
) -> None:
    """Of a file name, say: half a character would be refused with the failure itself."""
    world.first.script.append(ValueError("\udcff" + "x" * 5000))
    await world.run()
    assert world.stored.failure is not None
    assert world.stored.failure.message == "?" + "x" * 999


async def test_a_database_that_refuses_a_checkpoint_fails_the_job(world: World) -> None:
    world.store.faults["apply"] = deque([PermissionError("not authorised")])
    await world.run()
    assert world.stored.failure is not None
    assert world.stored.failure.type == "PermissionError"


async def test_a_database_that_refuses_everything_is_the_only_error_that_comes_out(
    world: World,
) -> None:
    world.store.faults["apply"] = deque([PermissionError("not authorised")] * 99)
    with pytest.raises(PermissionError):
        await world.run()
    assert world.first.deleted == [0, 1], "no deletion without a checkpoint"
    assert world.stored.status is Status.IN_PROGRESS


async def test_an_error_while_a_step_cleans_up_is_recorded_too(world: World) -> None:
    class Untidy(ScriptedStep):
        async def delete(self, bot_id: str, cursor: str | None) -> AsyncGenerator[Batch, None]:
            try:
                yield Batch(1, "0")
            finally:
                raise OSError("cannot clean up")

    untidy = Untidy("first", {}, world.clock)
    runner = Runner(
        Plan(SERVICE, (untidy,)), world.store, world.clock, POLICY, stopping=world.stopping
    )
    await runner.run(world.job)
    assert world.stored.failure is not None
    assert world.stored.failure.type == "OSError"


async def test_no_work_of_a_run_outlives_it(world: World) -> None:
    before = asyncio.all_tasks()
    await world.run()
    world.store.put(world.job)
    world.first.script.append(world.rob)
    await world.run()
    assert asyncio.all_tasks() == before


async def test_a_lost_lease_is_the_end_even_if_the_step_raised_it_as_well(world: World) -> None:
    world.first.script.append(LeaseLost("said by the step"))
    assert await world.run() is None
    assert world.stored.status is Status.IN_PROGRESS
