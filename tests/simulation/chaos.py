"""Schedules drawn from a seed."""

import random
from collections.abc import Collection

from tests.simulation.saga import BEFORE
from tests.simulation.schedule import (
    CLOCK,
    GATEWAY,
    KILLS,
    POLLS,
    RAISES,
    Action,
    Decision,
    Scenario,
    Scripted,
    rng,
)

ANYWHERE = {
    Action.KILL: 6,
    Action.KILL_AFTER: 6,
    Action.TERMINATE: 3,
    Action.PAUSE: 4,
    Action.LATE: 3,
    Action.SKEW: 1,
    Action.DUPLICATE: 2,
    Action.SWEEP: 2,
    Action.RETRY: 1,
    Action.REPLAY: 1,
    Action.REQUEST: 2,
}
"""The weight with which each is drawn."""
OVER_A_WIRE = {Action.DELAY: 4, Action.OUTAGE: 4, Action.LOSE_ANSWER: 4}
DURATIONS = (0.05, 1.0, 5.0, 20.0, 65.0, 130.0)
"""Seconds: from far below the stale threshold and the ack deadline to far above them."""
SKEWS = (-90.0, -5.0, -0.5, 0.5, 5.0, 90.0)
LASTING = (Action.OUTAGE, Action.LOSE_ANSWER, Action.BREAK, Action.REFUSE)
TIMES = (1, 1, 1, 3, 10)
"""How many calls in a row a lasting fault hits; several are an outage."""
DEPLOYMENTS = {Action.TERMINATE, Action.DUPLICATE, Action.SWEEP, Action.REQUEST}
"""What a deployment brings. None of it may cost a job an attempt."""
HAND_OVERS = {Action.TERMINATE, Action.LOSE_ANSWER, Action.SWEEP, Action.DUPLICATE}
"""A run hands its job over, and repeats that write because its answer was lost; another run has
claimed the job meanwhile."""
ROLLBACK = {
    *(Action.REFUSE, Action.PARK, Action.KILL, Action.KILL_AFTER, Action.TERMINATE),
    *(Action.PAUSE, Action.REQUEST, Action.RETRY),
}
"""What starts the rollback of a saga, and what may happen during it."""
WHILE_POLLING = 0.3
"""The rate of faults at polls, as a factor: a process that polls has nothing to do."""
OF_STEPS = 3.0
"""The rate of faults at calls of a step, as a factor."""
HOT_AWAITS, HOT_RATE = 10, 0.2
"""Faults come together: for `HOT_AWAITS` awaits after each one, the rate is `HOT_RATE`."""


class Chaos:
    """Draws decisions at a share (`rate`) of the awaits, `most` at the most, and records them.

    It draws from some `kinds` only. A defect that needs several faults of one kind is found sooner
    than with all kinds mixed (Groce et al., Swarm Testing, ISSTA 2012).
    """

    def __init__(
        self, rng: random.Random, kinds: Collection[Action], *, rate: float, most: int
    ) -> None:
        self._rng = rng
        self._of = kinds
        self._rate = rate
        self._most = most
        self._hot = 0
        self._lasting = Scripted()
        self.made: list[Decision] = []

    def __call__(self, process: str, call: str, nth: int) -> Decision | None:
        """See `tests.simulation.schedule.Decide`."""
        if lasting := self._lasting(process, call, nth):
            return lasting
        self._hot -= 1
        rate = HOT_RATE if self._hot > 0 else self._rate
        rate *= WHILE_POLLING if call in POLLS else OF_STEPS if call.startswith("step.") else 1
        if self._rng.random() >= rate or len(self.made) >= self._most:
            return None
        kinds = {kind: n for kind, n in _kinds(process, call).items() if kind in self._of}
        return self._drawn(process, call, nth, kinds) if kinds else None

    def _drawn(self, process: str, call: str, nth: int, kinds: dict[Action, int]) -> Decision:
        self._hot = HOT_AWAITS
        (action,) = self._rng.choices(list(kinds), list(kinds.values()))
        seconds = self._rng.choice(SKEWS if action is Action.SKEW else DURATIONS)
        times = self._rng.choice(TIMES) if action in LASTING else 1
        decision = Decision(process, call, nth, action, seconds, times)
        self.made.append(decision)
        self._lasting.add(decision)
        return decision


def _kinds(process: str, call: str) -> dict[Action, int]:
    if process == GATEWAY:  # it only publishes here, and has tests of its own
        return OVER_A_WIRE | {Action.LATE: 3}
    if call == CLOCK:
        return ANYWHERE
    if call.startswith("step."):
        of_step = {Action.BREAK: 3, Action.REFUSE: 8, Action.PARK: 4}
        return ANYWHERE | OVER_A_WIRE | of_step
    if call == "store.apply":
        return ANYWHERE | OVER_A_WIRE | {Action.BREAK: 3, Action.STRAY: 6}
    if call.startswith("store."):
        return ANYWHERE | OVER_A_WIRE | {Action.BREAK: 3}
    return ANYWHERE | OVER_A_WIRE


def drawn(seed: int) -> tuple[Scenario, Chaos]:
    """The scenario of a seed, and the source of its decisions."""
    draw = rng("scenario", seed)
    scenario = Scenario(
        services=draw.choice((1, 1, 1, 2)),
        consumers=draw.choice((1, 2, 2, 3)),
        recoveries=draw.choice((1, 1, 2)),
        bots=draw.choice((1, 2, 2, 3)),
        again=draw.choice((0, 0, 1, 2)),
        duplicates=draw.choice((0, 0, 1)),
        twice=draw.choice((0.0, 0.0, 0.3)),
        sweep_every=draw.choice((10.0, 20.0, 45.0, 200.0)),
        poison=draw.choice((0, 0, 1)),
        cursed=draw.choice((*[""] * 8, KILLS, RAISES)),
        seconds=draw.choice((*[0.0] * 6, 3.0, 20.0, 80.0)),
        max_attempts=draw.choice((1, 2, 3, 3, 5)),
        max_deliveries=draw.choice((1, 2, 5, 5)),
        gateway_skew=draw.choice((0.0, 0.0, 1.0, 30.0)),
        saga=(saga := draw.choice((False, True))),
        cursed_step=draw.choice(("", *BEFORE, f"undo {BEFORE[0]}")) if saga else "",
    )
    share = draw.choice((0.2, 0.5, 0.8))
    swarm = {action for action in Action if draw.random() < share}
    kinds = draw.choice((swarm, swarm, swarm, swarm, DEPLOYMENTS, HAND_OVERS, ROLLBACK))
    rate, most = draw.choice((0.01, 0.03, 0.1)), draw.randint(1, 12)
    chaos = Chaos(rng("chaos", seed), kinds, rate=rate, most=most)
    return scenario, chaos
