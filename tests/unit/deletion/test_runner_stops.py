"""A run that is asked to stop, or cancelled, hands its job over."""

import asyncio
from datetime import timedelta

import pytest

from deletion.errors import Parked, StoreUnavailable, TransientError
from deletion.job import Status, StepProgress, StepStatus
from deletion.job.attempts import MAX_INTERRUPTIONS
from deletion.lease import LAST_WRITE_CAP
from tests.support.clock import START
from tests.support.factories import BOT, POLICY
from tests.unit.deletion.running import World

pytestmark = [pytest.mark.virtual_time, pytest.mark.usefixtures("logs")]


@pytest.fixture
def world() -> World:
    return World()


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
    assert world.stored.past_attempts == (), "nobody has tried a batch"


async def test_a_read_back_that_is_interrupted_counts_as_tried(world: World) -> None:
    """It may be what ends the process, as a batch may."""
    world.given(
        StepProgress("first", StepStatus.COMPLETE), StepProgress("second", StepStatus.COMPLETE)
    )
    world.first.data[BOT] = world.second.data[BOT] = []
    world.first.read_script.append(world.stopping.set)
    await world.run()
    assert [past.place for past in world.stored.past_attempts] == [(None, 0)]


@pytest.mark.proves("interrupted-again")
async def test_a_read_back_that_ends_each_process_counts_whatever_the_one_before_it_has_found(
    world: World,
) -> None:
    """Somebody writes to the first step all the time, and the read-back of the second hangs."""
    for number in range(MAX_INTERRUPTIONS + 1):
        world.first.read_script.append(lambda: world.first.data.update({BOT: [9]}))
        world.second.read_script.append(3600.0)
        running = asyncio.create_task(world.run())
        await world.clock.sleep(60)
        running.cancel()
        await running
        is_handed_over = number < MAX_INTERRUPTIONS
        assert (world.stored.status, world.stored.is_handed_over) == (Status.FAILED, is_handed_over)
        world.take_up()
    await world.run()
    assert world.stored.status is Status.COMPLETE
    assert world.first.deleted == [0, 1, 2, 3, 4, 9]


async def test_an_error_of_a_read_back_keeps_what_the_one_before_it_has_found(world: World) -> None:
    """The next run deletes it, however long the second step cannot be read back."""
    world.first.read_script.append(lambda: world.first.data.update({BOT: [9]}))
    world.second.read_script.append(Parked(START, "the circuit is open"))
    await world.run()
    assert (world.stored.status, world.stored.place) == (Status.PENDING, ("first", 4))
    world.clock.pause(3600)
    world.take_up()
    world.second.read_script.append(Parked(START, "the circuit is open"))
    await world.run()
    assert world.first.deleted == [0, 1, 2, 3, 4, 9]


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
    assert world.clock.now() - START <= timedelta(seconds=2 * cancelled + LAST_WRITE_CAP)


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
        raise StoreUnavailable("MongoDB cannot be used now (ExecutionTimeout)")

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


async def test_no_work_of_a_run_outlives_it(world: World) -> None:
    before = asyncio.all_tasks()
    await world.run()
    world.store.put(world.job)
    world.first.script.append(world.rob)
    await world.run()
    assert asyncio.all_tasks() == before
