"""What a service has no job for is published again, and nothing else is."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from itertools import pairwise

import pytest
import pytest_asyncio

from deletion.alerts import AlertKind
from deletion.dead_letter import DeadLetterStatus
from deletion.errors import BusUnavailable
from deletion.events import decode
from deletion.request import Chore
from tests.support.clock import until
from tests.support.factories import placed
from tests.support.ledger_world import LedgerWorld, no_fault

pytestmark = [pytest.mark.virtual_time, pytest.mark.usefixtures("logs")]

HOUR = 3600.0


@pytest_asyncio.fixture(loop_scope="function")
async def world() -> AsyncIterator[LedgerWorld]:
    """A world with a request that is due to be checked, and no process."""
    world = LedgerWorld("billing", "media")
    await world.register()
    yield world


async def waiting_request(world: LedgerWorld) -> str:
    """A request for which `billing` has a job, recorded by a process that has ended."""
    async with world.replica().running():
        event_id = await world.place()
        await until(lambda: event_id in world.requests.requests)
        await world.job(event_id, "billing")
    await world.clock.sleep(HOUR + 1)
    return event_id


async def check(world: LedgerWorld) -> None:
    """One check, by a process of its own."""
    async with world.replica().running():
        await world.clock.sleep(3)


@pytest.mark.proves("nothing-missing")
async def test_it_is_published_again_for_the_service_under_its_own_event_id(
    world: LedgerWorld,
) -> None:
    subject = placed(timestamp=world.clock.now())
    async with world.replica().running():
        await world.place(subject, traceparent="00-" + "a" * 32 + "-" + "b" * 16 + "-01")
        await until(lambda: subject.event_id in world.requests.requests)
        await world.job(subject.event_id, "billing")
    await world.clock.sleep(HOUR + 1)
    await check(world)
    original, again = world.topic.published
    assert again.data == original.data
    assert again.attributes == {**original.attributes, "service": "media"}
    assert decode(again.data) == subject
    told = [(each.kind, each.service, each.count) for each in world.alerts.told]
    assert told == [(AlertKind.REQUESTS_MISSING, "media", 1)]
    assert world.alerts.told[0].example == subject.event_id


async def test_it_is_not_looked_for_before_its_time(world: LedgerWorld) -> None:
    async with world.replica().running() as replica:
        event_id = await world.place()
        await until(lambda: event_id in world.requests.requests)
        await world.clock.sleep(HOUR - 60)
        replica.ledger.republish()
        await world.clock.sleep(5)
        assert not list(world.republished())


@pytest.mark.proves("nothing-missing")
async def test_it_is_published_less_and_less_often_until_there_is_a_job(
    world: LedgerWorld,
) -> None:
    event_id = await waiting_request(world)
    times = []
    for _ in range(16):
        before = len(list(world.republished()))
        await check(world)
        if len(list(world.republished())) > before:
            times.append(world.clock.now())
        await world.clock.sleep(HOUR / 2 + 60)
    gaps = [later - earlier for earlier, later in pairwise(times)]
    assert len(gaps) >= 3
    assert all(after > before * 1.5 for before, after in pairwise(gaps))
    await world.job(event_id, "media")
    await world.clock.sleep(24 * HOUR)
    count = len(list(world.republished()))
    await check(world)
    assert len(list(world.republished())) == count
    assert not world.requests.requests[event_id].is_missing


@pytest.mark.parametrize("status", [DeadLetterStatus.NEW, DeadLetterStatus.REPLAYED])
async def test_while_a_dead_letter_is_new_it_waits_for_the_operator(
    world: LedgerWorld, status: DeadLetterStatus
) -> None:
    event_id = await waiting_request(world)
    await world.quarantine(event_id, "media", status)
    await check(world)
    await world.clock.sleep(HOUR)
    await check(world)
    assert not list(world.republished())
    assert Chore.REPUBLISH in world.requests.requests[event_id].chores


async def test_a_replay_that_was_lost_too_is_published_again_near_the_deadline(
    world: LedgerWorld,
) -> None:
    event_id = await waiting_request(world)
    await world.quarantine(event_id, "media", DeadLetterStatus.REPLAYED)
    await check(world)
    await world.clock.sleep(0.75 * world.policy.deadline.total_seconds())
    await check(world)
    assert list(world.republished()) == [(event_id, "media")]


@pytest.mark.proves("ledger-if-and-only-if")
async def test_a_dead_letter_that_is_discarded_waives_the_share(world: LedgerWorld) -> None:
    event_id = await waiting_request(world)
    await world.quarantine(event_id, "media", DeadLetterStatus.DISCARDED)
    await check(world)
    request = world.requests.requests[event_id]
    share = request.share("media")
    assert share is not None
    assert share.waiver is not None
    assert (share.waiver.by, share.waiver.reason) == ("ledger", "its dead letter was discarded")
    assert (request.owed, list(world.republished())) == (("billing",), [])


async def test_a_job_that_completed_without_a_mark_is_settled_by_the_check(
    world: LedgerWorld,
) -> None:
    """A consumer of an earlier release completes a job without the mark."""
    event_id = await waiting_request(world)
    [job] = world.jobs.jobs.values()
    await world.complete(job)
    world.jobs.unreported.clear()
    await check(world)
    assert world.requests.requests[event_id].owed == ("media",)


async def checked_with_all_jobs(world: LedgerWorld) -> str:
    """A request that has been open for an hour, and was checked: each service has a job."""
    event_id = await waiting_request(world)
    await world.job(event_id, "media")
    await check(world)
    assert not list(world.republished())
    return event_id


@pytest.mark.proves("mixed-versions")
async def test_what_completes_without_a_mark_after_the_check_is_settled_by_the_next_one(
    world: LedgerWorld,
) -> None:
    """As by a consumer of an earlier release; the deadline may be weeks away."""
    event_id = await checked_with_all_jobs(world)
    for job in list(world.jobs.jobs.values()):
        await world.complete(job)
    world.jobs.unreported.clear()
    await check(world)
    assert world.requests.requests[event_id].owed == ("billing", "media"), "it is not due yet"
    await world.clock.sleep(HOUR + 60)
    async with world.replica().running():
        await until(lambda: world.announced.ids == [event_id], within=10)
    assert not list(world.republished())


async def test_a_job_whose_record_is_gone_after_the_check_is_published_again(
    world: LedgerWorld,
) -> None:
    """Lost with a backup, or expired without a mark."""
    event_id = await checked_with_all_jobs(world)
    world.jobs.jobs = {id_: job for id_, job in world.jobs.jobs.items() if job.service != "media"}
    await world.clock.sleep(HOUR + 60)
    await check(world)
    assert list(world.republished()) == [(event_id, "media")]


@pytest.mark.proves("publish-after-claim")
async def test_it_writes_before_it_publishes_and_a_crash_in_between_costs_one_back_off(
    world: LedgerWorld,
) -> None:
    event_id = await waiting_request(world)

    async def crashing(call: str, is_done: bool) -> None:
        if call == "publish" and not is_done:
            raise ZeroDivisionError("it dies here")

    world.fault = crashing
    await check(world)
    assert not list(world.republished())
    [due] = [world.requests.requests[event_id].chores[Chore.REPUBLISH]]
    assert due - world.clock.now() >= timedelta(minutes=25)
    world.fault = no_fault
    await check(world)
    assert not list(world.republished()), "it has been claimed"
    await world.clock.sleep(HOUR / 2)
    await check(world)
    assert list(world.republished()) == [(event_id, "media")]


@pytest.mark.proves("publish-after-claim")
async def test_of_replicas_that_look_in_the_same_moment_one_publishes(world: LedgerWorld) -> None:
    event_id = await waiting_request(world)

    async def side_by_side(_: str, is_done: bool) -> None:
        await asyncio.sleep(0)  # the other one gets as far

    world.fault = side_by_side
    async with world.replica().running(), world.replica().running(), world.replica().running():
        await world.clock.sleep(3)
    assert list(world.republished()) == [(event_id, "media")]


async def test_what_many_services_lack_is_published_a_few_at_a_time() -> None:
    """A publisher refuses what is too much at once; the last ones would never be published."""
    world = LedgerWorld(*(f"service-{number:02}" for number in range(40)))
    await world.register()
    async with world.replica().running():
        events = [await world.place(placed(f"{number:024x}")) for number in range(1, 61)]
        await until(lambda: len(world.requests.requests) == len(events))
    await world.clock.sleep(HOUR + 1)
    under_way, most = 0, 0

    async def counted(call: str, is_done: bool) -> None:
        nonlocal under_way, most
        if call == "publish":
            under_way += -1 if is_done else 1
            most = max(most, under_way)
            await asyncio.sleep(0)

    world.fault = counted
    await check(world)
    assert len(set(world.republished())) == 40 * 60
    assert most <= 1_000


async def test_while_nothing_can_be_published_the_rest_is_not_tried() -> None:
    world = LedgerWorld(*(f"service-{number:02}" for number in range(40)))
    await world.register()
    async with world.replica().running():
        for number in range(1, 61):
            await world.place(placed(f"{number:024x}"))
        await until(lambda: len(world.requests.requests) == 60)
    await world.clock.sleep(HOUR + 1)
    tries = 0

    async def away(call: str, is_done: bool) -> None:
        nonlocal tries
        if call == "publish" and not is_done:
            tries += 1
            raise BusUnavailable("away")

    world.fault = away
    async with world.replica().running() as replica:
        await world.clock.sleep(0.5)
        assert replica.metric("failures_total", part="republish") == 1, "the pass, once"
    assert tries <= 1_000
