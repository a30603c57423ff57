"""How far the model looks: which faults, and how many of them, in one life of a job."""

from dataclasses import replace
from datetime import timedelta

from tests.model.moves import Bounds
from tests.model.world import COARSE, FINE


def of(*kinds: str, faults: int, **more: object) -> Bounds:
    """Bounds with faults of these kinds only."""
    return Bounds(faults, frozenset(kinds), **more)  # type: ignore[arg-type]


SLEEPY = replace(COARSE, rest=timedelta(seconds=2), max_attempts=3)
"""Rests longer than it takes to be stale."""
ONCE = replace(COARSE, max_attempts=1)
"""The fewest attempts, where it is not they that count."""
SCOPES = {
    "one fault of any kind": Bounds(1),
    "killed, retried, old reads": of("kill", "retry", "old read", faults=2),
    "failed, retried, old reads": of("fail", "retry", "old read", faults=2),
    "stopped, failing, parked": of("stop", "failing", "park", faults=3),
    "slow and stopped": of("slow", "stop", faults=2, policy=ONCE),
    "slow and failed": of("slow", "fail", faults=2, policy=ONCE),
    "joined": Bounds(0, requests=2, writer=True),
    "joined, old reads": of("old read", faults=1, requests=2, writer=True, policy=ONCE),
    "joined three times": Bounds(0, requests=3, writer=True, policy=ONCE),
    "joined while stopped": of(
        "stop", "redelivery", faults=1, requests=2, writer=True, policy=ONCE
    ),
    "a job that is full": of("redelivery", faults=1, requests=2, writer=True, room=1),
    "a sweep ahead": of("kill", faults=1, policy=FINE, ahead=FINE.max_skew),
    "a saga of two steps": of("refuse", "kill", faults=2, policy=ONCE, saga=2),
    "a saga retried": of("refuse", "kill", "retry", faults=2, policy=ONCE, saga=1),
    "a saga stopped": of("refuse", "stop", "park", faults=2, policy=ONCE, saga=1),
    "a saga, old reads": of("refuse", "kill", "old read", faults=2, policy=ONCE, saga=1),
    "a saga joined": of("refuse", faults=1, requests=2, policy=ONCE, saga=1),
    "a saga whose answers are late": of("slow", faults=1, policy=ONCE, saga=1),
}
"""Within these every world is visited."""
DEEPER = {
    "killed, retried, old reads": of("kill", "retry", "old read", faults=3),
    "failed, retried, old reads": of("fail", "retry", "old read", faults=3),
    "slow and stopped": of("slow", "stop", "fail", faults=3),
    "joined while slow": of("slow", "stop", "kill", faults=1, requests=2, writer=True),
    "a sweep ahead": of("kill", "fail", "old read", faults=1, policy=FINE, ahead=FINE.max_skew),
    "a saga": Bounds(1, saga=2),
    "a saga retried": of("refuse", "kill", "retry", faults=3, policy=ONCE, saga=2),
    "a saga stopped": of("refuse", "stop", "park", "fail", faults=2, saga=1),
    "a saga joined": of("refuse", "retry", faults=2, requests=2, policy=ONCE, saga=1),
    "a saga whose answers are late": of("slow", "refuse", "stop", faults=2, saga=1),
}
"""The same for minutes: `python -m tests.model`."""
