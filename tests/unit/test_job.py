"""Every transition a job may make, and no other."""

from collections.abc import Callable
from dataclasses import fields, replace
from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deletion.clock import milliseconds
from deletion.errors import TransitionError
from deletion.job import (
    KEPT_ATTEMPTS,
    RULES,
    Change,
    Failure,
    Job,
    LeasePolicy,
    PastAttempt,
    Status,
    StepProgress,
    StepStatus,
    merged,
)
from tests.support.fakes import POLICY, START, a_job

LATER = START + timedelta(seconds=5)
STALE = START + POLICY.stale_after
ERROR = Failure("ValueError", "broken", LATER)
INTERRUPTION = Failure("Interrupted", "stopping", LATER, interrupted=True)

FRESH, SILENT = LATER, STALE
SPENT, LEFT = POLICY.max_attempts, POLICY.max_attempts - 1

CALLS: dict[str, Callable[[Job, bool], Change]] = {
    "claim": lambda job, stale: job.claim("worker-2/b", STALE if stale else LATER, POLICY),
    "checkpoint": lambda job, stale: job.checkpoint(STALE if stale else LATER),
    "complete": lambda job, stale: job.complete(STALE if stale else LATER),
    "fail": lambda job, _: job.fail(ERROR),
    "exhaust": lambda job, stale: job.exhaust(STALE if stale else LATER, POLICY),
    "reopen": lambda job, stale: job.reopen(STALE if stale else LATER),
}

# The table of the design, written out: (transition, status, stale, spent) -> status afterwards.
# What is not listed is refused.
ALLOWED: dict[tuple[str, str, bool, bool], str] = {
    ("claim", "failed", False, False): "in_progress",
    ("claim", "failed", True, False): "in_progress",
    ("claim", "in_progress", True, False): "in_progress",
    ("checkpoint", "in_progress", False, False): "in_progress",
    ("checkpoint", "in_progress", False, True): "in_progress",
    ("checkpoint", "in_progress", True, False): "in_progress",
    ("checkpoint", "in_progress", True, True): "in_progress",
    ("complete", "in_progress", False, False): "complete",
    ("complete", "in_progress", False, True): "complete",
    ("complete", "in_progress", True, False): "complete",
    ("complete", "in_progress", True, True): "complete",
    ("fail", "in_progress", False, False): "failed",
    ("fail", "in_progress", False, True): "failed",
    ("fail", "in_progress", True, False): "failed",
    ("fail", "in_progress", True, True): "failed",
    ("exhaust", "failed", False, True): "exhausted",
    ("exhaust", "failed", True, True): "exhausted",
    ("exhaust", "in_progress", True, True): "exhausted",
    ("reopen", "exhausted", False, False): "failed",
    ("reopen", "exhausted", False, True): "failed",
    ("reopen", "exhausted", True, False): "failed",
    ("reopen", "exhausted", True, True): "failed",
}
GUARDS = {
    "claim": {"status", "attempt", "claimed_by", "last_modified_at"},
    "checkpoint": {"status", "attempt", "claimed_by"},
    "complete": {"status", "attempt", "claimed_by", "placed_at"},
    "fail": {"status", "attempt", "claimed_by"},
    "exhaust": {"status", "attempt", "claimed_by", "last_modified_at"},
    "reopen": {"status", "attempt", "claimed_by", "last_modified_at"},
}


@pytest.mark.parametrize("spent", [False, True], ids=["left", "spent"])
@pytest.mark.parametrize("stale", [False, True], ids=["fresh", "stale"])
@pytest.mark.parametrize("status", list(Status))
@pytest.mark.parametrize("transition", list(CALLS))
def test_a_transition_is_made_or_refused_as_the_design_says(
    transition: str, status: Status, stale: bool, spent: bool
) -> None:
    job = a_job(status, attempt=SPENT if spent else LEFT)
    expected = ALLOWED.get((transition, status.value, stale, spent))
    if expected is None:
        with pytest.raises(TransitionError, match=job.id):
            CALLS[transition](job, stale)
    else:
        change = CALLS[transition](job, stale)
        assert change.before is job
        assert change.after.status.value == expected
        assert set(change.guard) == GUARDS[transition]


