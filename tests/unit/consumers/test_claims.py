"""Which due jobs a process takes: old before new to within a window, and none is lost."""

import asyncio
import random
from collections import deque
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from structlog.typing import EventDict

from consumers.claims import FEWEST, FRESH_SECONDS, MOST, MOST_REFUSED, REFUSED_SECONDS, Claims
from deletion.errors import LeaseLost, StoreUnavailable
from deletion.job import Change, Job, Status
from tests.support.clock import START, VirtualClock
from tests.support.factories import POLICY, SERVICE, a_job
from tests.support.scripted_stores import ScriptedStore

pytestmark = [pytest.mark.virtual_time, pytest.mark.usefixtures("logs")]

SECOND = timedelta(seconds=1)


class World:
    """A store, and the claims of processes on it."""

    def __init__(self) -> None:
        self.clock = VirtualClock()
        self.store = ScriptedStore(self.clock)
        self.reads: list[tuple[datetime, datetime, int, int]] = []
        self.ranged: list[int] = []
        self.counted: list[tuple[int, int]] = []
        self.refused = 0
        self.claims = self.process()
        due = self.store.due

        async def read(queue: str, since: datetime, until: datetime, limit: int) -> Any:
            found = await due(queue, since, until, limit)
            self.ranged.append(len(await due(queue, since, until, 10**6)))
            self.reads.append((since, until, limit, len(found)))
            return found

        self.store.due = read  # type: ignore[method-assign]

    def process(self, name: str = "worker-1", seed: int = 1) -> Claims:
        return Claims(
            SERVICE,
            self.store,
            self.clock,
            POLICY,
            name,
            rng=random.Random(seed),  # noqa: S311
            counted=self.count,
        )

    def count(self, won: int, lost: int, refused: int) -> None:
        self.counted.append((won, lost))
        self.refused += refused

    def refuse(self, jobs: Sequence[Job]) -> None:
        """From now on the database refuses every write of these."""
        ids = {job.id for job in jobs}

        async def refuse(change: Change) -> None:
            if change.after.id in ids:
                raise PermissionError("document failed validation")

        self.store.before_apply = refuse

    def put(self, *ago: float, **values: Any) -> list[Job]:
        """A pending job for each, due so many seconds ago."""
        jobs = []
        for seconds in ago:
            identity = f"{len(self.store.jobs) + 1:024x}"
            due = self.clock.now() - seconds * SECOND
            own = {"id": identity, "bot_id": identity, "attempt": 0, "due": due}
            jobs.append(self.store.put(a_job(Status.PENDING, **(own | values))))
        return jobs

    async def take_all(self, most: int = 8) -> list[Job]:
        """In the order in which they were claimed."""
        taken: list[Job] = []
        while some := await self.claims.take(most):
            taken += some
        return taken


@pytest.fixture
def world() -> World:
    return World()


async def test_nothing_due_is_nothing_taken(world: World) -> None:
    world.put(-0.001, -60)
    assert await world.claims.take(8) == []
    assert world.store.applied == []


async def test_a_job_is_claimed_as_the_rules_say_and_named_for_this_claim(world: World) -> None:
    first, second = world.put(10, 5)
    taken = await world.claims.take(8)
    assert sorted(job.id for job in taken) == [first.id, second.id]
    for job in taken:
        assert job == world.store.jobs[job.id]
        assert (job.status, job.attempt, job.due) == (Status.IN_PROGRESS, 1, None)
    names = {job.claimed_by for job in taken}
    assert len(names) == 2, "unique to each claim"
    assert all(name.startswith("worker-1/") for name in names)


async def test_no_more_are_taken_than_asked_for_and_the_rest_without_another_read(
    world: World,
) -> None:
    world.put(*range(1, 11))
    assert len(await world.claims.take(3)) == 3
    reads = len(world.reads)
    assert len(await world.claims.take(3)) == 3
    assert len(world.reads) == reads


async def test_what_was_read_a_while_ago_is_not_claimed_from_any_more(world: World) -> None:
    world.put(*range(1, 11))
    await world.claims.take(1)
    await world.clock.sleep(FRESH_SECONDS)
    old = world.put(10_000)[0]
    assert old.id in [job.id for job in await world.claims.take(10)]


