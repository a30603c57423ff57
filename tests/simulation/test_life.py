"""Installations under load, and what befalls them: each a story of its own in virtual time."""

import asyncio
from collections import Counter
from collections.abc import Callable

import pytest

from consumers.claims import FEWEST
from deletion.errors import StoreUnavailable
from deletion.events import to_message
from deletion.job import INTERRUPTED, STALE, Job, Status
from tests.simulation.loop import HOST
from tests.simulation.people import People
from tests.simulation.process import Process
from tests.simulation.schedule import KILLS, RAISES, Scenario
from tests.simulation.simulation import NEVER_AWAITED, staged
from tests.simulation.world import World
from tests.support.ledger import What

pytestmark = pytest.mark.filterwarnings(f"ignore:{NEVER_AWAITED}:RuntimeWarning")

SERVICE = "conversations"
NEVER, EVERY_MINUTE = 1e6, 60.0
WITHIN = 5.0
"""Seconds from an event to its job, whatever else goes on."""


def statuses(world: World) -> Counter[Status]:
    return Counter(job.status for job in world.jobs.jobs.values())


def job_of(world: World, bot: str) -> Job:
    (job,) = (job for job in world.jobs.jobs.values() if job.bot_id == bot)
    return job


async def until(holds: Callable[[], bool], seconds: float) -> None:
    async with asyncio.timeout(seconds):
        while not holds():  # noqa: ASYNC110 - no event tells
            await asyncio.sleep(1)


async def all_end(world: World, seconds: float) -> None:
    await until(lambda: not any(_goes_on(job) for job in world.jobs.jobs.values()), seconds)


def _goes_on(job: Job) -> bool:
    return job.status not in (Status.COMPLETE, Status.EXHAUSTED)


def _backlog(world: World) -> bool:
    return statuses(world)[Status.PENDING] > len(world.bots) / 2


@pytest.mark.proves("recorded-in-seconds")
def test_a_burst_far_above_the_slots_is_recorded_at_once_and_worked_off_old_before_new() -> None:
    """Sixty slots' worth of requests come in three bursts; every slot is busy all the time."""
    world = World(1, Scenario(bots=180, consumers=2, slots=3, seconds=10, sweep_every=EVERY_MINUTE))

    async def bursts(people: People) -> None:
        for begin in (0, 60, 120):
            await people.ask_for(world.bots[begin : begin + 60])
            await asyncio.sleep(WITHIN)
            assert len(world.jobs.jobs) == begin + 60
            assert not world.broker.of[SERVICE].unacked
            assert statuses(world)[Status.IN_PROGRESS] == 6
        await all_end(world, 3600)

    staged(world, bursts)
    assert world.broken == []
    assert statuses(world) == {Status.COMPLETE: 180}
    claimed = [entry.job for entry in world.entries if entry.what is What.CLAIM]
    ranks = {job_id: rank for rank, job_id in enumerate(sorted(world.jobs.jobs))}
    early = max(ranks[job_id] - place for place, job_id in enumerate(claimed))
    late = max(place - ranks[job_id] for place, job_id in enumerate(claimed))
    assert max(early, late) <= 4 * FEWEST
    assert {job.attempt for job in world.jobs.jobs.values()} == {1}


def test_replicas_come_and_go_during_a_backlog() -> None:
    """Killed, terminated, started and retired, with a sweep every minute."""
    scenario = Scenario(
        bots=100, consumers=2, slots=4, seconds=10, sweep_every=EVERY_MINUTE, max_attempts=5
    )
    world = World(2, scenario)

    async def deployments(people: People) -> None:
        fleet = people.fleet
        await people.ask_for(world.bots)
        for number in (3, 4, 5):
            await asyncio.sleep(40)
            fleet.add(SERVICE, number)
            fleet.kill(f"{SERVICE}-{number - 1}")
            await asyncio.sleep(20)
            fleet.terminate(f"{SERVICE}-{number - 2}")
        fleet.retire(f"{SERVICE}-1")
        fleet.terminate(f"{SERVICE}-1")
        await all_end(world, 3600)

    staged(world, deployments)
    assert world.broken == []
    assert statuses(world) == {Status.COMPLETE: 100}


def test_another_replica_takes_over_from_a_terminated_one_without_a_sweep() -> None:
    world = World(3, Scenario(bots=12, consumers=2, slots=6, seconds=20, sweep_every=NEVER))
    handed_over: list[Job] = []

    async def scaled_down(people: People) -> None:
        await people.ask_for(world.bots)
        await asyncio.sleep(30)
        people.fleet.retire(f"{SERVICE}-1")
        people.fleet.terminate(f"{SERVICE}-1")
        await asyncio.sleep(WITHIN)
        handed_over.extend(j for j in world.jobs.jobs.values() if j.status is Status.FAILED)
        await all_end(world, 600)

    staged(world, scaled_down)
    assert world.broken == []
    assert statuses(world) == {Status.COMPLETE: 12}
    assert {job.attempt for job in world.jobs.jobs.values()} == {1}
    assert world.sweeps.sweeps == {}


