"""A request is followed from its event until no service owes it, whatever is slow or away."""

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from uuid import UUID

import pytest
import pytest_asyncio
from structlog.typing import EventDict

from deletion.errors import BotDeletionError, BusUnavailable, PermanentError, TransientError
from deletion.job import LeasePolicy
from deletion.request import DeletionRequest
from deletion.skew import ClockCheck
from recovery.ledger.metrics import PartName
from recovery.ledger.running import ANNOUNCEMENTS_PER_SECOND, CALLS_PER_SECOND
from tests.support.clock import VirtualClock, until
from tests.support.factories import a_deletion_request, placed
from tests.support.ledger_world import LedgerWorld, no_fault
from tests.support.memory_stores import MemoryJobStore

pytestmark = [pytest.mark.virtual_time, pytest.mark.usefixtures("logs")]

HOUR = 3600.0


@pytest_asyncio.fixture(loop_scope="function")
async def world() -> AsyncIterator[LedgerWorld]:
    """Its replicas are idle for hours, so their pulls are long. A message ends one at once."""
    world = LedgerWorld("billing", "media", pull_wait=600)
    await world.register()
    yield world


async def recorded(world: LedgerWorld, event_id: str) -> DeletionRequest:
    await until(lambda: event_id in world.requests.requests)
    return world.requests.requests[event_id]


@pytest.mark.proves("announced")
async def test_a_request_is_settled_announced_and_called_back_within_seconds(
    world: LedgerWorld,
) -> None:
    async with world.replica().running() as replica:
        event_id = await world.place()
        request = await recorded(world, event_id)
        assert request.owed == ("billing", "media")
        await world.done(event_id, "billing")
        await world.clock.sleep(60)
        assert world.announced.ids == world.called.ids == []
        await world.done(event_id, "media")
        await until(lambda: bool(world.called.ids), within=5)
    assert world.announced.ids == world.called.ids == [event_id]
    assert world.requests.requests[event_id].chores == {}
    assert (replica.metric("recorded_total"), replica.metric("settled_total")) == (1, 1)
    assert replica.metric("recording") == 1
    assert not world.jobs.unreported


async def test_without_a_callback_a_request_is_only_announced(world: LedgerWorld) -> None:
    async with world.replica(calls_back=False).running():
        event_id = await world.place()
        await recorded(world, event_id)
        await world.done(event_id, "billing", "media")
        await until(lambda: bool(world.announced.ids), within=5)
        await world.clock.sleep(10)
    assert world.requests.requests[event_id].chores == {}
    assert world.called.tries == 0


@pytest.mark.proves("called-back")
async def test_a_receiver_that_hangs_keeps_nothing_else_waiting(world: LedgerWorld) -> None:
    async def failing(_: DeletionRequest) -> None:
        await world.clock.sleep(10)
        raise BotDeletionError("answered 404")

    world.called.failing = failing
    async with world.replica().running() as replica:
        events = [await world.place() for _ in range(50)]
        for event_id in events:
            await recorded(world, event_id)
            await world.done(event_id, "billing", "media")
        await until(lambda: len(world.announced.ids) == 50, within=10)
        late = await world.place()
        await recorded(world, late)
        await world.clock.sleep(2 * HOUR)
        assert set(world.republished()) == {(late, "billing"), (late, "media")}
        tries = world.called.tries
        await world.clock.sleep(3 * HOUR)
        assert world.called.tries - tries <= 50 * 4, "each is called once an hour at most"
        assert replica.metric("failures_total", part="call") > 5
        world.called.failing = None
        await until(lambda: set(world.called.ids) == set(events), within=1.2 * HOUR)


async def test_one_call_that_is_refused_holds_no_other_up(world: LedgerWorld) -> None:
    cursed: list[str] = []

    async def failing(request: DeletionRequest) -> None:
        if request.id in cursed:
            raise ZeroDivisionError("by nought")

    world.called.failing = failing
    async with world.replica().running():
        events = [await world.place() for _ in range(40)]
        cursed += events[:1]
        for event_id in events:
            await recorded(world, event_id)
            await world.done(event_id, "billing", "media")
        await until(lambda: set(world.called.ids) == set(events[1:]), within=30)


RARELY = dict.fromkeys(PartName, 600.0)


async def waiting_for_a_call(world: LedgerWorld, hours: float) -> DeletionRequest:
    """A settled request that is announced, and has been due to be called back for so long."""
    at = world.clock.now() - timedelta(hours=hours)
    settled = a_deletion_request("media", now=at).completed("media", "a" * 24, at).announced(at)
    await world.requests.record([settled])
    return settled


