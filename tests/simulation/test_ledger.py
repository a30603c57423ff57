"""A request is settled if and only if every service that owes it is, whatever happens."""

import pytest

from tests.simulation.ledger import LedgerSimulation

pytestmark = pytest.mark.virtual_time

SEEDS = range(8)


@pytest.mark.proves("ledger-if-and-only-if", "ledger-hides-nothing", "announced", "called-back")
@pytest.mark.parametrize("seed", SEEDS)
async def test_a_request_is_settled_if_and_only_if_every_service_is(seed: int) -> None:
    simulation = LedgerSimulation(seed)
    await simulation.run()
    assert simulation.placed


async def test_the_seeds_reach_what_they_are_for() -> None:
    simulation = LedgerSimulation(0)
    await simulation.run()
    assert simulation.crashes
    assert simulation.lost
    assert list(simulation.world.republished())
