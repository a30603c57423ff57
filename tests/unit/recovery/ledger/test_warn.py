"""A request that is late is alerted of by one replica, then daily; one that is not is settled."""

from dataclasses import replace

import pytest

from deletion.alerts import Alert, AlertKind
from deletion.request import Chore
from tests.support.clock import until
from tests.support.ledger_world import LedgerWorld

pytestmark = [pytest.mark.virtual_time, pytest.mark.usefixtures("logs")]


async def late_request(world: LedgerWorld) -> str:
    await world.register()
    async with world.replica().running():
        event_id = await world.place()
        await until(lambda: event_id in world.requests.requests)
        await world.done(event_id, "billing")
        await world.job(event_id, "media")
        await world.clock.sleep(3)
    return event_id


@pytest.mark.proves("publish-after-claim")
async def test_near_the_deadline_and_after_it_one_replica_alerts() -> None:
    world = LedgerWorld("billing", "media")
    event_id = await late_request(world)
    seconds = world.policy.deadline.total_seconds()
    counts = []
    for share in (0.7, 0.1, 0.1, 0.2, 1.0, 2.0, 0.2, 3.0):
        await world.clock.sleep(share * seconds)
        async with world.replica().running(), world.replica().running():
            await world.clock.sleep(3)
        counts.append(len(world.alerts.told))
    assert counts == [0, 1, 1, 2, 2, 3, 3, 4], "past the deadline once a day"
    near, overdue, *again = world.alerts.told
    assert near == Alert(
        AlertKind.REQUESTS_NEAR, "media", "three quarters of the time are over", event_id
    )
    assert overdue == Alert(AlertKind.REQUESTS_OVERDUE, "media", "still owed", event_id)
    assert again == [overdue, overdue]


async def test_past_the_deadline_what_was_completed_without_a_mark_is_settled_within_a_day() -> (
    None
):
    world = LedgerWorld("billing", "media")
    event_id = await late_request(world)
    await world.clock.sleep(1.2 * world.policy.deadline.total_seconds())
    async with world.replica().running():
        await world.clock.sleep(3)  # it alerts that the request is overdue
    [media] = [job for job in world.jobs.jobs.values() if job.service == "media"]
    await world.complete(media)
    world.jobs.unreported.clear()
    await world.clock.sleep(86400 - 60)
    async with world.replica().running():
        await until(lambda: world.announced.ids == [event_id], within=240)
    assert len(world.alerts.told) == 1


async def test_what_a_consumer_completed_without_a_mark_is_settled_and_not_alerted_of() -> None:
    world = LedgerWorld("billing", "media")
    event_id = await late_request(world)
    await world.clock.sleep(world.policy.missing_after.total_seconds() + 1)
    async with world.replica().running():
        await world.clock.sleep(3)  # it has checked: each service has a job
    media = next(job for job in world.jobs.jobs.values() if job.service == "media")
    await world.complete(media)
    world.jobs.unreported.clear()
    await world.clock.sleep(0.8 * world.policy.deadline.total_seconds())
    async with world.replica().running():
        await until(lambda: world.announced.ids == [event_id], within=10)
    assert world.alerts.told == []


async def test_a_late_request_that_an_earlier_build_checks_no_more_is_published_again() -> None:
    world = LedgerWorld("billing")
    await world.register()
    async with world.replica().running():
        event_id = await world.place()
        await until(lambda: event_id in world.requests.requests)
    request = world.requests.requests[event_id]
    chores = {Chore.WARN: request.chores[Chore.WARN]}  # as an earlier build left it
    world.requests.requests[event_id] = replace(request, chores=chores)
    await world.clock.sleep(0.8 * world.policy.deadline.total_seconds())
    for _ in ("it is late", "its jobs are looked for"):
        async with world.replica().running():
            await world.clock.sleep(3)
    request = world.requests.requests[event_id]
    assert [share.republished for share in request.shares] == [1]
    assert set(request.chores) == {Chore.REPUBLISH, Chore.WARN}