def test_every_rule_is_under_test() -> None:
    assert set(RULES) == set(CALLS) == set(GUARDS)


def test_a_guard_names_fields_of_a_job() -> None:
    names = {field.name for field in fields(Job)}
    assert all(names.issuperset(rule.guard) for rule in RULES.values())


@pytest.mark.parametrize("transition", sorted({transition for transition, *_ in ALLOWED}))
def test_a_transition_never_touches_what_the_job_stands_for(transition: str) -> None:
    _, status, stale, spent = next(key for key in ALLOWED if key[0] == transition)
    job = a_job(Status(status), attempt=SPENT if spent else LEFT)
    after = CALLS[transition](job, stale).after
    for name in ("id", "service", "bot_id", "event_id", "placed_at", "created_at", "steps"):
        assert getattr(after, name) == getattr(job, name)


def test_a_placed_job_is_its_first_claim() -> None:
    steps = (StepProgress("messages"),)
    job = Job.placed(
        id="65f0a1b2c3d4e5f607180002",
        service="conversations",
        bot_id="65f0a1b2c3d4e5f607182930",
        event_id="018f3c1e-7a4b-7c2d-9e5f-0a1b2c3d4e5f",
        placed_at=START + timedelta(microseconds=1999),
        steps=steps,
        by="worker-1/a",
        now=LATER,
    )
    assert (job.status, job.attempt, job.claimed_by) == (Status.IN_PROGRESS, 1, "worker-1/a")
    assert job.placed_at == START + timedelta(milliseconds=1)
    assert job.created_at == job.last_modified_at == LATER
    assert job.steps == steps
    assert job.finished_at is None
    assert job.failure is None


def test_a_job_is_stale_from_the_threshold_on_and_not_a_millisecond_earlier() -> None:
    job = a_job()
    assert not job.is_stale(STALE - timedelta(milliseconds=1), POLICY)
    assert job.is_stale(STALE, POLICY)
    assert job.is_stale(STALE + timedelta(days=1), POLICY)


@pytest.mark.parametrize("status", [Status.FAILED, Status.COMPLETE, Status.EXHAUSTED])
def test_only_a_job_in_progress_goes_stale(status: Status) -> None:
    assert not a_job(status).is_stale(STALE + timedelta(days=365), POLICY)


@pytest.mark.parametrize(
    ("status", "now", "resumable"),
    [
        (Status.FAILED, FRESH, True),
        (Status.FAILED, SILENT, True),
        (Status.IN_PROGRESS, FRESH, False),
        (Status.IN_PROGRESS, SILENT, True),
        (Status.COMPLETE, SILENT, False),
        (Status.EXHAUSTED, SILENT, False),
    ],
)
def test_failed_and_stale_jobs_are_to_be_resumed(
    status: Status, now: datetime, resumable: bool
) -> None:
    assert a_job(status).is_resumable(now, POLICY) is resumable


@pytest.mark.parametrize("status", list(Status))
def test_a_job_is_live_until_it_is_complete(status: Status) -> None:
    assert a_job(status).live is (status is not Status.COMPLETE)


def test_attempts_are_spent_with_the_last_one_and_not_before() -> None:
    assert not a_job(attempt=LEFT).is_spent(POLICY)
    assert a_job(attempt=SPENT).is_spent(POLICY)
    assert a_job(attempt=SPENT + 1).is_spent(POLICY)


def test_a_claim_counts_an_attempt_and_names_its_owner() -> None:
    failed = a_job(Status.FAILED, attempt=1, failure=ERROR)
    after = failed.claim("worker-2/b", LATER, POLICY).after
    assert (after.attempt, after.claimed_by, after.last_modified_at) == (2, "worker-2/b", LATER)
    assert after.failure == ERROR, "why it failed stays known until it is complete"


STEPS = (
    StepProgress("a", StepStatus.COMPLETE, 9, batches=2),
    StepProgress("b", StepStatus.IN_PROGRESS, 7, "c", batches=3),
)


