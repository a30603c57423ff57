"""The schedule: what breaks, and when. One seed decides all of it before anything starts."""

import random
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from tests.faults.data import SERVICES

CONSUMERS: Final = tuple(f"{service}-{n}" for service in SERVICES for n in (1, 2))
GATEWAY, RECOVERY = "gateway", "recovery"
PROCESSES: Final = (GATEWAY, RECOVERY, *CONSUMERS)
BROKER, DATABASE = "broker", "database"
SERVERS: Final = (BROKER, DATABASE)
TOPIC = "topic"

STALE_AFTER: Final = 5.0
"""Seconds; far below the product's 600, so that jobs of silent runs are often resumed."""
MAX_SKEW: Final = 1.0
"""Seconds by which a consumer's clock is off at most. Two such clocks differ by 2 s: with the time
between two heartbeats that is still less than STALE_AFTER."""


class Kind(StrEnum):
    """What breaks."""

    KILL = "kill"  # SIGKILL; it is started again after a while
    TERMINATE = "terminate"  # SIGTERM; likewise
    PAUSE = "pause"  # SIGSTOP, and SIGCONT after a while
    CUT = "cut"  # every connection to a server is reset
    DELAY = "delay"  # requests to a server and its answers take longer
    LOSE_ANSWER = "lose_answer"  # requests to a server take effect, and no answer arrives
    OUTAGE = "outage"  # every connection to a server is refused
    DUPLICATE = "duplicate"  # events are delivered again, in another order
    POISON = "poison"  # messages that can never be handled


@dataclass(frozen=True, slots=True)
class Fault:
    """`kind` happens to `target`, not before `at`, and lasts for `seconds`.

    A consumer that is started again gets a clock that is off by `skew` seconds.
    """

    at: float
    kind: Kind
    target: str
    seconds: float
    skew: float

    def __str__(self) -> str:
        told = f"{self.kind} {self.target}" + (f" for {self.seconds:.1f} s" * bool(self.seconds))
        is_started_again = self.kind in (Kind.KILL, Kind.TERMINATE) and self.target in CONSUMERS
        return told + f", then {self.skew:+.2f} s off" * is_started_again


@dataclass(frozen=True, slots=True)
class Schedule:
    """`skews` are those the consumers begin with."""

    seed: int
    skews: Mapping[str, float]
    faults: tuple[Fault, ...]


@dataclass(frozen=True, slots=True)
class _Row:
    """A kind of fault, its targets, the range of seconds that it lasts, and its weight."""

    kind: Kind
    targets: tuple[str, ...]
    lasts: tuple[float, float]
    weight: float


_ROWS: Final = (
    _Row(Kind.KILL, CONSUMERS, (0, 3), 6),
    _Row(Kind.KILL, (GATEWAY, RECOVERY), (0, 3), 2),
    _Row(Kind.KILL, (BROKER,), (0, 3), 0.5),  # rare: it waits until nothing is outstanding
    _Row(Kind.KILL, (DATABASE,), (0, 5), 2),
    _Row(Kind.TERMINATE, PROCESSES, (0, 3), 5),
    _Row(Kind.PAUSE, CONSUMERS, (1.5 * STALE_AFTER, 2.5 * STALE_AFTER), 4),  # it loses its jobs
    _Row(Kind.PAUSE, (*PROCESSES, *SERVERS), (0.2, 3), 4),
    _Row(Kind.CUT, SERVERS, (0, 0), 4),
    _Row(Kind.DELAY, SERVERS, (2, 6), 2),
    _Row(Kind.LOSE_ANSWER, SERVERS, (0.5, 3), 3),
    _Row(Kind.OUTAGE, SERVERS, (0.5, 4), 2),
    _Row(Kind.DUPLICATE, (TOPIC,), (0, 0), 3),
    _Row(Kind.POISON, (TOPIC,), (0, 0), 2),
)
_LONG_OUTAGE: Final = _Row(Kind.OUTAGE, (DATABASE,), (16, 20), 1)
"""Longer than intake keeps an event that it cannot record. Not every schedule has one."""


def schedule(seed: int, seconds: float, count: int) -> Schedule:
    """`count` faults within `seconds`, in random order, with every kind among them."""
    rng = random.Random(seed)  # noqa: S311
    drawn = (*_ROWS, _LONG_OUTAGE)
    rows = [*_ROWS]
    rows += rng.choices(drawn, [row.weight for row in drawn], k=max(0, count - len(rows)))
    rng.shuffle(rows)
    times = sorted(rng.uniform(0, seconds) for _ in rows)
    return Schedule(
        seed,
        {consumer: _skew(rng) for consumer in CONSUMERS},
        tuple(
            Fault(at, row.kind, rng.choice(row.targets), rng.uniform(*row.lasts), _skew(rng))
            for at, row in zip(times, rows, strict=True)
        ),
    )


def _skew(rng: random.Random) -> float:
    return rng.uniform(-MAX_SKEW, MAX_SKEW)
