"""A run ends complete, failed with its reason, or stops because the job is another's."""

import asyncio
from collections import deque
from dataclasses import replace
from datetime import timedelta
from itertools import pairwise

import pytest

from deletion.errors import LeaseLost, StoreUnavailable
from deletion.job import Change, Job, Status, StepProgress, StepStatus
from deletion.lease import Lease
from deletion.retry import Retry
from deletion.runner import PASSES
from tests.support.clock import START
from tests.support.factories import BOT, OTHER_BOT, POLICY, a_job
from tests.unit.deletion.running import World

pytestmark = [pytest.mark.virtual_time, pytest.mark.usefixtures("logs")]


@pytest.fixture
def world() -> World:
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
    world.first.seconds = POLICY.longest_batch.total_seconds() - 1
    await world.run()
    times = [START, *(change.after.last_modified_at for change in world.store.applied)]
    third = POLICY.stale_after / 3
    assert max(later - earlier for earlier, later in pairwise(times)) <= third
    assert world.stored.status is Status.COMPLETE
    assert world.clock.now() - START >= timedelta(hours=4)


async def test_a_read_back_of_hours_keeps_the_lease_too() -> None:
    world = World(policy=replace(POLICY, longest_batch=timedelta(hours=3)))
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
    longest = POLICY.longest_batch
    assert longest - POLICY.stale_after <= last <= longest + POLICY.stale_after
    assert world.stored.is_stale(world.clock.now(), POLICY)
    assert not world.stored.is_spent(POLICY)
    assert world.clock.now() - START < timedelta(hours=1)


async def test_a_lost_lease_is_the_end_even_if_the_step_raised_it_as_well(world: World) -> None:
    world.first.script.append(LeaseLost("said by the step"))
    assert await world.run() is None
    assert world.stored.status is Status.IN_PROGRESS
