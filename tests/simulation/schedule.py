"""The schedule: what goes wrong, and at which await. The same schedule always runs the same way."""

import json
import random
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path

KILLS, RAISES = "kills", "raises"


class Action(StrEnum):
    """What happens at one await of one process."""

    DELAY = "delay"  # the call takes effect `seconds` later
    LATE = "late"  # it takes effect, and its answer comes `seconds` later
    OUTAGE = "outage"  # it fails without any effect
    LOSE_ANSWER = "lose_answer"  # it takes effect and fails
    STRAY = "stray"  # it fails, and takes effect `seconds` later
    BREAK = "break"  # it raises what nobody expects
    KILL = "kill"  # SIGKILL before the call
    KILL_AFTER = "kill_after"  # SIGKILL between its effect and its answer
    TERMINATE = "terminate"  # SIGTERM
    PAUSE = "pause"  # SIGSTOP, and SIGCONT `seconds` later
    REFUSE = "refuse"  # a step's call takes effect, and is refused for good all the same
    PARK = "park"  # a step's call is not made: its API must not be called for `seconds`
    SKEW = "skew"  # the clock of the process jumps by `seconds`
    DUPLICATE = "duplicate"  # every message under way is delivered once more
    SWEEP = "sweep"  # every recovery process is asked for a sweep at once
    RETRY = "retry"  # an operator sends a job on
    REPLAY = "replay"  # an operator replays every new dead letter
    REQUEST = "request"  # a client deletes a bot again that has new data


@dataclass(frozen=True, slots=True)
class Decision:
    """What happens at the `nth` time that `process` makes `call`, over all its restarts.

    And at the next ones too, `times` in all.
    """

    process: str
    call: str
    nth: int
    action: Action
    seconds: float = 0.0
    times: int = 1


@dataclass(frozen=True, slots=True)
class Scenario:
    """The installation and its traffic. Counts of processes are per service."""

    services: int = 1
    consumers: int = 2
    recoveries: int = 1
    bots: int = 2
    again: int = 0  # requests for bots that were requested before
    duplicates: int = 0  # events that are published twice
    twice: float = 0.0  # the share of deliveries that come twice at once
    sweep_every: float = 45.0  # seconds
    slots: int = 3  # runs of one consumer at a time
    poison: int = 0  # messages that are no event
    cursed: str = ""  # deleting the first bot KILLS the process or RAISES, each time
    cursed_step: str = ""  # in this step, or this "undo ..." alone; without any, in each table
    saga: bool = False  # two switches are turned off before a point of no return
    seconds: float = 0.0  # that each batch takes
    max_attempts: int = 3
    max_deliveries: int = 5  # Pub/Sub allows no less, but less is spent sooner
    gateway_skew: float = 0.0  # seconds by which the clocks of gateways are off, either way


@dataclass(frozen=True, slots=True)
class Schedule:
    """All that a run depends on: the seed gives latencies, jitter and the order of deliveries."""

    seed: int
    scenario: Scenario
    decisions: tuple[Decision, ...] = ()

    def dump(self) -> str:
        """As JSON, a decision a line."""
        lines = ",\n    ".join(json.dumps(asdict(decision)) for decision in self.decisions)
        scenario = json.dumps(asdict(self.scenario))
        return (
            f'{{\n  "seed": {self.seed},\n  "scenario": {scenario},\n'
            f'  "decisions": [\n    {lines}\n  ]\n}}\n'
        )

    @classmethod
    def load(cls, path: Path) -> "Schedule":
        """The schedule that was kept in that file."""
        fields = json.loads(path.read_text())
        decisions = (Decision(**(d | {"action": Action(d["action"])})) for d in fields["decisions"])
        return cls(fields["seed"], Scenario(**fields["scenario"]), tuple(decisions))


GATEWAY = "gateway"
CLOCK = "clock.sleep"
POLLS = (CLOCK, "store.due")
"""What a process does when there is nothing to do."""

Await = tuple[str, str, int]
"""Process, call, and how many times it has made that call, this one included."""
Decide = Callable[[str, str, int], Decision | None]
"""Asked at each await."""


class Scripted:
    """Makes the decisions that it is given, and no other."""

    def __init__(self, decisions: Iterable[Decision] = ()) -> None:
        self._decisions: dict[Await, Decision] = {}
        for decision in decisions:
            self.add(decision)

    def add(self, decision: Decision) -> None:
        """Add a decision; of two for the same await the later one counts."""
        for nth in range(decision.nth, decision.nth + decision.times):
            self._decisions[decision.process, decision.call, nth] = decision

    def __call__(self, process: str, call: str, nth: int) -> Decision | None:
        """See `Decide`."""
        return self._decisions.get((process, call, nth))


def rng(*name: object) -> random.Random:
    """A source of numbers that is the same for the same name."""
    return random.Random(" ".join(map(str, name)))  # noqa: S311 - to be repeated, not secret
