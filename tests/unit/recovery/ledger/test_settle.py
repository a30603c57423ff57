"""What complete jobs cover is settled before their mark is taken off, one bad record or not."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

import pytest
from structlog.typing import EventDict

from deletion.job import Status
from deletion.ledger import RequestChange
from deletion.ports import Unreadable
from tests.support.clock import until
from tests.support.factories import placed
from tests.support.ledger_world import LedgerWorld, no_fault

pytestmark = [pytest.mark.virtual_time, pytest.mark.usefixtures("logs")]


async def recorded(world: LedgerWorld, count: int) -> list[str]:
    """Requests of bots of their own, recorded by a process that has ended."""
    await world.register()
    async with world.replica().running():
        events = [await world.place(placed(f"{n:024x}")) for n in range(1, count + 1)]
        await until(lambda: len(world.requests.requests) == count)
    return events


@pytest.mark.proves("ledger-hides-nothing")
async def test_a_mark_is_taken_off_only_after_what_the_job_covers_is_settled() -> None:
    world = LedgerWorld("media")
    [event_id] = await recorded(world, 1)
    await world.done(event_id, "media")

    async def away(call: str, _: bool) -> None:
        if call == "save":
            raise ZeroDivisionError("by nought")

    world.fault = away
    async with world.replica().running() as replica:
        await world.clock.sleep(5)
        assert world.jobs.unreported
        assert replica.metric("failures_total", part="settle") >= 1
        world.fault = no_fault
        await until(lambda: world.announced.ids == [event_id], within=65)
        await until(lambda: not world.jobs.unreported)


async def test_a_job_settles_every_request_that_joined_it() -> None:
    world = LedgerWorld("media")
    await world.register()
    async with world.replica().running():
        first, second = placed(), placed()
        for subject in (first, second):
            await world.place(subject)
        await until(lambda: len(world.requests.requests) == 2)
        job = await world.job(first.event_id, "media")
        await world.job(second.event_id, "media")  # it joins
        assert len(world.jobs.jobs) == 1
        await world.complete(job)
        await until(lambda: len(world.announced.ids) == 2, within=5)
    assert set(world.announced.ids) == {first.event_id, second.event_id}


async def test_a_job_settles_its_request_at_once_though_its_consumers_clock_is_ahead() -> None:
    world = LedgerWorld("media")
    [event_id] = await recorded(world, 1)
    job = world.jobs.jobs[(await world.job(event_id, "media")).id]
    await world.jobs.apply(job.complete(world.clock.now() + timedelta(hours=3)))
    async with world.replica().running():
        await until(lambda: world.announced.ids == [event_id], within=5)


async def test_a_job_of_another_bot_settles_nothing() -> None:
    world = LedgerWorld("media")
    [event_id] = await recorded(world, 1)
    await world.complete(await world.job(event_id, "media", bot_id="f" * 24))
    async with world.replica().running():
        await world.clock.sleep(30)
    assert world.requests.requests[event_id].owed == ("media",)


@pytest.mark.proves("ledger-if-and-only-if")
async def test_a_compensated_job_settles_nothing() -> None:
    world = LedgerWorld("media")
    [event_id] = await recorded(world, 1)
    job = await world.job(event_id, "media")
    world.jobs.jobs[job.id] = replace(job, status=Status.COMPENSATED)
    async with world.replica().running():
        await world.clock.sleep(2 * 3600)
    assert world.requests.requests[event_id].owed == ("media",)
    assert not list(world.republished()), "it has a job, which a person has to look at"


@pytest.mark.proves("unreadable-reported")
async def test_a_request_that_cannot_be_read_keeps_its_job_and_holds_no_other_up() -> None:
    world = LedgerWorld("media")
    cursed, *others = await recorded(world, 30)
    for event_id in (cursed, *others):
        await world.done(event_id, "media")
    replica = world.replica()
    get = replica.requests.get

    async def damaged(event_ids: list[str]) -> list[object]:
        found = await get(event_ids)
        return [Unreadable(r.id, "damaged") if r.id == cursed else r for r in found]

    replica.requests.get = damaged
    async with replica.running():
        await until(lambda: set(world.announced.ids) == set(others), within=5)
        await world.clock.sleep(30)
        assert len(world.jobs.unreported) == 1
        assert replica.metric("failures_total", part="settle") <= 2, "not again and again"
        replica.requests.get = get
        await until(lambda: cursed in world.announced.ids, within=70)


async def test_what_another_process_wrote_meanwhile_is_settled_all_the_same() -> None:
    world = LedgerWorld("billing", "media")
    [event_id] = await recorded(world, 1)
    async with world.replica().running(), world.replica().running(), world.replica().running():
        await world.done(event_id, "billing", "media")
        await until(lambda: world.announced.ids == [event_id], within=10)
    assert world.called.ids == [event_id]


async def test_a_request_that_cannot_be_written_holds_no_other_up(logs: list[EventDict]) -> None:
    world = LedgerWorld("media")
    cursed, *others = await recorded(world, 10)
    for event_id in (cursed, *others):
        await world.done(event_id, "media")
    replica = world.replica()
    save = replica.requests.save

    async def refusing(changes: Sequence[RequestChange]) -> Sequence[RequestChange]:
        if any(change.before.id == cursed for change in changes):
            raise ValueError("a document that the database refuses")
        refused: Sequence[RequestChange] = await save(changes)
        return refused

    replica.requests.save = refusing
    async with replica.running():
        await until(lambda: set(world.announced.ids) == set(others), within=5)
        assert list(world.jobs.unreported)
        assert any(line["event"] == "requests not written" for line in logs)
        replica.requests.save = save
        await until(lambda: cursed in world.announced.ids, within=70)
