"""The life cycle holds for steps that pause, too: one batch at a time, however a batch ends."""

import pytest

from deletion.pace import Pace
from deletion.plan import Plan, Step
from tests.simulation.shrink import check
from tests.simulation.simulation import NEVER_AWAITED, explore

pytestmark = pytest.mark.filterwarnings(f"ignore:{NEVER_AWAITED}:RuntimeWarning")

SEEDS = range(25)


@pytest.mark.parametrize("share", [0.5, 0.05])
def test_no_schedule_of_paced_steps_breaks_a_rule(
    share: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    paced: list[str] = []

    def plan(service: str, *steps: Step) -> Plan:
        paced.append(service)
        return Plan(service, steps, paces={step.name: Pace(busy_share=share) for step in steps})

    monkeypatch.setattr("tests.simulation.world.unpaced", plan)
    for seed in SEEDS:
        check(explore(seed))
    assert len(paced) >= len(SEEDS)
