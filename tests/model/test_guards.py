"""Without any one of the guards a counterexample is found, unless another guard does the same."""

import pytest

from deletion.job import HOLDER, RULES
from tests.model import world
from tests.model.bounds import ONCE, SCOPES, of
from tests.model.counterexamples import JOINING, assert_found, without_guard
from tests.model.explore import explore

BEATS = of("old read", faults=1)
STRAYS = of("late", "terminate", "fail", faults=2)
RETRIED = of("late", "retry", "fail", "terminate", "park", faults=3, policy=ONCE)
"""A run is paused at its end while an operator's retry gives the job all its attempts again."""
SAGA = of("late", "refuse", "retry", faults=3, policy=ONCE, saga=1)
UNIQUE = "claimedBy is unique to each claim, and so tells an attempt from every other one"
VERSION = "lastModifiedAt grows with every write: it alone tells one state of a job from another"
LEFT_ONCE = "a claim leaves each status that can be claimed at most once before the next claim"
ROLLBACK = of("late", "refuse", faults=2, saga=1)
OUTSIDERS = ("claim", "resume", "roll_back_spent", "exhaust", "retry")
FOUND = {
    **{(rule, "status"): STRAYS for rule in ("complete", "fail", "hand_over")},
    ("park", "status"): of("late", "park", faults=2),
    **{(rule, "status"): ROLLBACK for rule in ("roll_back", "compensate")},
    ("complete", "claimed_by"): STRAYS,
    **{(rule, "claimed_by"): RETRIED for rule in sorted(world.RELEASES - {"roll_back"})},
    **{(rule, "claimed_by"): SAGA for rule in ("roll_back", "compensate")},
    ("checkpoint", "last_modified_at"): of("late", faults=1, policy=ONCE, saga=1),
    ("roll_back_spent", "last_modified_at"): of("old read", "kill", faults=2, policy=ONCE, saga=1),
    ("complete", "placed_at"): JOINING,
    ("resume", "last_modified_at"): BEATS,
    ("retry", "last_modified_at"): of("old read", "retry", faults=2),
    ("exhaust", "last_modified_at"): of("old read", "kill", faults=2),
}
"""Guarded fields, and bounds within which the lack of each is found."""
REDUNDANT = {
    **{(rule, "attempt"): UNIQUE for rule in sorted(world.HOLDERS - {"checkpoint"})},
    **{(rule, name): VERSION for rule in (*OUTSIDERS, "checkpoint") for name in HOLDER},
    ("claim", "last_modified_at"): LEFT_ONCE,
}
"""Guarded fields that are redundant beside the others, and why: a second lock on the door."""


def test_each_field_of_each_guard_is_accounted_for() -> None:
    guarded = {(rule, name) for rule in RULES for name in RULES[rule].guard}
    assert guarded == FOUND.keys() | REDUNDANT.keys()
    assert not FOUND.keys() & REDUNDANT.keys()


@pytest.mark.proves("every-order")
@pytest.mark.parametrize(("rule", "name"), FOUND, ids="-".join)
def test_a_guard_that_is_missing_is_found(
    rule: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_guard(monkeypatch, rule, name)
    assert_found(explore(FOUND[rule, name]))


@pytest.mark.parametrize(
    "scope",
    [
        "killed, retried, old reads",
        "terminated, failing, parked",
        "late and terminated",
        "a saga whose answers are late",
    ],
)
def test_redundant_guards_can_all_be_missed_at_once(
    scope: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Except `lastModifiedAt` of a claim, which is redundant only beside `claimedBy`."""
    for rule, name in REDUNDANT:
        if name != "last_modified_at":
            without_guard(monkeypatch, rule, name)
    explored = explore(SCOPES[scope])
    assert not explored.broken, str(explored)


def test_last_modified_at_is_redundant_in_a_claim(monkeypatch: pytest.MonkeyPatch) -> None:
    without_guard(monkeypatch, "claim", "last_modified_at")
    explored = explore(of("terminate", "park", "old read", faults=2, policy=ONCE))
    assert not explored.broken, str(explored)
