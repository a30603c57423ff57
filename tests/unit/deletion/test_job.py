"""Every transition a job may make, and no other."""

from dataclasses import fields, replace
from datetime import datetime, timedelta
from itertools import pairwise, product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deletion.clock import truncated
from deletion.errors import TransitionError
from deletion.job import (
    NOT_LIVE,
    RULES,
    Job,
    LeasePolicy,
    Status,
    StepProgress,
    StepStatus,
    later,
    merged,
)
from tests.support.clock import START
from tests.support.factories import SERVICE, a_job
from tests.unit.deletion.transitions import CALLS, CASES, ERROR, LATER, POLICY, SILENT, TICK

# The table of the design, written out: (transition, case) -> status afterwards, at once and after
# a long silence. What is not listed is refused.
RUN = [("checkpoint", "in_progress"), ("complete", "complete"), ("fail", "failed")]
RUN += [("hand_over", "failed"), ("park", "pending")]
AT_ONCE: dict[tuple[str, str], str] = {
    ("claim", "pending, due"): "in_progress",
    ("claim", "failed, handed over"): "in_progress",
    **{(name, "in_progress"): target for name, target in RUN},
    **{(name, "in_progress, spent"): target for name, target in RUN if name != "park"},
    ("retry", "pending, due later"): "pending",
    ("retry", "failed"): "pending",
    ("retry", "failed, spent"): "pending",
    ("retry", "exhausted"): "pending",
    **{(name, "saga, in_progress"): target for name, target in RUN},
    **{(name, "saga, in_progress, spent"): target for name, target in RUN if name != "park"},
    **{(name, "past its point, in_progress"): target for name, target in RUN},
    **{(name, "rollback, in_progress"): target for name, target in RUN if name != "complete"},
    ("roll_back", "saga, in_progress"): "pending",
    ("roll_back", "saga, in_progress, spent"): "pending",
    ("compensate", "rollback, in_progress"): "compensated",
    ("retry", "saga, failed"): "pending",
    ("retry", "saga, failed, spent"): "pending",
    ("retry", "past its point, failed, spent"): "pending",
    ("retry", "rollback, failed, spent"): "pending",
    ("retry", "compensated"): "pending",
}
LONG_AFTER: dict[tuple[str, str], str] = {
    **AT_ONCE,
    ("resume", "in_progress"): "pending",
    ("resume", "failed"): "pending",
    ("exhaust", "in_progress, spent"): "exhausted",
    ("exhaust", "failed, spent"): "exhausted",
    ("retry", "in_progress"): "pending",
    ("retry", "in_progress, spent"): "pending",
    ("resume", "saga, in_progress"): "pending",
    ("resume", "saga, failed"): "pending",
    ("roll_back_spent", "saga, in_progress, spent"): "pending",
    ("roll_back_spent", "saga, failed, spent"): "pending",
    ("exhaust", "past its point, failed, spent"): "exhausted",
    ("exhaust", "rollback, failed, spent"): "exhausted",
    ("resume", "past its point, in_progress"): "pending",
    ("resume", "rollback, in_progress"): "pending",
    ("retry", "saga, in_progress"): "pending",
    ("retry", "saga, in_progress, spent"): "pending",
    ("retry", "past its point, in_progress"): "pending",
    ("retry", "rollback, in_progress"): "pending",
}
OUTSIDER = {"status", "attempt", "claimed_by", "last_modified_at"}
HOLDER = {"status", "attempt", "claimed_by"}
GUARDS = {
    "claim": OUTSIDER,
    "checkpoint": OUTSIDER,
    "complete": HOLDER | {"placed_at"},
    "fail": HOLDER,
    "hand_over": HOLDER,
    "park": HOLDER,
    "compensate": HOLDER,
    "roll_back": HOLDER,
    "roll_back_spent": OUTSIDER,
    "resume": OUTSIDER,
    "exhaust": OUTSIDER,
    "retry": OUTSIDER,
}


