"""The rules of the code hold in every interleaving within the bounds; without one they do not.

On a failure the shortest counterexample is printed, a step a line.
"""

import gc
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from deletion import job as rules
from deletion.job import HOLDER, RULES, Change, Job, LeasePolicy, Status, StepProgress, StepStatus
from tests.model import moves, world
from tests.model.bounds import ONCE, SCOPES, SLEEPY, of
from tests.model.explore import Explored, explore, follow
from tests.model.moves import Bounds, Moves
from tests.model.world import FINE, PLACED_AT, World, matches

Patch = Callable[[pytest.MonkeyPatch], None]


@pytest.fixture(autouse=True)
def _uncollected() -> Iterator[None]:
    """Worlds form no cycles: to look for some among all of them takes a third of the time."""
    gc.disable()
    yield
    gc.enable()


@pytest.mark.proves("every-order", "saga-ends")
@pytest.mark.parametrize("scope", SCOPES)
def test_every_invariant_holds(scope: str) -> None:
    explored = explore(SCOPES[scope])
    assert not explored.broken, str(explored)


# Each guard taken away.

BEATS = of("old read", faults=1)
STRAYS = of("late", "terminate", "fail", faults=2)
RETRIED = of("late", "retry", "fail", "terminate", "park", faults=3, policy=ONCE)
"""A run that is paused as it ends, while an operator gives all attempts anew: of the fewest."""
JOINING = Bounds(0, requests=2, writer=True)
SAGA = of("late", "refuse", "retry", faults=3, policy=ONCE, saga=1)

UNIQUE = "claimedBy is unique to each claim, and so tells an attempt from every other one"
VERSION = "lastModifiedAt grows with every write: it alone tells one state of a job from another"
LEFT_ONCE = "a claim leaves each status that can be claimed at most once before the next claim"

TURNING = of("late", "refuse", faults=2, saga=1)
OUTSIDERS = ("claim", "resume", "turn_back_spent", "exhaust", "retry")

