"""A consumer that is asked to stop hands over what it holds, within its grace."""

from collections import deque

import pytest

from deletion.job import Change, Job, Status
from tests.support.clock import settle, until
from tests.support.factories import placed
from tests.unit.consumers.consuming import BOTS, GRACE, SECONDS_PER_BATCH, World

pytestmark = [pytest.mark.virtual_time, pytest.mark.usefixtures("logs")]


async def test_a_stop_hands_over_what_runs_and_any_replica_may_claim_it_at_once(
    world: World,
) -> None:
    await world.publish(*(placed(bot) for bot in BOTS[:4]))
    world.start()
    await until(lambda: world.running == 4)
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
    await until(lambda: world.running == 4)
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
    await until(lambda: len(world.subscription.pulls) == 1)
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
    await until(lambda: "record" in world.store.calls)
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
    await until(lambda: world.count(Status.IN_PROGRESS) == 1)
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
    await until(lambda: world.running == 1)
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
    await until(lambda: world.running == 1)
    world.store.down = True
    assert await world.stop() <= GRACE
    await settle()
    [job] = world.jobs
    assert job.status is Status.IN_PROGRESS, "stale in time, and recovery's to find"


async def test_a_stop_does_not_sit_out_a_back_off(world: World) -> None:
    world.store.faults["record"] = deque([RuntimeError("not authorised")] * 999)
    await world.publish(placed())
    world.start()
    await world.clock.sleep(600)
    assert await world.stop() <= 3, "one pull"


async def test_a_stop_while_nothing_answers_is_prompt(world: World) -> None:
    world.store.down = world.subscription.down = True
    world.start()
    await world.clock.sleep(5)
    assert await world.stop() <= 2