@pytest.mark.proves("old-before-new")
async def test_old_ones_come_before_new_ones_to_within_a_window(world: World) -> None:
    """However large the backlog is: what is resumed is not left behind newer ones."""
    ages = [n * 10.0 for n in range(1, 201)]
    random.Random(3).shuffle(ages)  # noqa: S311
    jobs = {job.id: job for job in world.put(*ages)}
    order = sorted(jobs, key=lambda job_id: jobs[job_id].due or START)
    taken = await world.take_all()
    assert len(taken) == 200
    for position, job in enumerate(taken):
        assert abs(order.index(job.id) - position) < 2 * FEWEST


async def test_a_read_is_a_range_closed_at_both_ends_that_costs_what_it_holds(
    world: World,
) -> None:
    """An open one over a backlog of 50,000 takes a second however small its limit."""
    world.put(*(n * 10.0 for n in range(1, 2001)))
    taken = await world.take_all(32)
    assert len(taken) == 2000
    assert all(since <= until <= world.clock.now() for since, until, _, _ in world.reads)
    assert sum(world.ranged) < 4 * len(taken), "what the ranges hold, whatever their limits"
    assert len(world.reads) < 150


async def test_the_window_widens_until_it_finds_something_within_few_reads(world: World) -> None:
    world.put(1)
    assert len(await world.claims.take(1)) == 1
    assert len(world.reads) < 60, "from 1970 on"
    before = len(world.reads)
    world.put(1)
    await world.clock.sleep(2)
    assert len(await world.claims.take(1)) == 1
    assert len(world.reads) - before <= 3


async def test_the_window_narrows_to_what_one_read_returns(world: World) -> None:
    world.put(*(n * 0.001 for n in range(1, 10 * FEWEST)))
    for _ in range(4):
        await world.clock.sleep(2)
        await world.claims.take(FEWEST)
    _, until, limit, found = world.reads[-1]
    oldest = min(job.due for job in world.store.jobs.values() if job.due)
    assert found == limit == FEWEST
    assert until - oldest <= timedelta(milliseconds=300)


@pytest.mark.proves("old-before-new")
async def test_what_others_have_claimed_is_passed_in_steps_that_do_not_leap_into_the_backlog(
    world: World,
) -> None:
    """A read of most of a large backlog takes seconds where a limit is not pushed down."""
    world.put(*(n * 0.01 for n in range(1, 6001)))
    assert len(await world.claims.take(8)) == 8
    others, taken = world.process("others"), 0
    while taken < 400:
        taken += len(await others.take(32))
    await world.clock.sleep(FRESH_SECONDS)
    world.reads.clear()
    world.ranged.clear()
    assert len(await world.claims.take(8)) == 8
    assert sum(world.ranged) < 2 * taken, "about as many as were passed"
    assert len(world.reads) < 10


@pytest.mark.proves("unreadable-record")
async def test_records_that_cannot_be_read_in_front_hide_none_behind_them(
    world: World, logs: list[EventDict]
) -> None:
    for job in world.put(*(1000.0 - n * 0.5 for n in range(3 * FEWEST))):
        world.store.damage(job)
    good = world.put(5, 4, 3)
    taken = await world.take_all()
    assert sorted(job.id for job in taken) == [job.id for job in good]
    assert "due jobs cannot be claimed" in [line["event"] for line in logs]
    fresh = world.put(1)
    await world.clock.sleep(2)
    assert [job.id for job in await world.claims.take(8)] == [fresh[0].id], "again and again"


async def test_records_that_cannot_be_read_and_are_due_at_one_moment_end_the_look(
    world: World,
) -> None:
    for job in world.put(*[100.0] * (2 * MOST)):
        world.store.damage(job)
    good = world.put(5)
    assert [job.id for job in await world.take_all()] == [good[0].id]
    assert await world.claims.take(8) == []


@pytest.mark.proves("unclaimable-job")
async def test_records_that_cannot_be_read_hide_none_of_their_own_millisecond(
    world: World,
) -> None:
    for job in world.put(*[100.0] * (2 * FEWEST)):
        world.store.damage(job)
    good = world.put(100, 100)
    taken = await world.take_all()
    assert sorted(job.id for job in taken) == [job.id for job in good]


