"""A run's hold on its job: renewed while it works, and gone the moment it is another's."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import pairwise

import pytest

from deletion.errors import LeaseLost, StoreUnavailable
from deletion.job import Job, LeasePolicy, Status, StepProgress, StepStatus
from deletion.lease import Lease
from deletion.retry import Retry
from tests.support.fakes import POLICY, START, ScriptedStore, VirtualClock, a_job

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
        return self.store.put(self.stored.claim("worker-2/b", at, POLICY).after)

    async def beat_for(self, seconds: float) -> None:
        beating = asyncio.create_task(self.lease.beat())
        await self.clock.sleep(seconds)
        beating.cancel()
        await asyncio.gather(beating, return_exceptions=True)

    @property
    def written_at(self) -> list[datetime]:
        return [change.after.last_modified_at for change in self.store.applied]


@pytest.mark.parametrize("stale_after", [1, 60, 600, 86_400])
async def test_the_heartbeat_moves_at_least_every_third_of_the_threshold(stale_after: int) -> None:
    world = World(LeasePolicy(timedelta(seconds=stale_after), 3))
    await world.beat_for(stale_after * 20)
    times = [START, *world.written_at, world.clock.now()]
    gaps = [(later - earlier).total_seconds() for earlier, later in pairwise(times)]
    assert max(gaps) <= stale_after / 3
    assert len(gaps) < 100, "and not much more often"
    assert world.stored.last_modified_at == world.lease.job.last_modified_at


async def test_a_heartbeat_is_left_out_while_checkpoints_are_written() -> None:
    world = World()
    beating = asyncio.create_task(world.lease.beat())
    for number in range(60):
        await world.clock.sleep(POLICY.heartbeat_interval - 1)
        await world.lease.checkpoint(StepProgress("a", StepStatus.IN_PROGRESS, number))
    beating.cancel()
    assert len(world.written_at) == 60


async def test_a_heartbeat_carries_the_progress_that_was_noted() -> None:
    world = World()
    done = StepProgress("a", StepStatus.COMPLETE, 7)
    await world.lease.note(done)
    assert world.stored.progress("a").deleted == 0, "noting alone writes nothing"
    await world.beat_for(POLICY.heartbeat_interval + 1)
    assert world.stored.progress("a") == done


async def test_a_heartbeat_ends_when_the_job_is_anothers() -> None:
    world = World()
    beating = asyncio.create_task(world.lease.beat())
    robber = world.rob()
    with pytest.raises(LeaseLost):
        await beating
    assert world.stored == robber


@pytest.mark.parametrize("write", ["checkpoint", "complete", "fail"])
async def test_no_write_counts_once_the_job_is_anothers(write: str) -> None:
    world = World()
    robber = world.rob()
    writes: dict[str, Callable[[], Awaitable[object]]] = {
        "checkpoint": lambda: world.lease.checkpoint(StepProgress("a", StepStatus.COMPLETE)),
        "complete": world.lease.complete,
        "fail": lambda: world.lease.fail(ValueError("broken")),
    }
    with pytest.raises(LeaseLost):
        await writes[write]()
    assert world.stored == robber


async def test_a_run_that_was_interrupted_and_resumed_elsewhere_cannot_write_on() -> None:
    """The attempt alone would not tell: an interruption hands it back, the next claim takes it."""
    world = World()
    before = Lease(world.job, world.store, world.clock, POLICY, Retry(world.clock))
    await world.lease.fail(InterruptedError(), interrupted=True)
    resumed = world.store.put(world.stored.claim("worker-2/b", world.clock.now(), POLICY).after)
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
    with pytest.raises(LeaseLost, match="silent"):
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
    await world.lease.fail(ValueError("broken"))
    assert world.stored.status is Status.FAILED
    assert world.stored.placed_at == later


async def test_the_fence_costs_nothing_while_the_lease_is_fresh() -> None:
    world = World()
    world.clock.pause(STALE_SECONDS - 0.001)
    await world.lease.fence()
    assert world.store.calls == []


async def test_the_fence_renews_a_lease_nobody_took_during_a_long_pause() -> None:
    world = World()
    world.clock.pause(STALE_SECONDS)
    await world.lease.fence()
    assert world.stored.last_modified_at == world.clock.now()


async def test_the_fence_stops_a_run_whose_job_was_taken_during_a_long_pause() -> None:
    world = World()
    world.clock.pause(STALE_SECONDS)
    robber = world.rob()
    with pytest.raises(LeaseLost):
        await world.lease.fence()
    assert world.stored == robber


async def test_a_failure_says_what_and_when_in_bounded_length() -> None:
    world = World()
    world.clock.pause(7)
    await world.lease.fail(ValueError("x" * 5000))
    failure = world.stored.failure
    assert failure is not None
    assert (failure.type, failure.interrupted) == ("ValueError", False)
    assert failure.at == world.clock.now() == world.stored.last_modified_at
    assert failure.message == "x" * 1000
