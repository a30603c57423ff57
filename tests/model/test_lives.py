"""Lives of a job that went wrong once, step by step."""

import pytest

from deletion.job import Status
from tests.model.bounds import of
from tests.model.counterexamples import assert_found, without_guard
from tests.model.explore import explore, follow
from tests.model.moves import Bounds, Moves
from tests.model.world import PLACED_AT, World, matches

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
    assert reached.covered
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
    rollback = (
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
    reached = follow(bounds, *rollback, *back)
    assert [job.status for job in reached.jobs] == [Status.COMPENSATED]
    assert len(reached.jobs[0].event_ids) == 2
    newer = follow(bounds, *rollback, *back, "request 2 is received")
    assert [job.status for job in newer.jobs] == [Status.COMPENSATED, Status.PENDING]
    assert not any("compensated job" in label for label in labels(bounds, newer)), (
        "beside a live one"
    )
    assert any("compensated job" in label for label in labels(bounds, reached))