async def test_two_processes_share_the_jobs_and_each_is_claimed_once(world: World) -> None:
    jobs = world.put(*(n * 0.1 for n in range(1, 301)))
    processes = [world.process(f"worker-{n}", seed=n) for n in range(6)]

    async def drain(claims: Claims) -> list[Job]:
        taken: list[Job] = []
        for _ in range(200):
            taken += await claims.take(4)
            await world.clock.sleep(0.1)
        return taken

    shares = await asyncio.gather(*map(drain, processes))
    taken = [job.id for share in shares for job in share]
    assert sorted(taken) == sorted(job.id for job in jobs)
    assert all(job.attempt == 1 for job in world.store.jobs.values())
    assert sum(won for won, _ in world.counted) == 300


@pytest.mark.proves("old-before-new")
async def test_lost_claims_make_the_next_read_larger_and_won_ones_smaller_again(
    world: World,
) -> None:
    world.put(*(n * 0.01 for n in range(1, 4000)))
    world.store.faults["apply"] = deque([LeaseLost("another was faster")] * 16)
    for _ in range(2):
        assert await world.claims.take(8) == []
    assert world.counted[:2] == [(0, 8), (0, 8)]
    await world.claims.take(8)
    assert world.reads[-1][2] == 4 * FEWEST
    for _ in range(30):
        await world.clock.sleep(2)
        await world.claims.take(8)
    assert world.reads[-1][2] == FEWEST


async def test_after_lost_claims_the_jobs_are_read_anew(world: World) -> None:
    world.put(*range(1, 20))
    world.store.faults["apply"] = deque([LeaseLost("another was faster")] * 4)
    await world.claims.take(4)
    reads = len(world.reads)
    await world.claims.take(4)
    assert len(world.reads) > reads


@pytest.mark.proves("lost-answer")
async def test_a_claim_whose_answer_was_lost_is_repeated_and_is_this_process_s(
    world: World,
) -> None:
    world.put(1)
    world.store.lost["apply"] = deque([StoreUnavailable("answer lost")] * 3)
    [job] = await world.claims.take(8)
    assert job == world.store.jobs[job.id]
    assert job.attempt == 1
    assert world.store.calls.count("apply") == 4


async def test_a_claim_is_repeated_while_it_would_not_be_stale_and_then_left(
    world: World,
) -> None:
    """From then on a sweep may give the job to another."""
    world.put(1)
    world.store.lost["apply"] = deque([StoreUnavailable("answer lost")] * 9999)
    asked = world.clock.now()
    assert await world.claims.take(8) == []
    took = world.clock.now() - asked
    assert POLICY.stale_after <= took <= POLICY.stale_after + timedelta(seconds=3)
    [job] = world.store.jobs.values()
    assert job.is_stale(world.clock.now(), POLICY)


async def test_a_claim_whose_answer_was_lost_and_that_another_holds_by_now_is_left(
    world: World,
) -> None:
    [job] = world.put(1)
    world.store.lost["apply"] = deque([StoreUnavailable("answer lost")])
    stolen: list[Job] = []

    async def steal(change: Change) -> None:
        stored = world.store.jobs[job.id]
        if stored.status is Status.IN_PROGRESS and not stolen:
            at = stored.last_modified_at + POLICY.stale_after
            pending = stored.resume(at, POLICY).after
            stolen.append(world.store.put(pending.claim("worker-2/b", at).after))

    world.store.before_apply = steal
    assert await world.claims.take(8) == []
    assert world.store.jobs[job.id] == stolen[0]


async def test_a_database_away_at_the_read_comes_out(world: World) -> None:
    world.put(1)
    world.store.down = True
    with pytest.raises(StoreUnavailable):
        await world.claims.take(8)
    world.store.down = False
    assert len(await world.claims.take(8)) == 1


@pytest.mark.proves("claim-at-a-stop")
async def test_a_job_that_is_won_is_started_while_a_claim_beside_it_is_repeated(
    world: World,
) -> None:
    """It is in progress: held back, it would be run by nobody, and nobody could hand it over."""
    world.put(*range(1, 9))
    world.store.lost["apply"] = deque([StoreUnavailable("answer lost")])
    started: list[str] = []
    silent = asyncio.Event()

    async def never_again(change: Change) -> None:
        if world.store.calls.count("apply") > 8:
            await silent.wait()

    world.store.before_apply = never_again
    taking = asyncio.create_task(world.claims.take(8, lambda job: started.append(job.id)))
    await world.clock.sleep(5)
    running = {job.id for job in world.store.jobs.values() if job.status is Status.IN_PROGRESS}
    assert (len(running), len(started)) == (8, 7)
    silent.set()
    assert len(await taking) == len(started) == 8