@pytest.mark.proves("transitions")
@pytest.mark.parametrize("now", [LATER, SILENT], ids=["at once", "long after"])
@pytest.mark.parametrize(("transition", "case"), list(product(CALLS, CASES)))
def test_a_transition_is_made_or_refused_as_the_design_says(
    transition: str, case: str, now: datetime
) -> None:
    job = CASES[case]
    expected = (AT_ONCE if now == LATER else LONG_AFTER).get((transition, case))
    if expected is None:
        with pytest.raises(TransitionError, match=job.id):
            CALLS[transition](job, now)
        return
    change = CALLS[transition](job, now)
    assert change.before is job
    assert change.after.status.value == expected
    assert set(change.guard) == GUARDS[transition]
    assert change.after.last_modified_at == now
    for name in ("id", "service", "bot_id", "event_ids", "placed_at", "created_at", "steps"):
        assert getattr(change.after, name) == getattr(job, name), "what it stands for stays"


def test_every_rule_is_under_test_from_every_one_of_its_sources() -> None:
    assert set(RULES) == set(CALLS) == set(GUARDS)
    for name, rule in RULES.items():
        made = {case: target for (made, case), target in LONG_AFTER.items() if made == name}
        assert {CASES[case].status for case in made} == rule.sources
        assert set(made.values()) == {rule.target.value}
    assert {job.status for job in CASES.values()} == set(Status)


def test_a_guard_names_fields_of_a_job() -> None:
    names = {field.name for field in fields(Job)}
    assert all(names.issuperset(rule.guard) for rule in RULES.values())


@pytest.mark.parametrize(("transition", "case"), LONG_AFTER)
def test_a_job_is_in_a_queue_while_a_worker_may_claim_it_and_only_then(
    transition: str, case: str
) -> None:
    after = CALLS[transition](CASES[case], SILENT).after
    claimable = after.status is Status.PENDING or transition == "hand_over"
    assert (after.due is not None) is claimable
    assert after.queue == (SERVICE if claimable else None)


@pytest.mark.parametrize("transition", ["hand_over", "resume", "retry"])
def test_what_goes_back_to_the_workers_is_due_before_newer_jobs(transition: str) -> None:
    job = replace(CASES["in_progress"], created_at=START - timedelta(days=3))
    assert CALLS[transition](job, SILENT).after.due == job.created_at


@pytest.mark.parametrize(("transition", "case"), LONG_AFTER)
def test_the_time_of_a_write_grows_even_within_one_millisecond_or_by_a_clock_behind(
    transition: str, case: str
) -> None:
    """Or else two states of a job would look alike to whoever guards it."""
    future = replace(CASES[case], last_modified_at=SILENT)
    if transition in ("resume", "exhaust", "roll_back_spent"):  # they need a silence
        return
    stale = transition == "retry" and future.status is not Status.PENDING
    behind = SILENT + POLICY.stale_after if stale else SILENT
    after = CALLS[transition](future, behind).after
    assert after.last_modified_at > future.last_modified_at
    assert after.last_modified_at == max(behind, SILENT + TICK)


def test_states_that_follow_each_other_in_one_millisecond_never_look_alike() -> None:
    job = a_job(Status.PENDING, attempt=0, due=START)
    seen = [job]
    for number in range(5):
        step = StepProgress("a", batches=number)
        claimed = replace(seen[-1], steps=(step,)).claim("worker/same", START).after
        seen += [claimed, claimed.hand_over(replace(ERROR, at=START)).after]
    times = [each.last_modified_at for each in seen]
    assert all(later - earlier == TICK for earlier, later in pairwise(times))


