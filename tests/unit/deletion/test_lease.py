"""A run's hold on its job: renewed while it works, and gone the moment it is another's."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import pairwise

import pytest

from deletion.errors import LeaseLost, StoreUnavailable
from deletion.job import Failure, Job, LeasePolicy, Status, StepProgress, StepStatus
from deletion.lease import Lease
from deletion.retry import Retry
from tests.support.clock import START, VirtualClock
from tests.support.factories import POLICY, a_job
from tests.support.scripted_stores import ScriptedStore

pytestmark = pytest.mark.virtual_time

FAILURE = Failure("ValueError", "broken", START)
PARKED = Failure("Parked", "the breaker of billing is open", START)
INTERRUPTION = Failure("Interrupted", "stopping", START, interrupted=True)
STALE_SECONDS = POLICY.stale_after.total_seconds()


class World:
    """A lease on a stored job."""

    def __init__(self, policy: LeasePolicy = POLICY) -> None:
        self.clock = VirtualClock()
        self.store = ScriptedStore(self.clock)
        self.job = self.store.put(a_job(steps=(StepProgress("a"), StepProgress("b"))))
        self.lease = Lease(self.job, self.store, self.clock, policy, Retry(self.clock))

    @property
    def stored(self) -> Job:
        return self.store.jobs[self.job.id]

    def rob(self) -> Job:
        """Another run claims the job, as it may once it is stale."""
        at = max(self.clock.now(), self.stored.last_modified_at + POLICY.stale_after)
        resumed = self.stored.resume(at, POLICY).after
        return self.store.put(resumed.claim("worker-2/b", at).after)

    async def beat_for(self, seconds: float) -> None:
        async with self.lease.heartbeat():
            await self.clock.sleep(seconds)

    @property
    def written_at(self) -> list[datetime]:
        return [change.after.last_modified_at for change in self.store.applied]


@pytest.mark.proves("heartbeat")
@pytest.mark.parametrize("stale_after", [1, 60, 600, 86_400])
async def test_the_heartbeat_moves_at_least_every_third_of_the_threshold(stale_after: int) -> None:
    world = World(LeasePolicy(timedelta(seconds=stale_after), 3))
    await world.beat_for(stale_after * 20)
    times = [START, *world.written_at, world.clock.now()]
    gaps = [(later - earlier).total_seconds() for earlier, later in pairwise(times)]
    assert max(gaps) <= stale_after / 3
    assert len(gaps) < 100, "and not much more often"
    assert world.stored.last_modified_at == world.lease.job.last_modified_at


@pytest.mark.proves("clock-set")
@pytest.mark.parametrize("step", [timedelta(hours=-1), timedelta(hours=1)])
async def test_a_clock_that_is_set_stops_no_heartbeat_and_costs_no_lease(step: timedelta) -> None:
    """Only what is written tells by it; how long something took is another clock's to say."""
    world = World()
    world.store.skew = -step  # the database's own is right
    async with world.lease.heartbeat():
        world.clock.set(step)
        await world.clock.sleep(10 * STALE_SECONDS)
        await world.lease.ensure_held()
    assert 30 <= len(world.store.applied) <= 50
    everybodys = START + timedelta(seconds=world.clock.monotonic())
    silent = everybodys - world.stored.last_modified_at
    assert timedelta(0) <= silent < POLICY.stale_after / 3, "no sweep takes it, none is too late"


@pytest.mark.proves("clock-set")
async def test_a_clock_that_is_put_right_after_a_pause_of_the_machine_is_followed() -> None:
    """Neither of its clocks has counted the pause; then one is set to the time of all others."""
    world = World()
    async with world.lease.heartbeat():
        await world.clock.sleep(1)
        world.clock.set(timedelta(hours=2))
        await world.clock.sleep(STALE_SECONDS)
        silent = world.clock.now() - world.stored.last_modified_at
    assert timedelta(0) <= silent < POLICY.stale_after / 3


async def test_a_heartbeat_is_left_out_while_checkpoints_are_written() -> None:
    world = World()
    async with world.lease.heartbeat():
        for number in range(60):
            await world.clock.sleep(POLICY.heartbeat_interval - 1)
            await world.lease.checkpoint(StepProgress("a", StepStatus.IN_PROGRESS, number))
    assert len(world.written_at) == 60


async def test_a_heartbeat_carries_the_progress_that_was_noted() -> None:
    world = World()
    done = StepProgress("a", StepStatus.COMPLETE, 7)
    await world.lease.note(done)
    assert world.stored.progress("a").deleted == 0, "noting alone writes nothing"
    await world.beat_for(POLICY.heartbeat_interval + 1)
    assert world.stored.progress("a") == done


