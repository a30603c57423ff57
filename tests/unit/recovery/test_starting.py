"""Starting sweeps: at once, one at a time, and ended with the process."""

import asyncio
from datetime import datetime, timedelta

import pytest

from deletion.errors import ClockSkew, Interrupted, StoreUnavailable
from deletion.sweep import Sweep, SweepStatus
from recovery.sweeper import INTERRUPTED
from tests.support.clock import START
from tests.unit.recovery.sweeping import Started, World, hang

pytestmark = pytest.mark.virtual_time


@pytest.mark.proves("recovery-at-once")
async def test_a_start_answers_before_anything_is_moved_and_the_sweep_goes_on() -> None:
    started = Started(World())
    job = started.world.jobs.add()
    going_on = hang(started.world)
    sweep = await started.sweeps.start()
    assert (sweep.status, sweep.resumed, started.prepared) == ("running", 0, 1)
    going_on.set()
    ended = await started.ended.get()
    assert (ended.id, ended.status, ended.resumed) == (sweep.id, "complete", 1)
    assert started.world.jobs.resumed == [job]
    assert await started.sweeps.get(sweep.id) == ended


async def test_a_call_while_a_sweep_runs_answers_with_it_and_one_after_it_with_another() -> None:
    started = Started(World())
    started.world.jobs.add()
    going_on = hang(started.world)
    first = await started.sweeps.start()
    assert {(await started.sweeps.start()).id for _ in range(3)} == {first.id}
    going_on.set()
    await started.ended.get()
    assert (await started.sweeps.start()).id != first.id
    await started.ended.get()
    assert started.ended.empty()


async def test_many_calls_at_once_start_one_sweep() -> None:
    started = Started(World())
    started.world.jobs.add()
    hang(started.world)
    answers = await asyncio.gather(*(started.sweeps.start() for _ in range(20)))
    assert len({sweep.id for sweep in answers}) == 1
    assert len(started.world.sweeps.sweeps) == 1
    await started.sweeps.close(0.01)


async def test_a_sweep_another_process_runs_is_answered_with_and_not_run_here() -> None:
    started = Started(World())
    job = started.world.jobs.add()
    other = Sweep.started(started.world.sweeps.new_id(), START)
    await started.world.sweeps.start(other, silent_since=START)
    started.world.clock.pause(599)
    assert await started.sweeps.start() == other
    await started.sweeps.close(1)
    assert started.world.jobs.resumed == []
    assert started.ended.empty()
    assert job in started.world.jobs.jobs


async def test_a_sweep_whose_process_went_silent_is_given_up_and_another_one_starts() -> None:
    started = Started(World())
    silent = Sweep.started(started.world.sweeps.new_id(), START - timedelta(seconds=601))
    await started.world.sweeps.start(silent, silent_since=START)
    sweep = await started.sweeps.start()
    assert sweep.id != silent.id
    given_up = await started.sweeps.get(silent.id)
    assert given_up
    assert (given_up.status, given_up.finished_at) == (SweepStatus.FAILED, START)
    assert (await started.ended.get()).id == sweep.id


async def test_a_database_that_is_late_gets_a_refusal_and_its_sweep_is_run_all_the_same() -> None:
    started = Started(World())
    store, answering = started.world.sweeps.start, asyncio.Event()

    async def late(sweep: Sweep, *, silent_since: datetime) -> Sweep:
        await answering.wait()
        return await store(sweep, silent_since=silent_since)

    started.world.sweeps.start = late  # type: ignore[method-assign]
    for _ in range(3):
        with pytest.raises(StoreUnavailable, match="does not answer within"):
            await started.sweeps.start()
    answering.set()
    assert (await started.ended.get()).status is SweepStatus.COMPLETE
    assert started.prepared == 1, "those who call again must not pile up"


async def test_a_lost_answer_leaves_no_sweep_that_nobody_runs() -> None:
    started = Started(World())
    store = started.world.sweeps.start
    lost: list[Sweep] = []

    async def losing(sweep: Sweep, *, silent_since: datetime) -> Sweep:
        answer = await store(sweep, silent_since=silent_since)
        if not lost:
            lost.append(answer)
            raise StoreUnavailable("the connection broke")
        return answer

    started.world.sweeps.start = losing  # type: ignore[method-assign]
    sweep = await started.sweeps.start()
    assert [sweep] == lost
    assert (await started.ended.get()).id == sweep.id


async def test_a_database_that_stays_away_is_told_to_the_caller() -> None:
    started = Started(World())

    async def away() -> None:
        raise StoreUnavailable("no primary")

    started.preparing = away
    with pytest.raises(StoreUnavailable, match="no primary"):
        await started.sweeps.start()


async def test_a_clock_that_is_off_refuses_to_start_and_leaves_no_sweep_behind() -> None:
    started = Started(World())
    started.world.jobs.skew = timedelta(hours=-1)
    job = started.world.jobs.add()
    with pytest.raises(ClockSkew):
        await started.sweeps.start()
    assert started.world.sweeps.sweeps == {}
    assert started.world.jobs.resumed == []
    started.world.jobs.skew = timedelta(0)
    await started.sweeps.start()
    await started.ended.get()
    assert started.world.jobs.resumed == [job]


async def test_closing_interrupts_a_page_that_hangs_and_refuses_new_sweeps() -> None:
    started = Started(World())
    started.world.jobs.add()
    hang(started.world)
    sweep = await started.sweeps.start()
    await started.sweeps.close(0.05)
    ended = await started.sweeps.get(sweep.id)
    assert ended
    assert (ended.status, ended.error) == ("failed", INTERRUPTED)
    with pytest.raises(Interrupted):
        await started.sweeps.start()


async def test_closing_lets_the_page_under_way_end() -> None:
    started = Started(World(page_size=2))
    for _ in range(4):
        started.world.jobs.add()
    going_on = hang(started.world)
    await started.sweeps.start()
    closing = asyncio.create_task(started.sweeps.close(5))
    await asyncio.sleep(0)
    going_on.set()
    await closing
    ended = started.ended.get_nowait()
    assert (ended.status, ended.error, ended.resumed) == ("failed", INTERRUPTED, 2)


async def test_closing_with_nothing_under_way_returns_at_once() -> None:
    async with asyncio.timeout(1):
        await Started(World()).sweeps.close(60)