async def test_calls_are_forgotten_a_day_after_the_callback_was_given_up(
    world: LedgerWorld, logs: list[EventDict]
) -> None:
    """Otherwise their requests would be kept for ever, whatever their retention is. They may have
    been due for long before: recovery was away, or the URL was lost only now.
    """
    request, late = [await waiting_for_a_call(world, hours) for hours in (100, -1)]
    async with world.replica(calls_back=False, every=RARELY).running():
        await world.clock.sleep(23.5 * HOUR)
        assert world.requests.requests[request.id].chores, "the URL may be set again"
        await world.clock.sleep(HOUR)
        assert not world.requests.requests[request.id].chores
        assert world.requests.requests[late.id].chores
    assert world.called.tries == 0
    assert "callbacks forgotten" in [line["event"] for line in logs]


async def test_a_process_that_starts_waits_for_a_day_of_its_own_before_it_forgets_calls(
    world: LedgerWorld,
) -> None:
    request = await waiting_for_a_call(world, 20)
    for _ in range(3):
        async with world.replica(calls_back=False, every=RARELY).running():
            await world.clock.sleep(20 * HOUR)
    async with world.replica(every=RARELY).running():
        await until(lambda: world.called.ids == [request.id], within=HOUR)


async def test_no_call_is_forgotten_while_another_process_makes_it(world: LedgerWorld) -> None:
    request = await waiting_for_a_call(world, 20)

    async def down(_: DeletionRequest) -> None:
        raise TransientError("answered 503")

    world.called.failing = down
    idle, calling = world.replica(calls_back=False, every=RARELY), world.replica(every=RARELY)
    async with idle.running(), calling.running():
        await world.clock.sleep(30 * HOUR)
        world.called.failing = None
        await world.clock.sleep(1.5 * HOUR)
    assert world.called.ids == [request.id]


async def test_each_call_that_fails_beside_others_counts_once(world: LedgerWorld) -> None:
    now = world.clock.now()
    settled = [a_deletion_request("media", now=now).completed("media", "a" * 24, now)] * 3
    requests = [replace(each, id=str(UUID(int=n))) for n, each in enumerate(settled, 1)]
    await world.requests.record([each.announced(now) for each in requests])

    async def failing(request: DeletionRequest) -> None:
        if request.id != requests[0].id:
            raise TransientError("answered 503")

    world.called.failing = failing
    async with world.replica().running() as replica:
        await world.clock.sleep(30)
        assert world.called.ids == [requests[0].id]
        assert replica.metric("failures_total", part="call") == 2


async def test_a_page_of_which_nothing_is_confirmed_counts_once(world: LedgerWorld) -> None:
    world.announced.down = True
    async with world.replica().running() as replica:
        events = [await world.place() for _ in range(3)]
        for event_id in events:
            await recorded(world, event_id)
            await world.done(event_id, "billing", "media")
        await world.clock.sleep(50)
        assert replica.metric("failures_total", part="announce") == 1, "the pass, once"


async def test_a_backlog_is_announced_and_called_back_at_a_pace(world: LedgerWorld) -> None:
    """The first start of a ledger finds the requests of a month, most of them settled."""
    size, now = 20 * CALLS_PER_SECOND, world.clock.now()
    month = [a_deletion_request("media", now=now) for _ in range(size)]
    await world.requests.record([each.completed("media", "a" * 24, now) for each in month])
    async with world.replica().running():
        await world.clock.sleep(2)
        assert len(world.announced.ids) <= 3 * ANNOUNCEMENTS_PER_SECOND
        assert len(world.called.ids) <= 3 * CALLS_PER_SECOND
        await until(lambda: len(world.called.ids) == size, within=40)
    assert len(world.announced.ids) == size


@pytest.mark.proves("publish-after-claim")
async def test_replicas_neither_publish_nor_call_twice(world: LedgerWorld) -> None:
    async with world.replica().running(), world.replica().running(), world.replica().running():
        done = [await world.place() for _ in range(30)]
        for event_id in done:
            await recorded(world, event_id)
            await world.done(event_id, "billing", "media")
        missing = await world.place()
        await recorded(world, missing)
        await world.done(missing, "billing")
        await world.clock.sleep(1.4 * HOUR)
    assert sorted(world.announced.ids) == sorted(world.called.ids) == sorted(done)
    assert list(world.republished()) == [(missing, "media")]


async def test_an_outage_of_the_database_loses_nothing(world: LedgerWorld) -> None:
    async with world.replica().running() as replica:
        first = await world.place()
        await recorded(world, first)
        world.down = True
        await world.done(first, "billing", "media")
        second = await world.place()
        await world.clock.sleep(3 * HOUR)
        assert world.announced.ids == []
        assert "the database is down" in str(replica.ledger.problem)
        assert replica.metric("recording") == 0
        world.down = False
        await recorded(world, second)
        await world.done(second, "billing", "media")
        await until(lambda: set(world.announced.ids) == {first, second}, within=120)
        await until(lambda: replica.ledger.problem is None, within=60)