async def test_the_block_ends_with_a_lost_lease_when_the_job_is_anothers() -> None:
    world = World()
    robber = world.rob()
    with pytest.raises(LeaseLost):
        async with world.lease.heartbeat():
            await world.clock.sleep(3600)
    assert world.clock.now() - START <= POLICY.stale_after / 3
    assert world.stored == robber
    task = asyncio.current_task()
    assert task
    assert task.cancelling() == 0, "whoever waits next must not be cancelled"


async def test_no_heartbeat_is_written_after_the_block() -> None:
    world = World()
    await world.beat_for(POLICY.heartbeat_interval * 1.5)
    written = len(world.written_at)
    assert written == 1
    await world.clock.sleep(3600)
    assert len(world.written_at) == written


async def test_no_heartbeat_is_written_after_the_end_of_the_job() -> None:
    world = World()
    async with world.lease.heartbeat():
        await world.lease.complete()
        assert len(world.written_at) == 1
    await world.clock.sleep(3600)
    assert len(world.written_at) == 1
    assert world.stored.status is Status.COMPLETE


async def test_a_heartbeat_that_waits_for_the_last_write_does_not_follow_it() -> None:
    """A heartbeat behind it would be refused, and end the run as lost."""
    world = World()
    world.store.pauses["apply"] = POLICY.heartbeat_interval * 2
    async with world.lease.heartbeat():
        await world.clock.sleep(1)
        await world.lease.fail(FAILURE)
        await world.clock.sleep(3600)
    assert [change.after.status for change in world.store.applied] == [Status.FAILED]


async def test_an_error_of_the_block_comes_out_as_it_is() -> None:
    world = World()

    async def body() -> None:
        async with world.lease.heartbeat():
            await world.clock.sleep(100)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await body()
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_a_real_cancellation_of_the_block_passes_through() -> None:
    world = World()

    async def body() -> None:
        async with world.lease.heartbeat():
            await world.clock.sleep(3600)

    task = asyncio.create_task(body())
    await world.clock.sleep(POLICY.heartbeat_interval * 1.5)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert task.cancelled()


async def test_an_error_of_the_heartbeat_itself_ends_the_block() -> None:
    world = World()
    world.store.faults["apply"] = deque([PermissionError("not authorised")])
    with pytest.raises(PermissionError):
        async with world.lease.heartbeat():
            await world.clock.sleep(3600)


async def test_a_batch_is_vouched_for_as_long_as_it_may_take_and_then_not_any_more() -> None:
    world = World()

    async def hung() -> None:
        async with world.lease.heartbeat():
            with world.lease.one_batch():
                await world.clock.sleep(24 * 3600)

    with pytest.raises(LeaseLost, match="one batch"):
        await hung()
    last = world.written_at[-1] - START
    interval = timedelta(seconds=POLICY.heartbeat_interval)
    assert POLICY.longest_batch - interval <= last <= POLICY.longest_batch
    silent = world.clock.now() - world.written_at[-1]
    assert POLICY.stale_after <= silent <= POLICY.stale_after + interval
    assert world.stored.is_stale(world.clock.now(), POLICY), "and recovery's to find"


async def test_a_batch_that_ends_in_time_or_between_two_heartbeats_costs_nothing() -> None:
    world = World()
    async with world.lease.heartbeat():
        for _ in range(5):
            with world.lease.one_batch():
                await world.clock.sleep(POLICY.longest_batch.total_seconds() + POLICY.call_seconds)
            await world.lease.checkpoint()


async def test_what_lies_between_two_batches_is_vouched_for_without_end() -> None:
    """A wait for an error to pass, say."""
    world = World()
    async with world.lease.heartbeat():
        with world.lease.one_batch():
            await world.clock.sleep(1)
        await world.clock.sleep(24 * 3600)
    assert world.clock.now() - world.written_at[-1] <= POLICY.stale_after / 3


@pytest.mark.parametrize("write", ["checkpoint", "complete", "fail", "hand over", "park"])
async def test_no_write_counts_once_the_job_is_anothers(write: str) -> None:
    world = World()
    robber = world.rob()
    writes: dict[str, Callable[[], Awaitable[object]]] = {
        "checkpoint": lambda: world.lease.checkpoint(StepProgress("a", StepStatus.COMPLETE)),
        "complete": world.lease.complete,
        "fail": lambda: world.lease.fail(FAILURE),
        "hand over": lambda: world.lease.fail(INTERRUPTION),
        "park": lambda: world.lease.park(PARKED, START, has_called=False),
    }
    with pytest.raises(LeaseLost):
        await writes[write]()
    assert world.stored == robber


async def test_a_run_that_was_interrupted_and_resumed_elsewhere_cannot_write_on() -> None:
    """The attempt alone would not tell: an interruption hands it back, the next claim takes it."""
    world = World()
    before = Lease(world.job, world.store, world.clock, POLICY, Retry(world.clock))
    await world.lease.fail(INTERRUPTION)
    resumed = world.store.put(world.stored.claim("worker-2/b", world.clock.now()).after)
    assert resumed.attempt == world.job.attempt
    with pytest.raises(LeaseLost):
        await before.checkpoint()
    assert world.stored == resumed


