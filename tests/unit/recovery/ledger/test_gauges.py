"""The gauges of requests: counted at a scrape, kept for a while, absent when there is nothing."""

from datetime import datetime, timedelta

import pytest
from prometheus_client import CollectorRegistry

from deletion.errors import StoreUnavailable
from deletion.ledger import RequestCensus
from deletion.request import Chore
from recovery.gauges import KEPT_SECONDS, ReadFailures
from recovery.ledger.gauges import DEADLINE, RECEIVED, WAITING, RequestGauges
from tests.support.clock import START, VirtualClock
from tests.support.factories import a_deletion_request
from tests.support.memory_requests import MemoryRequestStore

pytestmark = [pytest.mark.virtual_time, pytest.mark.usefixtures("logs")]

UNANNOUNCED, UNCALLED = WAITING[Chore.ANNOUNCE], WAITING[Chore.CALL]


class Away(MemoryRequestStore):
    """A store that may be down."""

    down = False

    async def census(self, now: datetime, limit: int) -> RequestCensus:
        if self.down:
            raise StoreUnavailable("the database is down")
        return await super().census(now, limit)


class World:
    def __init__(self, *, calls_back: bool = True) -> None:
        self.registry, self.clock, self.store = CollectorRegistry(), VirtualClock(), Away()
        failures = ReadFailures(self.registry)
        self.gauges = RequestGauges(
            self.registry, self.store, self.clock, failures, calls_back=calls_back
        )

    def value(self, name: str, **labels: str) -> float | None:
        return self.registry.get_sample_value(name, labels)

    def states(self) -> list[float | None]:
        kinds = ("unsettled", "near", "overdue", "missing")
        return [self.value("botdel_requests", state=state) for state in kinds]


async def test_they_say_how_many_requests_are_open_late_and_missing() -> None:
    world = World()
    now = world.clock.now()
    on_time = a_deletion_request("billing")
    near = a_deletion_request("billing", now=START - timedelta(days=25))
    late = a_deletion_request("billing", now=START - timedelta(days=31))
    missing = on_time.checked(now, missing=["billing"])
    await world.store.record([missing, near, late])
    await world.gauges.refresh()
    assert world.states() == [3, 2, 1, 1]
    assert world.value(RECEIVED) == late.received_at.timestamp()
    assert world.value(DEADLINE) == late.deadline.timestamp()


async def test_without_requests_there_is_no_oldest_one() -> None:
    world = World()
    await world.gauges.refresh()
    assert world.states() == [0, 0, 0, 0]
    times = [world.value(name) for name in (RECEIVED, DEADLINE, UNANNOUNCED, UNCALLED)]
    assert times == [None] * 4


@pytest.mark.parametrize("calls_back", [True, False])
async def test_the_oldest_that_waits_to_be_announced_or_called_back_is_shown(
    *, calls_back: bool
) -> None:
    world = World(calls_back=calls_back)
    settled = [
        a_deletion_request("media").completed("media", "a", START - timedelta(minutes=age))
        for age in (5, 90, 30)
    ]
    postponed = settled[1].postponed(Chore.ANNOUNCE, START + timedelta(hours=1))
    called = a_deletion_request("media").completed("media", "a", START - timedelta(minutes=7))
    await world.store.record([settled[0], postponed, settled[2], called.announced(START)])
    await world.gauges.refresh()
    assert world.value(UNANNOUNCED) == (START - timedelta(minutes=90)).timestamp()
    uncalled = (START - timedelta(minutes=7)).timestamp()
    assert world.value(UNCALLED) == (uncalled if calls_back else None)


async def test_while_they_cannot_be_read_they_are_absent_and_that_is_counted() -> None:
    world = World()
    await world.store.record([a_deletion_request("media")])
    await world.gauges.refresh()
    world.store.down = True
    await world.gauges.refresh()
    assert world.states()[0] == 1, "kept for a while"
    world.clock.pause(KEPT_SECONDS)
    await world.gauges.refresh()
    assert world.states() == [None] * 4
    assert world.value(RECEIVED) is None
    assert world.value("botdel_recovery_read_failures_total", of="requests") == 1
