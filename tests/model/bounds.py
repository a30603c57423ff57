"""The bounds of the model: which faults, and how many, in one life of a job."""

from dataclasses import replace
from datetime import timedelta

from tests.model.moves import Bounds
from tests.model.world import COARSE, FINE


def of(*kinds: str, faults: int, **more: object) -> Bounds:
    """Bounds with faults of these kinds only."""
    return Bounds(faults, frozenset(kinds), **more)  # type: ignore[arg-type]


SLEEPY = replace(COARSE, rest=timedelta(seconds=2), max_attempts=3)
"""Rests are longer than the stale threshold."""
ONCE = replace(COARSE, max_attempts=1)
"""One attempt: far fewer worlds, for scopes in which the number makes no difference."""
SCOPES = {
    "one fault of any kind": Bounds(1),
    "killed, retried, old reads": of("kill", "retry", "old read", faults=2),
    "failed, retried, old reads": of("fail", "retry", "old read", faults=2),
    "terminated, failing, parked": of("terminate", "failing", "park", faults=3),
    "late and terminated": of("late", "terminate", faults=2, policy=ONCE),
    "late and failed": of("late", "fail", faults=2, policy=ONCE),
    "joined": Bounds(0, requests=2, writer=True),
    "joined, old reads": of("old read", faults=1, requests=2, writer=True, policy=ONCE),
    "joined three times": Bounds(0, requests=3, writer=True, policy=ONCE),
    "joined while terminated": of(
        "terminate", "duplicate", faults=1, requests=2, writer=True, policy=ONCE
    ),
    "a job that is full": of("duplicate", faults=1, requests=2, writer=True, room=1),
    "a sweep ahead": of("kill", faults=1, policy=FINE, ahead=FINE.max_skew),
    "a saga of two steps": of("refuse", "kill", faults=2, policy=ONCE, saga=2),
    "a saga retried": of("refuse", "kill", "retry", faults=2, policy=ONCE, saga=1),
    "a saga terminated": of("refuse", "terminate", "park", faults=2, policy=ONCE, saga=1),
    "a saga, old reads": of("refuse", "kill", "old read", faults=2, policy=ONCE, saga=1),
    "a saga joined": of("refuse", faults=1, requests=2, policy=ONCE, saga=1),
    "a saga whose answers are late": of("late", faults=1, policy=ONCE, saga=1),
}
"""The tests visit every world within each of these bounds."""
DEEPER = {
    "killed, retried, old reads": of("kill", "retry", "old read", faults=3),
    "failed, retried, old reads": of("fail", "retry", "old read", faults=3),
    "late and terminated": of("late", "terminate", "fail", faults=3),
    "joined while late": of("late", "terminate", "kill", faults=1, requests=2, writer=True),
    "a sweep ahead": of("kill", "fail", "old read", faults=1, policy=FINE, ahead=FINE.max_skew),
    "a saga": Bounds(1, saga=2),
    "a saga retried": of("refuse", "kill", "retry", faults=3, policy=ONCE, saga=2),
    "a saga terminated": of("refuse", "terminate", "park", "fail", faults=2, saga=1),
    "a saga joined": of("refuse", "retry", faults=2, requests=2, policy=ONCE, saga=1),
    "a saga whose answers are late": of("late", "refuse", "terminate", faults=2, saga=1),
}
"""Wider bounds: `python -m tests.model` takes some minutes."""