@pytest.mark.proves("killer-job")
@pytest.mark.parametrize("sweep_every", [20.0, 60.0, 300.0])
@pytest.mark.parametrize("max_attempts", [3, 5])
def test_a_job_that_kills_its_process_exhausts_nobody_beside_it(
    sweep_every: float, max_attempts: int
) -> None:
    """Fifty others on the same two replicas end complete, the killer is exhausted."""
    scenario = Scenario(
        bots=51,
        consumers=2,
        slots=8,
        seconds=5,
        cursed=KILLS,
        sweep_every=sweep_every,
        max_attempts=max_attempts,
    )
    world = World(4, scenario)

    async def under_load(people: People) -> None:
        await people.ask_for(world.bots)
        await asyncio.sleep(WITHIN)
        await all_end(world, 3600 + 20 * sweep_every)

    staged(world, under_load)
    assert world.broken == []
    assert statuses(world) == {Status.COMPLETE: 50, Status.EXHAUSTED: 1}
    killer = job_of(world, world.bots[0])
    assert killer.status is Status.EXHAUSTED
    assert [past.reason for past in killer.past_attempts] == [STALE] * max_attempts
    assert max(len(job.past_attempts) for job in world.jobs.jobs.values() if job != killer) <= 2


@pytest.mark.proves("interrupted-again")
def test_a_job_whose_process_is_terminated_each_time_exhausts_itself_alone() -> None:
    """Memory that grows, and a container that is evicted for it: SIGTERM instead of SIGKILL."""
    world = World(8, Scenario(bots=21, consumers=2, slots=4, seconds=5, sweep_every=EVERY_MINUTE))

    async def evict(bot_id: str) -> None:
        if bot_id == world.bots[0] and isinstance(process := HOST.get(), Process):
            process.terminate()
            await asyncio.Event().wait()

    async def evicted(people: People) -> None:
        await people.ask_for(world.bots)
        await asyncio.sleep(WITHIN)
        await all_end(world, 7200)

    world.trouble = evict
    staged(world, evicted)
    assert world.broken == []
    assert statuses(world) == {Status.COMPLETE: 20, Status.EXHAUSTED: 1}
    guilty = job_of(world, world.bots[0])
    assert guilty.status is Status.EXHAUSTED
    reasons = [past.reason for past in guilty.past_attempts]
    assert reasons == [INTERRUPTED] * 2 + ["CancelledError"] * 3


@pytest.mark.proves("hung-step")
def test_a_step_that_hangs_makes_its_job_stale_and_frees_its_slot() -> None:
    """The process lives on: its one slot must not be lost to a batch that never ends."""
    world = World(5, Scenario(bots=4, consumers=1, slots=1, sweep_every=EVERY_MINUTE))

    async def hang(bot_id: str) -> None:
        if bot_id == world.bots[0]:
            await asyncio.Event().wait()

    async def hung(people: People) -> None:
        await people.ask_for(world.bots[:1])
        await asyncio.sleep(WITHIN)
        await people.ask_for(world.bots[1:])
        await until(lambda: statuses(world)[Status.COMPLETE] == 3, 600)
        await all_end(world, 3600)

    world.trouble = hang
    staged(world, hung)
    assert world.broken == []
    stuck = job_of(world, world.bots[0])
    assert stuck.status is Status.EXHAUSTED
    assert [past.reason for past in stuck.past_attempts] == [STALE] * 3


@pytest.mark.proves("repeated-sigterm")
def test_sigterm_again_and_again_in_the_middle_of_a_step_that_fails_spends_the_attempts() -> None:
    world = World(6, Scenario(bots=2, consumers=1, sweep_every=10, max_attempts=3))

    async def fail(bot_id: str) -> None:
        if bot_id == world.bots[0]:
            raise StoreUnavailable("the data database does not answer")

    async def redeployed(people: People) -> None:
        await people.ask_for(world.bots)
        await asyncio.sleep(WITHIN)
        for _ in range(60):
            if job_of(world, world.bots[0]).status is Status.EXHAUSTED:
                break
            people.fleet.terminate(f"{SERVICE}-1")
            await asyncio.sleep(20)
        await all_end(world, 60)

    world.trouble, world.retry_seconds = fail, 600
    staged(world, redeployed)
    assert world.broken == []
    assert statuses(world) == {Status.COMPLETE: 1, Status.EXHAUSTED: 1}
    assert job_of(world, world.bots[0]).attempt == 3


@pytest.mark.proves("redelivery-costs-nothing")
def test_old_events_that_come_again_all_at_once_use_up_no_attempt() -> None:
    """Of a failed job, of its joined requests, and of one that is complete."""
    world = World(7, Scenario(bots=2, consumers=3, cursed=RAISES, sweep_every=NEVER))
    before: dict[str, Job] = {}

    async def redelivered(people: People) -> None:
        await people.ask_for(world.bots)
        await asyncio.sleep(WITHIN)
        await until(lambda: job_of(world, world.bots[0]).status is Status.FAILED, 60)
        await people.ask_for(world.bots[:1])
        await until(lambda: len(job_of(world, world.bots[0]).event_ids) == 2, 60)
        before.update(world.jobs.jobs)
        messages = [to_message(request.subject) for request in world.requests]
        for _ in range(10):
            await asyncio.gather(*(world.broker.topic.publish(each) for each in messages))
            await asyncio.sleep(1)
            people.fleet.terminate(f"{SERVICE}-1")
        await asyncio.sleep(60)
        assert dict(world.jobs.jobs) == before

    staged(world, redelivered)
    assert [line for line in world.broken if "is failed" not in line] == []
    assert job_of(world, world.bots[0]).attempt == 1
