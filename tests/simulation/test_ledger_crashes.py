"""The ledger dies at every await of its ports in turn, and its successor loses nothing."""

import asyncio
import random
from collections.abc import Callable
from datetime import timedelta

import pytest
from structlog.testing import capture_logs

from deletion.errors import StoreUnavailable
from deletion.request import LedgerPolicy
from tests.simulation.ledger import EVERY
from tests.support.ledger_world import LedgerWorld, no_fault

pytestmark = pytest.mark.virtual_time

HOUR = 3600.0
POLICY = LedgerPolicy(deadline=timedelta(days=30), missing_after=timedelta(minutes=2))
POINTS = range(100)
"""Before and after each call of a port, in the order in which they are made."""


async def eventually(world: LedgerWorld, condition: Callable[[], bool]) -> None:
    """Look every few seconds of virtual time, for hours."""
    latest = world.clock.monotonic() + 6 * HOUR
    while not condition():
        assert world.clock.monotonic() < latest
        await world.clock.sleep(5)


class Scenario:
    """Two requests: one is done by both services, the other one gets no further than `billing`."""

    def __init__(self, point: int) -> None:
        self.world = LedgerWorld("billing", "media", policy=POLICY)
        self.point = point
        self.passed = 0
        self.first: asyncio.Task[None] | None = None

    async def at_the_point(self, call: str, is_done: bool) -> None:
        """Die there, with everything that is under way."""
        self.passed += 1
        if self.passed - 1 == self.point and self.first:
            self.first.cancel()
            await asyncio.Event().wait()

    async def run(self) -> None:
        with capture_logs():
            await self._run()

    async def _run(self) -> None:
        world = self.world
        await world.register()
        world.fault = self.at_the_point
        first = world.replica(every=EVERY)
        self.first = asyncio.create_task(first.ledger.run(first.stopping))
        others = asyncio.create_task(self._services())
        await asyncio.wait({self.first}, timeout=HOUR / 2)
        has_died = self.first.done()
        self.first.cancel()
        world.fault = no_fault
        async with world.replica(every=EVERY).running():
            await others
            await eventually(world, lambda: len(set(world.called.ids)) == 2)
        assert has_died, "there are fewer points than this"

    async def _services(self) -> None:
        """The consumers: `media` loses the second request, until it is published again."""
        world, known = self.world, self.world.requests.requests
        done, lost = await world.place(), await world.place()
        await eventually(world, lambda: {done, lost} <= set(known))
        await world.done(done, "billing", "media")
        await world.done(lost, "billing")
        await eventually(world, lambda: (lost, "media") in set(world.republished()))
        assert known[lost].settled_at is None
        await world.done(lost, "media")


@pytest.mark.proves("ledger-if-and-only-if", "announced", "publish-after-claim")
@pytest.mark.parametrize("point", POINTS)
async def test_whenever_it_dies_its_successor_settles_announces_and_calls(point: int) -> None:
    scenario = Scenario(point)
    await scenario.run()
    world = scenario.world
    assert set(world.announced.ids) == set(world.requests.requests)
    assert all(each.settled_at and not each.chores for each in world.requests.requests.values())


async def test_errors_at_any_call_are_survived() -> None:
    """One in four calls fails, before or after its effect."""
    world, rng = LedgerWorld("billing", "media", policy=POLICY), random.Random(1)  # noqa: S311

    async def failing(call: str, is_done: bool) -> None:
        if rng.random() < 1 / 8:
            raise StoreUnavailable(f"{call} failed")

    await world.register()
    world.fault = failing
    with capture_logs():
        async with world.replica(every=EVERY).running():
            event_id = await world.place()
            await eventually(world, lambda: event_id in world.requests.requests)
            await world.done(event_id, "billing", "media")
            await eventually(world, lambda: event_id in world.called.ids)