def test_a_claim_records_where_the_attempt_before_it_stood() -> None:
    stale = a_job(attempt=1, steps=STEPS, failure=INTERRUPTION)
    claimed = stale.claim("worker-2/b", STALE, POLICY).after
    assert claimed.past_attempts == (PastAttempt(1, "worker-1/a", "b", 4, START, "stale"),)


def test_a_failure_is_named_and_each_attempt_is_added() -> None:
    job = a_job(attempt=1, steps=STEPS).fail(ERROR).after.claim("worker/2", LATER, POLICY).after
    job = replace(job.fail(ERROR).after, attempt=SPENT)
    past = job.exhaust(LATER, POLICY).after.past_attempts
    assert [(p.attempt, p.claimed_by, p.reason) for p in past] == [
        (1, "worker-1/a", ERROR.type),
        (SPENT, "worker/2", ERROR.type),
    ]


def test_a_job_whose_steps_were_all_done_stood_at_none() -> None:
    stale = a_job(steps=STEPS[:1])
    [past] = stale.claim("worker/2", STALE, POLICY).after.past_attempts
    assert (past.step, past.batch) == (None, 0)


def test_what_spent_no_attempt_leaves_none_behind() -> None:
    interrupted = a_job(attempt=2).fail(INTERRUPTION).after
    assert interrupted.claim("worker/2", LATER, POLICY).after.past_attempts == ()
    exhausted = a_job(Status.FAILED, attempt=SPENT, failure=ERROR).exhaust(LATER, POLICY).after
    reopened = exhausted.reopen(LATER).after
    assert len(reopened.claim("worker/2", LATER, POLICY).after.past_attempts) == 1


def test_the_latest_attempts_are_remembered() -> None:
    patient = LeasePolicy(POLICY.stale_after, max_attempts=1000)
    job = a_job(Status.FAILED, failure=ERROR)
    for number in range(2, KEPT_ATTEMPTS + 9):
        job = job.claim(f"worker/{number}", LATER, patient).after.fail(ERROR).after
    assert [past.attempt for past in job.past_attempts] == list(range(8, KEPT_ATTEMPTS + 8))


def test_an_error_spends_the_attempt_and_is_recorded() -> None:
    after = a_job(attempt=2).fail(ERROR).after
    assert (after.attempt, after.failure, after.last_modified_at) == (2, ERROR, ERROR.at)


def test_an_interruption_hands_the_attempt_back() -> None:
    after = a_job(attempt=2).fail(INTERRUPTION).after
    assert (after.attempt, after.failure, after.last_modified_at) == (1, INTERRUPTION, LATER)


def test_interruptions_never_spend_a_job() -> None:
    job = a_job(attempt=POLICY.max_attempts - 1)
    for number in range(20):
        job = job.fail(INTERRUPTION).after.claim(f"worker/{number}", LATER, POLICY).after
    assert not job.is_spent(POLICY)


def test_completing_clears_the_failure_of_an_earlier_run() -> None:
    after = a_job(failure=ERROR).complete(LATER).after
    assert (after.failure, after.finished_at, after.last_modified_at) == (None, LATER, LATER)


def test_reopening_gives_all_attempts_anew() -> None:
    after = a_job(Status.EXHAUSTED, attempt=SPENT, failure=ERROR).reopen(LATER).after
    assert (after.status, after.attempt, after.failure) == (Status.FAILED, 0, ERROR)


def test_a_checkpoint_records_progress_and_the_time() -> None:
    job = a_job(steps=(StepProgress("a"), StepProgress("b")))
    progress = StepProgress("b", StepStatus.IN_PROGRESS, 7, "cursor")
    after = job.checkpoint(LATER, progress).after
    assert after.steps == (StepProgress("a"), progress)
    assert after.last_modified_at == LATER
    assert (after.status, after.attempt) == (job.status, job.attempt)


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
    cut = milliseconds(time)
    assert cut.microsecond % 1000 == 0
    assert timedelta(0) <= time - cut < timedelta(milliseconds=1)


def test_three_heartbeats_fit_into_the_threshold() -> None:
    policy = LeasePolicy(timedelta(seconds=600), 5)
    assert policy.heartbeat_interval <= 600 / 3
