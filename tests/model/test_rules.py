"""Each rule taken away or made wrong: a counterexample is found."""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from deletion.job import RULES, Change, Job, LeasePolicy, Status, StepProgress, StepStatus
from deletion.job import transitions as rules
from tests.model import moves, world
from tests.model.bounds import ONCE, SCOPES, SLEEPY, of
from tests.model.counterexamples import JOINING, Patch, assert_found, without_guard
from tests.model.explore import explore
from tests.model.moves import Bounds
from tests.model.world import FINE


def claims_without_due(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Job, "is_due", lambda job, now: True)


def claims_in_any_status(monkeypatch: pytest.MonkeyPatch) -> None:
    claims_without_due(monkeypatch)
    everywhere = replace(RULES["claim"], sources=frozenset(Status))
    monkeypatch.setitem(RULES, "claim", everywhere)


def resumes_a_run_that_beats(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Job, "is_stale", lambda job, now, policy: job.status is Status.IN_PROGRESS)


def forgets_the_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(LeasePolicy, "rest_after", lambda policy, attempt: timedelta(0))


def resumes_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Job, "is_spent", lambda job, policy: False)


def joins_without_moving(monkeypatch: pytest.MonkeyPatch) -> None:
    """`placed_at` becomes the later of the two times, so a join may leave it unchanged."""
    monkeypatch.setattr(moves, "later", max)


def forgets_that_it_joined(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(moves, "covers", lambda job, event_id: job.event_id == event_id)


def modified_in_the_same_millisecond(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rules, "TICK", timedelta(0))


def modified_by_the_clock_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """And a claim whose guard lacks `claimedBy` depends on the time of the last write."""
    modified_in_the_same_millisecond(monkeypatch)
    without_guard(monkeypatch, "claim", "claimed_by")


def hands_an_error_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(moves, "SPENDS_INTERRUPTED_ERRORS", False)


def forgets_interruptions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rules, "MAX_INTERRUPTIONS", 1000)


