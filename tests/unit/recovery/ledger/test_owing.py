"""Requests are recorded once every service that has a subscription is registered, and not before:
they would be settled although it has not deleted anything.
"""

import pytest
from structlog.typing import EventDict

from deletion.errors import BusUnavailable, TopologyMissing
from tests.support.clock import until
from tests.support.ledger_world import LedgerWorld, no_fault

pytestmark = [pytest.mark.virtual_time, pytest.mark.usefixtures("logs")]


def reasons(logs: list[EventDict]) -> set[str]:
    return {entry["reason"] for entry in logs if "reason" in entry}


async def a_world(*registered: str) -> LedgerWorld:
    world = LedgerWorld(*registered)
    world.subscribed = ["billing", "media"]
    await world.register()
    return world


@pytest.mark.proves("owed-by-all")
async def test_no_request_is_recorded_before_all_services_with_a_subscription_are_registered(
    logs: list[EventDict],
) -> None:
    world = await a_world("billing")
    async with world.replica().running() as replica:
        event_id = await world.place()
        await world.clock.sleep(300)
        assert world.subscription.pulls == []
        assert (
            "not registered, with a subscription: media; run `botdel topology apply --plan FILE` "
            "with the plan of each, or delete its subscription"
        ) in reasons(logs)
        assert replica.ledger.problem is None, "the cron job goes on"
        assert replica.metric("recording") == 0
        await world.register("media")
        await until(lambda: event_id in world.requests.requests, within=15)
        assert replica.metric("recording") == 1
    assert world.requests.requests[event_id].owed == ("billing", "media")


async def test_recovery_is_ready_all_the_while_the_first_services_register() -> None:
    """Also during the first pull after that, which takes seconds when there is nothing."""
    world = LedgerWorld("billing")

    async def waiting(call: str, is_done: bool) -> None:
        if call == "pull" and not is_done:
            await world.clock.sleep(5)

    world.fault = waiting
    async with world.replica().running() as replica:
        await world.clock.sleep(60)
        await world.register()
        for _ in range(60):
            assert replica.ledger.problem is None
            await world.clock.sleep(1)
        assert replica.metric("recording") == 1


async def test_a_subscription_that_is_deleted_is_waited_for_no_longer() -> None:
    world = await a_world("billing")
    async with world.replica().running():
        event_id = await world.place()
        await world.clock.sleep(300)
        world.subscribed = ["billing"]
        await until(lambda: event_id in world.requests.requests, within=75)


async def test_a_subscription_that_comes_later_holds_up_what_is_received_then() -> None:
    """Requests, too, that are pulled by a process that has worked for long."""
    world = await a_world("billing", "media")
    async with world.replica().running():
        await world.clock.sleep(10)
        world.subscribed = ["billing", "fresh", "media"]
        await world.clock.sleep(61)
        event_id = await world.place()
        await world.clock.sleep(60)
        assert not world.requests.requests
        await world.register("fresh")
        await until(lambda: event_id in world.requests.requests, within=75)
    assert world.requests.requests[event_id].owed == ("billing", "fresh", "media")


async def test_a_retired_service_that_still_has_its_subscription_holds_nothing_up() -> None:
    world = await a_world("billing", "media")
    await world.services.retire("media", "ann", "gone", world.clock.now())
    async with world.replica().running():
        event_id = await world.place()
        await until(lambda: event_id in world.requests.requests, within=5)
    assert world.requests.requests[event_id].owed == ("billing",)


async def test_the_subscriptions_are_listed_once_a_minute() -> None:
    world = await a_world("billing", "media")
    async with world.replica().running():
        for _ in range(100):
            await world.place()
            await world.clock.sleep(3)
    assert len(world.requests.requests) == 100
    assert 5 <= world.listed <= 6


async def test_who_may_not_list_relies_on_what_is_registered_and_says_so(
    logs: list[EventDict],
) -> None:
    world = await a_world("billing")

    async def forbidden(call: str, _: bool) -> None:
        if call == "subscribed":
            raise TopologyMissing("the topic may not be used by this identity", "grant it")

    world.fault = forbidden
    async with world.replica().running():
        for _ in range(100):
            await world.place()
            await world.clock.sleep(3)
    assert len(world.requests.requests) == 100
    said = [each for each in logs if each["event"] == "subscriptions not compared with services"]
    assert 5 <= len(said) <= 6
    assert said[0]["reason"] == "the topic may not be used by this identity; grant it"


async def test_an_outage_of_pubsub_is_not_taken_for_a_service_that_is_not_registered() -> None:
    world = await a_world("billing")

    async def away(call: str, _: bool) -> None:
        if call == "subscribed":
            raise BusUnavailable("away")

    async with world.replica().running() as replica:
        event_id = await world.place()
        await world.clock.sleep(5)
        assert replica.ledger.problem is None
        world.fault = away
        await world.clock.sleep(300)
        assert "away" in str(replica.ledger.problem)
        assert not world.requests.requests
        world.fault = no_fault
        await world.register("media")
        await until(lambda: event_id in world.requests.requests, within=15)


async def test_of_many_services_ten_are_named(logs: list[EventDict]) -> None:
    world = await a_world("billing")
    world.subscribed = [f"service-{number:02}" for number in range(40)]
    async with world.replica().running():
        await world.clock.sleep(5)
    [reason] = {each for each in reasons(logs) if each.startswith("not registered")}
    assert "service-09 and 30 more; run" in reason
