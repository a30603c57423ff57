"""The ledger's intake: decode → record → settle → ack, and nothing bad stops the others."""

import pytest
from structlog.typing import EventDict

from deletion.bus import Message
from deletion.events import to_message
from deletion.request import Chore
from tests.support.clock import until
from tests.support.factories import placed
from tests.support.ledger_world import LedgerWorld, no_fault

pytestmark = [pytest.mark.virtual_time, pytest.mark.usefixtures("logs")]


async def a_world() -> LedgerWorld:
    world = LedgerWorld("billing", "media")
    await world.register()
    return world


async def test_a_request_is_recorded_with_what_its_event_says_and_then_acked() -> None:
    world = await a_world()
    subject = placed(timestamp=world.clock.now())
    async with world.replica().running():
        await world.place(subject, traceparent="00-" + "a" * 32 + "-" + "b" * 16 + "-01")
        await until(lambda: bool(world.subscription.acked))
    [request] = world.requests.requests.values()
    assert (request.id, request.bot_id) == (subject.event_id, subject.bot_id)
    assert request.placed_at == subject.event.placed_at
    assert request.traceparent == "00-" + "a" * 32 + "-" + "b" * 16 + "-01"
    assert request.deadline == request.received_at + world.policy.deadline
    assert set(request.chores) == {Chore.REPUBLISH, Chore.WARN}


@pytest.mark.proves("ledger-hides-nothing")
@pytest.mark.parametrize("moment", ["before", "between", "after"])
async def test_a_completion_is_seen_whenever_it_happens(moment: str) -> None:
    """Before the request is recorded, between that and the check for jobs, or after both."""
    world = await a_world()
    await world.register("media")
    await world.services.retire("billing", "ann", "gone", world.clock.now())
    subject = placed(timestamp=world.clock.now())
    job = await world.job(subject.event_id, "media", subject.bot_id)

    async def completing(call: str, is_done: bool) -> None:
        if call == "record" and is_done and moment == "between":
            world.fault = no_fault
            await world.complete(job)

    world.fault = completing
    if moment == "before":
        await world.complete(job)
        await world.clock.sleep(5)
    async with world.replica().running():
        await world.clock.sleep(5)  # a job that covers no recorded request is reported
        await world.place(subject)
        if moment == "after":
            await until(lambda: subject.event_id in world.requests.requests)
            await world.complete(job)
        await until(lambda: world.announced.ids == [subject.event_id], within=10)
        await until(lambda: not world.jobs.unreported, within=5)


async def test_while_no_service_is_registered_nothing_is_pulled_and_the_log_says_so(
    logs: list[EventDict],
) -> None:
    world = LedgerWorld()
    async with world.replica().running() as replica:
        event_id = await world.place()
        await world.clock.sleep(60)
        assert world.subscription.pulls == []
        assert "no service is registered; run `botdel topology apply --plan FILE`" in {
            entry.get("reason") for entry in logs
        }
        assert replica.ledger.problem is None, "the cron job goes on"
        assert replica.metric("recording") == 0
        await world.register("billing")
        await until(lambda: event_id in world.requests.requests, within=15)
    assert world.requests.requests[event_id].owed == ("billing",)


async def test_when_the_last_service_is_retired_a_request_waits_for_the_next_one() -> None:
    world = await a_world()
    async with world.replica().running():
        await world.clock.sleep(1)
        for name in ("billing", "media"):
            await world.services.retire(name, "ann", "gone", world.clock.now())
        event_id = await world.place()
        await world.clock.sleep(300)
        assert not world.requests.requests
        await world.register("media")
        await until(lambda: event_id in world.requests.requests, within=120)
    assert world.requests.requests[event_id].owed == ("media",)


async def test_a_retired_service_owes_nothing_new() -> None:
    world = await a_world()
    await world.services.retire("billing", "ann", "gone", world.clock.now())
    async with world.replica().running():
        event_id = await world.place()
        await until(lambda: event_id in world.requests.requests)
    assert world.requests.requests[event_id].owed == ("media",)


async def test_what_is_no_request_is_acked_and_counted_and_stops_nothing(
    logs: list[EventDict],
) -> None:
    world = await a_world()
    async with world.replica().running() as replica:
        await world.topic.publish(Message(b"\xff\x00poison", {}))
        event_id = await world.place()
        await until(lambda: event_id in world.requests.requests)
        await until(lambda: not world.subscription.unacked)
        assert replica.metric("failures_total", part="intake") == 1
        assert replica.metric("recording") == 1
    assert [line["message_id"] for line in logs if line["event"] == "not recorded"] == ["1"]


async def test_a_message_for_one_service_is_acked_and_ignored() -> None:
    world = await a_world()
    async with world.replica().running() as replica:
        await world.place(service="media")
        await until(lambda: bool(world.subscription.acked))
        assert replica.metric("failures_total", part="intake") == 0
    assert not world.requests.requests


async def test_a_request_that_cannot_be_written_is_kept_and_stops_no_other() -> None:
    world = await a_world()
    cursed = placed(timestamp=world.clock.now())
    store = world.requests.record

    async def refusing(requests: object) -> None:
        if any(each.id == cursed.event_id for each in requests):  # type: ignore[attr-defined]
            raise ValueError("a document that the database refuses")
        await store(requests)  # type: ignore[arg-type]

    replica = world.replica()
    replica.requests.record = refusing
    message = to_message(cursed)
    world.topic.put(message)
    others = [await world.place() for _ in range(5)]
    async with replica.running():
        await until(lambda: set(world.requests.requests) == set(others))
        await until(lambda: len(world.subscription.unacked) == 1)
        late = await world.place()
        await until(lambda: late in world.requests.requests, within=5)
    assert world.subscription.unacked == ["1"]


async def test_a_redelivered_request_stays_as_it_is() -> None:
    world = await a_world()
    subject = placed(timestamp=world.clock.now())
    async with world.replica().running():
        await world.place(subject)
        await until(lambda: subject.event_id in world.requests.requests)
        await world.done(subject.event_id, "billing", "media")
        await until(lambda: bool(world.announced.ids))
        before = world.requests.requests[subject.event_id]
        await world.place(subject)
        await until(lambda: not world.subscription.unacked)
        await world.clock.sleep(30)
        assert world.requests.requests[subject.event_id].settled_at == before.settled_at
    assert world.announced.ids == [subject.event_id]


async def test_while_the_database_is_away_nothing_is_acked() -> None:
    world = await a_world()
    async with world.replica().running():
        await world.clock.sleep(1)
        world.down = True
        event_id = await world.place()
        await world.clock.sleep(600)
        assert world.subscription.acked == []
        world.down = False
        await until(lambda: event_id in world.requests.requests, within=120)