def silences_need_no_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only failed jobs rest."""
    original = Job.rest

    def rest(job: Job, policy: LeasePolicy) -> timedelta:
        return original(job, policy) if job.status is Status.FAILED else timedelta(0)

    monkeypatch.setattr(Job, "rest", rest)


def calls_before_it_is_on_record(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(moves, "BEGINS_FIRST", False)


def records_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    original = Job.begin

    def begin(job: Job, now: datetime, step: StepProgress, *, is_compensated: bool) -> Change:
        return original(job, now, step, is_compensated=False)

    monkeypatch.setattr(Job, "begin", begin)


def forgets_the_point(monkeypatch: pytest.MonkeyPatch) -> None:
    is_saga = property(lambda job: bool(job.point_of_no_return and not job.rollback_cause))
    monkeypatch.setattr(Job, "may_roll_back", is_saga)


def never_rolls_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Job, "may_roll_back", False)


def undoes_the_first_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        moves,
        "next_step",
        lambda job: next(
            (s for s in job.current_steps if s.status is not StepStatus.COMPLETE), None
        ),
    )


def holds_what_is_compensated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Job, "live", property(lambda job: job.status is not Status.COMPLETE))


def forgets_the_unique_index(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(moves, "ONE_LIVE_JOB", False)


def starts_anew_with_old_checkpoints(monkeypatch: pytest.MonkeyPatch) -> None:
    anew = {"compensations": (), "rollback_cause": None}
    monkeypatch.setattr(Job, "_never_run", lambda job: anew)


def waits_for_nobody(transition: str) -> Patch:
    """A transition after which no worker may claim the job."""
    original: Callable[..., Change] = getattr(Job, transition)

    def forgetful(job: Job, *args: object, **more: object) -> Change:
        change = original(job, *args, **more)
        return replace(change, after=replace(change.after, due=None))

    return lambda monkeypatch: monkeypatch.setattr(Job, transition, forgetful)


def keeps_the_attempt(transition: str) -> Patch:
    """A transition that does not hand the attempt back."""
    original: Callable[..., Change] = getattr(Job, transition)

    def greedy(job: Job, *args: object, **more: object) -> Change:
        change = original(job, *args, **more)
        return replace(change, after=replace(change.after, attempt=job.attempt))

    return lambda monkeypatch: monkeypatch.setattr(Job, transition, greedy)


def joins_without(name: str) -> Patch:
    """A join whose guard lacks a field."""
    guard = tuple(kept for kept in world.JOIN_GUARD if kept != name)
    return lambda monkeypatch: monkeypatch.setattr(world, "JOIN_GUARD", guard)


MUTANTS: dict[str, tuple[Patch, Bounds, str]] = {
    "claim of a job that rests": (claims_without_due, of("fail", faults=1), "too early"),
    "claim of a job that is parked": (claims_without_due, of("park", faults=1), "too early"),
    "claim of a job in progress": (claims_in_any_status, Bounds(0), "too early"),
    "resume of a run that beats": (resumes_a_run_that_beats, Bounds(0), "too early"),
    "no rest": (forgets_the_rest, of("fail", faults=1, policy=SLEEPY), "too early"),
    "attempts without end": (resumes_without_end, of("kill", faults=2), "immortal"),
    "a join that does not move placedAt": (joins_without_moving, JOINING, "complete"),
    "a join of a job that is complete": (
        joins_without("live"),
        of("old read", faults=1, requests=2, writer=True),
        "complete",
    ),
    "two joins at once": (
        joins_without("placed_at"),
        of("old read", faults=1, requests=3, writer=True),
        "complete",
    ),
    "a request that joined is forgotten": (
        forgets_that_it_joined,
        of("duplicate", faults=1, requests=2),
        "covered twice",
    ),
    "lastModifiedAt does not grow in a millisecond": (
        modified_in_the_same_millisecond,
        of("late", "old read", faults=2),
        "lost update",
    ),
    "neither does it, nor tells claimedBy": (
        modified_by_the_clock_alone,
        of("terminate", "old read", faults=3),
        "lost update",
    ),
    "an interrupted error spends nothing": (
        hands_an_error_over,
        of("failing", "terminate", faults=2),
        "attempts",
    ),
    "an interruption spends an attempt": (
        keeps_the_attempt("hand_over"),
        of("terminate", faults=1),
        "attempts",
    ),
    "handed over without end": (
        forgets_interruptions,
        of("terminate", faults=3, policy=ONCE),
        "immortal",
    ),
    "a silent job does not rest": (
        silences_need_no_rest,
        of("kill", faults=2, policy=SLEEPY),
        "too early",
    ),
    "handed over to nobody": (waits_for_nobody("hand_over"), of("terminate", faults=1), "queue"),
    "parked for ever": (waits_for_nobody("park"), of("park", faults=1), "queue"),
    "resumed for nobody": (waits_for_nobody("resume"), of("kill", faults=1), "for ever"),
    "a call before its record": (
        calls_before_it_is_on_record,
        Bounds(0, saga=1),
        "not recorded",
    ),
    "a step that records no compensation": (records_nothing, Bounds(0, saga=1), "not recorded"),
    "rolled back after the point": (
        forgets_the_point,
        of("refuse", faults=1, saga=1),
        "not recorded",
    ),
    "exhausted before the point": (
        never_rolls_back,
        of("kill", faults=1, policy=ONCE, saga=1),
        "exhausted",
    ),
    "undone in the order of the plan": (
        undoes_the_first_first,
        of("refuse", faults=1, saga=2),
        "out of order",
    ),
    "rolled back with few attempts left": (
        keeps_the_attempt("roll_back"),
        of("refuse", faults=1, saga=1),
        "attempts",
    ),
    "rolled back with none left": (
        keeps_the_attempt("roll_back_spent"),
        of("kill", faults=1, policy=ONCE, saga=1),
        "attempts",
    ),
    "rolled back for nobody": (
        waits_for_nobody("roll_back"),
        of("refuse", faults=1, saga=1),
        "queue",
    ),
    "a compensated job that holds its bot": (
        holds_what_is_compensated,
        of("refuse", faults=1, saga=1),
        "live",
    ),
    "a compensated job retried beside a live one": (
        forgets_the_unique_index,
        of("refuse", "retry", faults=2, requests=2, policy=ONCE, saga=1),
        "two live jobs",
    ),
    "a compensated job started with old checkpoints": (
        starts_anew_with_old_checkpoints,
        of("refuse", "retry", faults=2, policy=ONCE, saga=1),
        "not recorded",
    ),
    "retried for nobody": (waits_for_nobody("retry"), of("fail", "retry", faults=2), "queue"),
}


@pytest.mark.proves("every-order", "hour-without-database")
@pytest.mark.parametrize("mutant", MUTANTS)
def test_a_rule_that_is_missing_is_found(mutant: str, monkeypatch: pytest.MonkeyPatch) -> None:
    patch, bounds, starting = MUTANTS[mutant]
    patch(monkeypatch)
    assert_found(explore(bounds), starting=starting)


def test_a_claim_needs_no_status_beside_due(monkeypatch: pytest.MonkeyPatch) -> None:
    """Redundant: only a job that may be claimed has a `due`, which the invariants check."""
    everywhere = replace(RULES["claim"], sources=frozenset(Status))
    monkeypatch.setitem(RULES, "claim", everywhere)
    explored = explore(SCOPES["one fault of any kind"])
    assert not explored.broken, str(explored)


def test_a_sweep_whose_clock_is_too_far_ahead_takes_a_job_from_a_run_that_beats() -> None:
    bounds = of("kill", faults=0, policy=FINE, ahead=2 * FINE.max_skew)
    assert_found(explore(bounds), starting="too early")