def test_a_placed_job_is_due_at_once_and_has_spent_nothing() -> None:
    steps = (StepProgress("messages"),)
    job = Job.placed(
        id="65f0a1b2c3d4e5f607180002",
        service="conversations",
        bot_id="65f0a1b2c3d4e5f607182930",
        event_id="018f3c1e-7a4b-7c2d-9e5f-0a1b2c3d4e5f",
        placed_at=START + timedelta(microseconds=1999),
        steps=steps,
        now=LATER,
        requested_by="crm",
        traceparent="00-ab-cd-01",
    )
    assert (job.status, job.attempt, job.claimed_by) == (Status.PENDING, 0, "")
    assert job.placed_at == START + TICK
    assert job.created_at == job.last_modified_at == job.due == LATER
    assert (job.event_ids, job.event_id) == ((job.event_id,), job.event_ids[0])
    assert (job.requested_by, job.traceparent) == ("crm", "00-ab-cd-01")
    assert job.steps == steps
    assert (job.finished_at, job.failure, job.past_attempts) == (None, None, ())
    assert job.is_due(LATER)
    assert not job.is_due(LATER - TICK)


@pytest.mark.parametrize("status", list(Status))
def test_a_job_is_live_until_it_has_ended(status: Status) -> None:
    assert a_job(status).live is (status not in NOT_LIVE)


def test_every_request_that_joins_moves_the_time() -> None:
    placed_at = a_job().placed_at
    assert later(placed_at, LATER + timedelta(microseconds=10)) == LATER
    assert later(placed_at, placed_at - timedelta(days=1)) == placed_at + TICK


def test_a_checkpoint_records_progress_and_the_time() -> None:
    job = a_job(steps=(StepProgress("a"), StepProgress("b")))
    progress = StepProgress("b", StepStatus.IN_PROGRESS, 7, "cursor")
    after = job.checkpoint(LATER, progress).after
    assert after.steps == (StepProgress("a"), progress)
    assert (after.status, after.attempt) == (job.status, job.attempt)


def test_a_batch_counts_on_and_a_step_that_runs_again_keeps_what_it_counted() -> None:
    begun = StepProgress("a", extra={"x": 1}).advanced(5, "c", 2.0).advanced(3, "d", 1.0)
    assert begun == StepProgress("a", StepStatus.IN_PROGRESS, 8, "d", 2, 2.0, extra={"x": 1})
    assert begun.again() == replace(begun, status=StepStatus.PENDING, cursor=None)


def test_the_progress_of_a_step_that_is_not_known_yet_is_a_fresh_one() -> None:
    job = a_job(steps=(StepProgress("a", StepStatus.COMPLETE, 3),))
    assert job.progress("a").deleted == 3
    assert job.progress("new") == StepProgress("new", StepStatus.PENDING, 0, None)


names = st.sampled_from("abcde")
progress_lists = st.lists(
    st.builds(StepProgress, names, deleted=st.integers(0, 9)), unique_by=lambda p: p.name
)


@given(progress_lists, progress_lists)
def test_merging_keeps_the_order_and_takes_the_newer_form(
    steps: list[StepProgress], newer: list[StepProgress]
) -> None:
    result = merged(steps, newer)
    old, new = [p.name for p in steps], [p.name for p in newer]
    assert [p.name for p in result] == old + [name for name in new if name not in old]
    assert {p.name: p for p in result} == {p.name: p for p in (*steps, *newer)}


@given(st.datetimes())
def test_times_are_cut_to_milliseconds_never_rounded_up(time: datetime) -> None:
    cut = truncated(time)
    assert cut.microsecond % 1000 == 0
    assert timedelta(0) <= time - cut < timedelta(milliseconds=1)


def test_three_heartbeats_fit_into_the_threshold_and_a_call_is_shorter() -> None:
    policy = LeasePolicy(timedelta(seconds=600), 5)
    assert policy.heartbeat_interval <= 600 / 3
    assert policy.call_seconds == 10
    assert LeasePolicy(timedelta(seconds=9), 5).call_seconds == 3
    assert policy.max_skew == timedelta(seconds=200)
