"""How tests weaken a rule, and require that the model finds a counterexample."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from deletion.job import RULES
from tests.model.explore import Explored
from tests.model.moves import Bounds

Patch = Callable[[pytest.MonkeyPatch], None]
JOINING = Bounds(0, requests=2, writer=True)


def without_guard(monkeypatch: pytest.MonkeyPatch, rule: str, *names: str) -> None:
    """Remove fields from the guard of a rule."""
    guard = tuple(name for name in RULES[rule].guard if name not in names)
    monkeypatch.setitem(RULES, rule, replace(RULES[rule], guard=guard))


def assert_found(explored: Explored, *, starting: str = "") -> None:
    """Assert that there is a counterexample, to the invariant whose line begins with `starting`."""
    print(explored)
    assert explored.broken.startswith(starting), str(explored)
    assert explored.trace, str(explored)