async def test_a_write_is_repeated_while_the_database_is_away() -> None:
    world = World()
    world.store.down = True
    writing = asyncio.create_task(world.lease.checkpoint(StepProgress("a", deleted=3)))
    await world.clock.sleep(STALE_SECONDS / 2)
    assert not writing.done()
    world.store.down = False
    await writing
    assert world.stored.progress("a").deleted == 3


async def test_a_write_whose_answer_was_lost_is_repeated_and_known() -> None:
    world = World()
    world.store.lost["apply"] = deque([StoreUnavailable("answer lost")])
    await world.lease.complete()
    assert world.stored.status is Status.COMPLETE


async def test_a_silent_database_costs_the_lease_when_it_would_be_stale_and_not_earlier() -> None:
    world = World()
    world.store.down = True
    with pytest.raises(LeaseLost, match="no write was answered"):
        await world.lease.checkpoint()
    silent = (world.clock.now() - START).total_seconds()
    assert STALE_SECONDS <= silent <= STALE_SECONDS + Retry(world.clock).cap


async def test_writes_go_one_after_the_other() -> None:
    world = World()
    world.store.pauses["apply"] = 5
    await asyncio.gather(
        world.lease.checkpoint(StepProgress("a", deleted=1)),
        world.lease.checkpoint(StepProgress("b", deleted=2)),
        world.lease.complete(),
    )
    assert world.stored.status is Status.COMPLETE
    assert [p.deleted for p in world.stored.steps] == [1, 2]


async def test_a_job_that_a_newer_request_joined_is_not_complete_yet() -> None:
    world = World()
    joined = world.store.put(replace(world.job, placed_at=world.job.placed_at + timedelta(days=1)))
    assert not await world.lease.complete()
    assert world.stored == joined
    assert await world.lease.complete()
    assert world.stored.status is Status.COMPLETE
    assert world.stored.placed_at == joined.placed_at


async def test_a_joined_job_that_is_anothers_by_now_is_lost() -> None:
    world = World()
    world.store.put(replace(world.job, placed_at=world.job.placed_at + timedelta(days=1)))
    robber = world.rob()
    with pytest.raises(LeaseLost):
        await world.lease.complete()
    assert world.stored == robber


async def test_joining_disturbs_no_other_write() -> None:
    world = World()
    later = world.job.placed_at + timedelta(days=1)
    world.store.put(replace(world.job, placed_at=later))
    await world.lease.checkpoint(StepProgress("a", deleted=3))
    await world.lease.fail(FAILURE)
    assert world.stored.status is Status.FAILED
    assert world.stored.placed_at == later


async def test_the_fence_costs_nothing_while_the_lease_is_fresh() -> None:
    world = World()
    world.clock.pause(STALE_SECONDS - 0.001)
    await world.lease.ensure_held()
    assert world.store.calls == []


async def test_the_fence_renews_a_lease_nobody_took_during_a_long_pause() -> None:
    world = World()
    world.clock.pause(STALE_SECONDS)
    await world.lease.ensure_held()
    assert world.stored.last_modified_at == world.clock.now()


async def test_the_fence_stops_a_run_whose_job_was_taken_during_a_long_pause() -> None:
    world = World()
    world.clock.pause(STALE_SECONDS)
    robber = world.rob()
    with pytest.raises(LeaseLost):
        await world.lease.ensure_held()
    assert world.stored == robber


async def test_a_failure_is_recorded_as_it_is_and_the_job_rests() -> None:
    world = World()
    await world.lease.fail(FAILURE)
    assert world.stored.failure == FAILURE
    assert (world.stored.attempt, world.stored.due) == (1, None)


async def test_an_interruption_hands_the_job_over() -> None:
    world = World()
    await world.lease.fail(INTERRUPTION)
    assert world.stored.failure == INTERRUPTION
    assert (world.stored.attempt, world.stored.due) == (0, world.job.created_at)


@pytest.mark.parametrize(
    ("has_called", "attempt", "wait"),
    [(False, 0, timedelta(minutes=3)), (True, 1, POLICY.rest_after(1))],
)
async def test_a_parked_job_is_due_later_and_rests_when_its_own_call_has_failed(
    has_called: bool, attempt: int, wait: timedelta
) -> None:
    world = World()
    await world.lease.park(PARKED, START + timedelta(minutes=3), has_called=has_called)
    assert (world.stored.status, world.stored.due) == (Status.PENDING, START + wait)
    assert world.stored.attempt == attempt


async def test_a_job_that_was_joined_tells_which_requests_it_covers() -> None:
    world = World()
    later = world.job.placed_at + timedelta(days=1)
    both = (*world.job.event_ids, "another")
    world.store.put(replace(world.job, event_ids=both, placed_at=later))
    assert not await world.lease.complete()
    assert world.lease.job.event_ids == (*world.job.event_ids, "another")