@pytest.mark.proves("announced")
async def test_an_outage_of_pubsub_delays_announcements_only(world: LedgerWorld) -> None:
    async with world.replica().running():
        event_id = await world.place()
        await recorded(world, event_id)
        world.announced.down = True
        await world.done(event_id, "billing", "media")
        await world.clock.sleep(3 * HOUR)
        assert world.requests.requests[event_id].settled_at is not None
        world.announced.down = False
        await until(lambda: world.announced.ids == [event_id], within=1.2 * HOUR)
        await until(lambda: world.called.ids == [event_id], within=60)


async def test_a_stop_ends_every_part_at_once() -> None:
    world = LedgerWorld("billing", "media")
    await world.register()
    replica = world.replica()
    async with replica.running():
        event_id = await world.place()
        await recorded(world, event_id)
        world.announced.down = world.down = True
        await world.clock.sleep(300)
        asked = world.clock.now()
    assert world.clock.now() - asked <= timedelta(seconds=3), "one pull"


async def test_a_part_that_breaks_is_logged_counted_and_goes_on(
    world: LedgerWorld, logs: list[EventDict]
) -> None:
    async def broken(call: str, _: bool) -> None:
        if call == "unreported":
            raise ZeroDivisionError("by nought")

    world.fault = broken
    async with world.replica().running() as replica:
        event_id = await world.place()
        await recorded(world, event_id)
        await world.done(event_id, "billing", "media")
        await world.clock.sleep(60)
        assert replica.metric("failures_total", part="settle") > 3
        assert any("exc_info" in line for line in logs)
        broken_until = world.clock.monotonic()
        world.fault = no_fault
        await until(lambda: world.announced.ids == [event_id], within=70)
        assert world.clock.monotonic() - broken_until <= 62


async def test_a_sweep_looks_at_once(world: LedgerWorld) -> None:
    async with world.replica().running() as replica:
        await world.clock.sleep(100)
        event_id = await world.place()
        await recorded(world, event_id)
        await world.clock.sleep(HOUR + 10)
        assert not list(world.republished())
        replica.ledger.republish()
        await until(lambda: len(list(world.republished())) == 2, within=1)


async def test_pubsub_that_is_away_at_a_look_costs_one_back_off(world: LedgerWorld) -> None:
    async def away(call: str, _: bool) -> None:
        if call == "publish":
            raise BusUnavailable("away")

    async with world.replica().running() as replica:
        event_id = await world.place()
        await recorded(world, event_id)
        world.fault = away
        await world.clock.sleep(1.6 * HOUR)
        assert replica.metric("failures_total", part="republish") >= 2
        world.fault = no_fault
        await until(lambda: len(list(world.republished())) == 2, within=1.2 * HOUR)


async def test_many_that_the_receiver_refuses_do_not_hold_up_others(world: LedgerWorld) -> None:
    async with world.replica().running():
        bots = [f"{number:024x}" for number in range(1, 501)]
        refused = {await world.place(placed(bot)) for bot in bots}
        await until(lambda: len(world.requests.requests) == len(refused))

        async def gone(request: DeletionRequest) -> None:
            if request.id in refused:
                raise PermanentError("answered 410")

        world.called.failing = gone
        for event_id in refused:
            await world.done(event_id, "billing", "media")
        await until(lambda: len(world.announced.ids) == len(refused))
        event_id = await world.place()
        await recorded(world, event_id)
        await world.done(event_id, "billing", "media")
        await until(lambda: world.called.ids == [event_id], within=30)
        tries = world.called.tries
        await world.clock.sleep(2 * HOUR)
    assert world.called.tries - tries <= 10 * len(refused)  # and they are tried again, ever later


async def test_a_replica_whose_clock_is_wrong_does_nothing(world: LedgerWorld) -> None:
    """It would warn of what is not late, and at the deadline nobody would."""
    database = MemoryJobStore(VirtualClock().now)
    async with world.replica().running():
        await recorded(world, await world.place())
    before = dict(world.requests.requests)
    await world.place(placed("f" * 24))
    world.clock.set(by=timedelta(days=40))
    check = ClockCheck(database, world.clock, LeasePolicy(timedelta(minutes=5), max_attempts=5))
    async with world.replica(check=check).running() as replica:
        await world.clock.sleep(120)
        assert "off the database's" in str(replica.ledger.problem)
        assert world.requests.requests == before
        assert world.alerts.told == []
        assert not list(world.republished())
        world.clock.set(by=timedelta(days=-40))
        await until(lambda: len(world.requests.requests) == 2, within=70)
