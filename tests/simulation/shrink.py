"""Makes a schedule that breaks a rule as small as it can be while it still breaks one."""

import time
from collections.abc import Iterator
from dataclasses import replace

import pytest

from tests.simulation.schedule import Scenario, Schedule
from tests.simulation.simulation import Result, rerun


def shrunk(schedule: Schedule, within: float = 30.0) -> Schedule:
    """The smallest schedule that still breaks a rule, as far as `within` seconds suffice."""
    deadline = time.monotonic() + within
    smaller = _smaller(schedule)
    while time.monotonic() < deadline and (simpler := next(smaller, None)):
        if rerun(simpler).broken:
            schedule, smaller = simpler, _smaller(simpler)
    return schedule


def _smaller(schedule: Schedule) -> Iterator[Schedule]:
    """Every schedule that is one step simpler, the largest steps first."""
    decisions = schedule.decisions
    size = (len(decisions) + 1) // 2
    while size:
        for at in range(0, len(decisions), size):
            yield replace(schedule, decisions=decisions[:at] + decisions[at + size :])
        size //= 2
    yield from (replace(schedule, scenario=scenario) for scenario in _simpler(schedule.scenario))


def _simpler(scenario: Scenario) -> Iterator[Scenario]:
    plain = Scenario()
    extras = ("again", "duplicates", "twice", "poison", "cursed", "seconds", "gateway_skew", "saga")
    for name in extras:
        if getattr(scenario, name) != getattr(plain, name):
            yield replace(scenario, **{name: getattr(plain, name)})
    for name in ("services", "consumers", "recoveries", "bots"):
        if getattr(scenario, name) > 1:
            yield replace(scenario, **{name: getattr(scenario, name) - 1})


def described(schedule: Schedule) -> str:
    """The rules that a schedule breaks, and the schedule."""
    return "\n".join([*rerun(schedule).broken, schedule.dump()])


def check(result: Result) -> None:
    """Fail with the smallest schedule if a rule is broken."""
    if result.broken:
        pytest.fail(described(shrunk(result.schedule)), pytrace=False)
