"""The life cycle holds under whatever a schedule brings; a failure says how to repeat it."""

import secrets
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from deletion.job import Job, Status
from tests.simulation.chaos import drawn
from tests.simulation.corpus import kept
from tests.simulation.schedule import GATEWAY, Action, Decision, Scenario, Schedule
from tests.simulation.shrink import check, shrunk
from tests.simulation.simulation import NEVER_AWAITED, Result, awaits, explore, rerun

pytestmark = pytest.mark.filterwarnings(f"ignore:{NEVER_AWAITED}:RuntimeWarning")

SEEDS = range(150)
FRESH_SECONDS = 4.0
PAST_STALE = 65.0
SMALL = Schedule(1, Scenario(bots=1, again=1, poison=1))
"""Two consumers, one bot that is asked for twice, and a poison message."""
REFUSED = Decision("conversations-1", "step.delete", 2, Action.REFUSE)
"""The first call of the second switch."""
ROLLED_BACK = Schedule(1, Scenario(bots=1, consumers=1, saga=True), (REFUSED,))
WAYS = ("forward", "in a rollback")
TURNS = {
    *("begun", "past the point", "rolled back by its run", "rolled back by a sweep"),
    *(f"{what} {way}" for way in WAYS for what in ("claimed", "parked", "pending")),
    *(f"{what} {way}" for way in WAYS for what in ("failed", "handed over")),
    *("complete forward", "exhausted forward"),
    *(f"{what} in a rollback" for what in ("compensated", "exhausted", "joined")),
    "started anew",
}
"""What `tests.simulation.saga.turns` tells."""


@pytest.fixture(scope="module")
def fixed() -> list[Result]:
    """What became of the fixed seeds."""
    return [explore(seed) for seed in SEEDS]


@pytest.mark.proves(
    "crash-between",
    "record-before-ack",
    "duplicates",
    "join",
    "one-holder",
    "transitions",
    "nothing-left",
    "nobody-else",
    "resume",
    "one-sweep",
    "exhausted-stays",
    "deadly-deletion",
    "saga-ends",
    "quarantine",
    "given-up-by-pubsub",
    "one-letter",
    "whatever-breaks",
)
def test_no_schedule_of_the_fixed_seeds_breaks_a_rule(fixed: list[Result]) -> None:
    for result in fixed:
        check(result)


@pytest.mark.proves("whatever-breaks")
def test_no_schedule_of_seeds_never_tried_before_breaks_a_rule() -> None:
    until = time.monotonic() + FRESH_SECONDS
    while time.monotonic() < until:
        check(explore(secrets.randbits(32)))


@pytest.mark.proves("late-checkpoint", "whatever-breaks")
@pytest.mark.parametrize("path", kept(), ids=lambda path: path.stem)
def test_a_schedule_that_broke_a_rule_once_breaks_none_any_more(path: Path) -> None:
    check(rerun(Schedule.load(path)))


@pytest.mark.proves(
    "crash-between",
    "record-before-ack",
    "lost-answer",
    "hand-over",
    "servers-away",
    "whatever-breaks",
)
@pytest.mark.parametrize(
    "action",
    [
        Action.KILL,
        Action.KILL_AFTER,
        Action.TERMINATE,
        Action.PAUSE,
        Action.DELAY,
        Action.LATE,
        Action.OUTAGE,
        Action.LOSE_ANSWER,
    ],
)
def test_it_may_happen_at_any_await(action: Action) -> None:
    """Kills, SIGTERM, outages, and silence for longer than the stale threshold."""
    everywhere = [at for at in awaits(SMALL) if at[0] != GATEWAY]
    assert len(everywhere) > 40
    for process, call, nth in everywhere:
        decision = Decision(process, call, nth, action, PAST_STALE)
        check(rerun(Schedule(SMALL.seed, SMALL.scenario, (decision,))))


@pytest.mark.proves("saga-ends")
@pytest.mark.parametrize(
    "action",
    [Action.KILL_AFTER, Action.TERMINATE, Action.PAUSE],
)
def test_it_may_happen_at_any_await_of_a_saga_that_is_rolled_back(action: Action) -> None:
    assert rerun(ROLLED_BACK).jobs == {"compensated": 1}
    everywhere = [at for at in awaits(ROLLED_BACK) if at[0] != GATEWAY]
    assert sum(call.startswith("step.undo.") for _, call, _ in everywhere) >= 4
    for process, call, nth in everywhere:
        decision = Decision(process, call, nth, action, PAST_STALE)
        check(rerun(replace(ROLLED_BACK, decisions=(*ROLLED_BACK.decisions, decision))))


def test_everything_that_can_happen_to_a_saga_happens_to_one(fixed: list[Result]) -> None:
    """In the fixed seeds, or where it is made to happen: so what the rules say is said of it."""
    seen: Counter[str] = Counter()
    for result in fixed:
        seen.update(result.turns)
    for call, action in (("delete", "park"), ("undo.delete", "park"), ("undo.delete", "terminate")):
        decision = Decision("conversations-1", f"step.{call}", 1, Action(action), PAST_STALE)
        seen.update(rerun(replace(ROLLED_BACK, decisions=(*ROLLED_BACK.decisions, decision))).turns)
    assert seen.keys() >= TURNS, TURNS - seen.keys()


def test_a_rule_that_is_gone_is_found_and_its_schedule_is_made_small(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Without the look at the heartbeat, whoever comes by takes a job from its run."""
    unended = (Status.FAILED, Status.IN_PROGRESS)
    monkeypatch.setattr(Job, "needs_sweep", lambda job, *_: job.status in unended)
    found = next(result for seed in SEEDS if (result := explore(seed)).broken)
    smallest = shrunk(found.schedule)
    assert rerun(smallest).broken
    assert len(smallest.decisions) <= 2


def test_without_a_fault_every_job_completes_at_its_first_attempt() -> None:
    for seed in range(20):
        scenario, _ = drawn(seed)
        if not scenario.cursed:
            assert set(rerun(Schedule(seed, scenario)).jobs) == {"complete"}


def test_a_run_repeats_itself_to_the_microsecond() -> None:
    for seed in range(10):
        first, second = explore(seed), explore(seed)
        assert first == second
        assert rerun(first.schedule) == first


def test_a_schedule_is_read_back_as_it_was_written(tmp_path: Path) -> None:
    schedule = explore(7).schedule
    path = tmp_path / "schedule.json"
    path.write_text(schedule.dump())
    assert Schedule.load(path) == schedule