async def test_a_clock_that_is_set_back_again_and_again_does_not_repeat_a_claim_for_ever(
    world: World,
) -> None:
    world.put(1)
    world.store.lost["apply"] = deque([StoreUnavailable("answer lost")] * 9999)
    now, began = world.clock.now, world.clock.monotonic()
    world.clock.now = lambda: now() - 2 * (now() - START)  # type: ignore[method-assign]
    assert await world.claims.take(8) == []
    took = timedelta(seconds=world.clock.monotonic() - began)
    assert POLICY.stale_after <= took <= POLICY.stale_after + timedelta(seconds=3)


async def test_a_job_that_is_not_due_any_more_by_a_clock_set_back_is_left(world: World) -> None:
    """It is neither claimed too early nor taken for one that the database refuses."""
    world.put(2)
    world.put(0)
    now = world.clock.now
    assert len(await world.claims.take(0)) == 0
    world.clock.now = lambda: now() - SECOND  # type: ignore[method-assign]
    assert len(await world.claims.take(8)) == 1
    world.clock.now = now  # type: ignore[method-assign]
    assert len(await world.claims.take(8)) == 1
    assert world.refused == 0


async def test_a_claim_that_breaks_off_does_not_lose_those_beside_it(
    world: World, logs: list[EventDict]
) -> None:
    """They are in progress by then: dropped, they would wait until they are stale."""
    jobs = world.put(*range(1, 9))
    world.store.faults["apply"] = deque([None, None, PermissionError("refused"), None])
    taken = await world.claims.take(8)
    assert len(taken) == 7
    running = {job.id for job in world.store.jobs.values() if job.status is Status.IN_PROGRESS}
    assert {job.id for job in taken} == running
    assert len(jobs) == 8
    assert [line["event"] for line in logs] == ["job cannot be claimed"]


async def test_a_record_that_is_due_and_may_not_be_claimed_does_not_stop_the_others(
    world: World,
) -> None:
    """Of a later version, say, which queues what this one does not."""
    world.put(1, 2)
    odd = world.put(3)[0]
    world.store.put(replace(odd, status=Status.COMPLETE))
    assert len(await world.claims.take(8)) == 2
    await world.clock.sleep(2)
    assert await world.claims.take(8) == []


@pytest.mark.proves("unclaimable-job")
@pytest.mark.parametrize("count", [1, FEWEST, 3 * FEWEST, MOST + FEWEST])
async def test_jobs_whose_claim_is_refused_do_not_stop_the_queue(
    world: World, logs: list[EventDict], count: int
) -> None:
    """Each read returns the earliest: without remembering them it would be these for ever."""
    world.refuse(world.put(*(10_000.0 - n * 0.5 for n in range(count))))
    good = world.put(*range(1, 9))
    taken: list[Job] = []
    while len(taken) < len(good):
        taken += await world.claims.take(64)
    assert sorted(job.id for job in taken) == [job.id for job in good]
    assert world.refused == count, "each was tried once"
    assert [line["event"] for line in logs].count("job cannot be claimed") == count


async def test_a_refused_job_is_tried_again_minutes_later(world: World) -> None:
    [job] = world.put(1)
    world.refuse([job])
    assert await world.claims.take(8) == []
    world.store.before_apply = None
    await world.clock.sleep(REFUSED_SECONDS - 1)
    assert await world.claims.take(8) == []
    await world.clock.sleep(1)
    assert [taken.id for taken in await world.claims.take(8)] == [job.id]


async def test_what_is_remembered_of_refused_jobs_is_bounded(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert MOST_REFUSED > MOST
    monkeypatch.setattr("consumers.claims.MOST_REFUSED", 4)
    world.refuse(world.put(*range(1, 9)))
    assert await world.claims.take(8) == []
    assert len(world.claims._refused) == 4