FOUND = {
    **{(rule, "status"): STRAYS for rule in ("complete", "fail", "hand_over")},
    ("park", "status"): of("late", "park", faults=2),
    **{(rule, "status"): TURNING for rule in ("turn_back", "compensate")},
    ("complete", "claimed_by"): STRAYS,
    **{(rule, "claimed_by"): RETRIED for rule in sorted(world.ENDINGS - {"turn_back"})},
    **{(rule, "claimed_by"): SAGA for rule in ("turn_back", "compensate")},
    ("checkpoint", "last_modified_at"): of("late", faults=1, policy=ONCE, saga=1),
    ("turn_back_spent", "last_modified_at"): of("old read", "kill", faults=2, policy=ONCE, saga=1),
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
"""Guarded fields that guard nothing beside the others, and why: the second lock on a door."""


def without_guard(monkeypatch: pytest.MonkeyPatch, rule: str, *names: str) -> None:
    """Take fields out of the guard of a rule."""
    guard = tuple(name for name in RULES[rule].guard if name not in names)
    monkeypatch.setitem(RULES, rule, replace(RULES[rule], guard=guard))


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
    """All but `lastModifiedAt` of a claim, which is redundant only beside `claimedBy`."""
    for rule, name in REDUNDANT:
        if name != "last_modified_at":
            without_guard(monkeypatch, rule, name)
    explored = explore(SCOPES[scope])
    assert not explored.broken, str(explored)


def test_last_modified_at_is_redundant_in_a_claim(monkeypatch: pytest.MonkeyPatch) -> None:
    without_guard(monkeypatch, "claim", "last_modified_at")
    explored = explore(of("terminate", "park", "old read", faults=2, policy=ONCE))
    assert not explored.broken, str(explored)


# Other rules taken away.


def assert_found(explored: Explored, *, starting: str = "") -> None:
    """There is a counterexample, of the invariant that says so."""
    print(explored)
    assert explored.broken.startswith(starting), str(explored)
    assert explored.trace, str(explored)


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
    """The later of both clocks, as if they were one."""
    monkeypatch.setattr(rules, "later", max)


def forgets_that_it_joined(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(moves, "covers", lambda job, event_id: job.event_id == event_id)


def modified_in_the_same_millisecond(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rules, "_TICK", timedelta(0))


def modified_by_the_clock_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """And with a claim that is told by time alone."""
    modified_in_the_same_millisecond(monkeypatch)
    without_guard(monkeypatch, "claim", "claimed_by")


def hands_an_error_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(moves, "SPENDS_INTERRUPTED_ERRORS", False)


def forgets_interruptions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rules, "SUSPECT_ENDS", 1000)


def silences_need_no_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if nothing had ended yet."""
    original = Job.rest

    def rest(job: Job, policy: LeasePolicy) -> timedelta:
        return original(job, policy) if job.status is Status.FAILED else timedelta(0)

    monkeypatch.setattr(Job, "rest", rest)


def calls_before_it_is_on_record(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(moves, "BEGINS_FIRST", False)


def owes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    original = Job.begin

    def begin(job: Job, now: datetime, step: StepProgress, *, is_compensated: bool) -> Change:
        return original(job, now, step, is_compensated=False)

    monkeypatch.setattr(Job, "begin", begin)


def forgets_the_point(monkeypatch: pytest.MonkeyPatch) -> None:
    is_saga = property(lambda job: bool(job.point_of_no_return and not job.turned_back))
    monkeypatch.setattr(Job, "may_turn_back", is_saga)


def never_turns_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Job, "may_turn_back", False)


def undoes_the_first_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        moves,
        "next_step",
        lambda job: next((s for s in job.way if s.status is not StepStatus.COMPLETE), None),
    )


def holds_what_is_compensated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Job, "live", property(lambda job: job.status is not Status.COMPLETE))


def forgets_the_unique_index(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(moves, "ONE_LIVE_JOB", False)


def starts_anew_with_old_checkpoints(monkeypatch: pytest.MonkeyPatch) -> None:
    anew = {"compensations": (), "turned_back": None}
    monkeypatch.setattr(Job, "_anew", lambda job: anew)


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
        "not owed",
    ),
    "a step that owes nothing": (owes_nothing, Bounds(0, saga=1), "not owed"),
    "turned back after the point": (
        forgets_the_point,
        of("refuse", faults=1, saga=1),
        "not owed",
    ),
    "exhausted before the point": (
        never_turns_back,
        of("kill", faults=1, policy=ONCE, saga=1),
        "exhausted",
    ),
    "undone in the order of the plan": (
        undoes_the_first_first,
        of("refuse", faults=1, saga=2),
        "out of order",
    ),
    "turned back with few attempts left": (
        keeps_the_attempt("turn_back"),
        of("refuse", faults=1, saga=1),
        "attempts",
    ),
    "turned back with none left": (
        keeps_the_attempt("turn_back_spent"),
        of("kill", faults=1, policy=ONCE, saga=1),
        "attempts",
    ),
    "turned back for nobody": (
        waits_for_nobody("turn_back"),
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
        "not owed",
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


def test_a_sweep_whose_clock_is_too_far_ahead_robs_a_run_that_beats() -> None:
    bounds = of("kill", faults=0, policy=FINE, ahead=2 * FINE.max_skew)
    assert_found(explore(bounds), starting="too early")


# Known traces.

STOPS = of("terminate", "failing", "old read", "duplicate", faults=9, requests=2, writer=True)


def labels(bounds: Bounds, reached: World) -> list[str]:
    """What may happen next."""
    return [move.label for move in Moves(bounds).after(reached)]


def handed_over_twice() -> World:
    """Within one millisecond, with an old read in between."""
    return follow(
        STOPS,
        "request 0 is received",
        "worker/01 claims",
        "worker/01 is terminated",
        "somebody reads the job",
        "worker/02 claims",
        "worker/02 is terminated",
    )


def test_a_claim_by_an_old_read_is_refused_after_a_hand_over_in_the_same_millisecond(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Status, attempt and due are as before: only lastModifiedAt and claimedBy tell."""
    reached = handed_over_twice()
    assert reached.old
    assert reached.live
    same = ("status", "attempt", "due")
    assert matches(reached.live, reached.old, same)
    claim = "worker/03 claims, on an old read"
    assert claim not in labels(STOPS, reached)
    without_guard(monkeypatch, "claim", "last_modified_at", "claimed_by")
    assert claim in labels(STOPS, reached)
    assert_found(explore(of("terminate", "old read", faults=3)), starting="lost update")


def test_a_job_is_not_completed_under_the_placed_at_of_a_gateway_that_is_ahead() -> None:
    reached = follow(
        STOPS,
        "request 0 is received",
        "worker/01 claims",
        "worker/01 deletes",
        "data is written",
        "request 1 is received",
        "worker/01 completes: refused",
    )
    assert reached.owed
    assert PLACED_AT[1] < PLACED_AT[0]
    assert not any("completes" in label for label in labels(STOPS, reached))
    ended = follow(
        STOPS,
        "request 0 is received",
        "worker/01 claims",
        "worker/01 deletes",
        "data is written",
        "request 1 is received",
        "worker/01 completes: refused",
        "worker/01 deletes",
        "worker/01 completes",
    )
    assert ended.live is None


def test_a_redelivered_request_that_had_joined_is_known_whatever_the_state_of_its_job() -> None:
    steps = (
        "request 0 is received",
        "request 1 is received",
        "worker/01 claims",
        "worker/01 is terminated",
        "worker/02 claims",
        "worker/02 deletes",
        "worker/02 completes",
    )
    for length in range(2, len(steps) + 1):
        reached = follow(STOPS, *steps[:length])
        assert not any("redelivered" in label for label in labels(STOPS, reached))


def test_sigterm_again_and_again_in_the_middle_of_a_step_that_fails_runs_out_of_attempts() -> None:
    once = ("claims", "has an error", "is terminated")
    reached = follow(
        STOPS,
        "request 0 is received",
        *(f"worker/01 {what}" for what in once),
        "a tick passes",
        "a sweep resumes",
        *(f"worker/02 {what}" for what in once),
        "a tick passes",
        "a sweep exhausts",
    )
    assert reached.live
    assert reached.live.status is Status.EXHAUSTED


@pytest.mark.proves("interrupted-again")
def test_a_job_whose_process_is_stopped_at_once_each_time_is_exhausted() -> None:
    """It may be why: the third time at the same batch its attempt is spent."""
    bounds = of("terminate", faults=9)
    steps = ["request 0 is received"]
    for claim in range(1, 5):
        steps += [f"worker/{claim:02} claims", f"worker/{claim:02} is terminated"]
        if claim > 2:
            steps += ["a tick passes", f"a sweep {'resumes' if claim == 3 else 'exhausts'}"]
    reached = follow(bounds, *steps)
    assert reached.live
    assert (reached.live.status, reached.live.attempt) == (Status.EXHAUSTED, 2)


def test_a_job_that_kills_its_process_each_time_is_exhausted() -> None:
    reached = follow(
        of("kill", faults=2),
        "request 0 is received",
        "worker/01 claims",
        "worker/01 is killed",
        "a tick passes",
        "a sweep resumes",
        "worker/02 claims",
        "worker/02 is killed",
        "a tick passes",
        "a sweep exhausts",
    )
    assert reached.live
    assert reached.live.is_suspect
    assert not any("claims" in label for label in labels(of(faults=0), reached))


def test_a_job_that_is_parked_after_a_call_each_time_runs_out_of_attempts() -> None:
    """Its own call may be what its external API never answers."""
    bounds = of("park", faults=9)
    steps = ["request 0 is received"]
    for claim in (1, 2):
        steps.append(f"worker/{claim:02} claims")
        if claim < bounds.policy.max_attempts:
            steps += [f"worker/{claim:02} parks after a call", "a tick passes"]
    reached = follow(bounds, *steps)
    assert reached.live
    assert reached.live.is_spent(bounds.policy)
    assert not any("after a call" in label for label in labels(bounds, reached))


# Sagas.


@pytest.mark.proves("late-checkpoint")
def test_a_checkpoint_that_arrives_late_takes_nothing_off_the_record() -> None:
    """A heartbeat whose answer was lost, before the run began a step and called it."""
    bounds = of("late", faults=1, saga=1)
    reached = follow(
        bounds,
        "request 0 is received",
        "worker/01 claims",
        "a tick passes",
        "worker/01 writes a checkpoint, not answered yet",
        "worker/01 repeats its checkpoint",
        "worker/01 begins first",
        "worker/01 calls first",
    )
    assert not any("arrives" in label for label in labels(bounds, reached))


@pytest.mark.proves("saga-ends")
def test_what_was_called_is_undone_whoever_was_killed() -> None:
    """Also the step whose answer nobody got, and the request that joined has a job that says so."""
    bounds = of("refuse", "kill", "retry", faults=9, requests=3, saga=2)
    turned = (
        "request 0 is received",
        "worker/01 claims",
        "worker/01 begins first",
        "worker/01 calls first",
        "worker/01 has done first",
        "worker/01 begins second",
        "worker/01 calls second",
        "worker/01 is killed",
        "a tick passes",
        "a sweep resumes",
        "worker/02 claims",
        "worker/02 is refused for good",
    )
    back = (
        "request 1 is received",
        "worker/03 claims",
        "worker/03 undoes second",
        "worker/03 is killed",
        "a tick passes",
        "a sweep resumes",
        "worker/04 claims",
        "worker/04 undoes second",
        "worker/04 has done second",
        "worker/04 undoes first",
        "worker/04 has done first",
        "worker/04 compensates",
    )
    reached = follow(bounds, *turned, *back)
    assert [job.status for job in reached.jobs] == [Status.COMPENSATED]
    assert len(reached.jobs[0].event_ids) == 2
    newer = follow(bounds, *turned, *back, "request 2 is received")
    assert [job.status for job in newer.jobs] == [Status.COMPENSATED, Status.PENDING]
    assert not any("compensated job" in label for label in labels(bounds, newer)), (
        "beside a live one"
    )
    assert any("compensated job" in label for label in labels(bounds, reached))
