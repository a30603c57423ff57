"""Every transition a job may make, and no other."""

from collections.abc import Callable
from dataclasses import fields, replace
from datetime import datetime, timedelta
from itertools import pairwise, product
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deletion.clock import milliseconds
from deletion.errors import TransitionError
from deletion.job import (
    ENDED,
    INTERRUPTED,
    KEPT_ATTEMPTS,
    LONGEST_REST,
    RETRIED,
    RULES,
    STALE,
    Change,
    Failure,
    Job,
    LeasePolicy,
    PastAttempt,
    Status,
    StepProgress,
    StepStatus,
    merged,
    suspects,
)
from tests.support.clock import START
from tests.support.factories import SERVICE, a_job

POLICY = LeasePolicy(timedelta(seconds=60), max_attempts=3, rest=timedelta(minutes=20))
TICK = timedelta(milliseconds=1)
LATER = START + timedelta(seconds=5)
SILENT = START + timedelta(days=2)
"""Stale by then, and rested after any attempt."""
ERROR = Failure("ValueError", "broken", LATER)
PARKED = Failure("Parked", "billing: its breaker is open", LATER)
SPENT, LEFT = POLICY.max_attempts, POLICY.max_attempts - 1

CALLS: dict[str, Callable[[Job, datetime], Change]] = {
    "claim": lambda job, now: job.claim("worker-2/b", now),
    "checkpoint": lambda job, now: job.checkpoint(now),
    "complete": lambda job, now: job.complete(now),
    "fail": lambda job, now: job.fail(replace(ERROR, at=now)),
    "hand_over": lambda job, now: job.hand_over(replace(ERROR, at=now)),
    "compensate": lambda job, now: job.compensate(now),
    "park": lambda job, now: job.park(
        replace(PARKED, at=now), now + timedelta(hours=1), POLICY, spent=True
    ),
    "turn_back": lambda job, now: job.turn_back(replace(ERROR, at=now)),
    "turn_back_spent": lambda job, now: job.turn_back_spent(now, POLICY),
    "resume": lambda job, now: job.resume(now, POLICY),
    "exhaust": lambda job, now: job.exhaust(now, POLICY),
    "retry": lambda job, now: job.retry(now, POLICY),
}

BEFORE_POINT = {"point_of_no_return": "delete"}
PAST_POINT = {"steps": (StepProgress("delete").began(START),), **BEFORE_POINT}
BACKWARDS = {"turned_back": ERROR, **BEFORE_POINT}

CASES = {
    "pending, due": a_job(Status.PENDING, attempt=0, due=START),
    "pending, due later": a_job(Status.PENDING, attempt=0, due=SILENT + TICK),
    "in_progress": a_job(Status.IN_PROGRESS, attempt=LEFT),
    "in_progress, spent": a_job(Status.IN_PROGRESS, attempt=SPENT),
    "failed": a_job(Status.FAILED, attempt=LEFT, failure=ERROR),
    "failed, spent": a_job(Status.FAILED, attempt=SPENT, failure=ERROR),
    "failed, handed over": a_job(
        Status.FAILED, attempt=LEFT, failure=replace(ERROR, interrupted=True), due=START
    ),
    "complete": a_job(Status.COMPLETE),
    "exhausted": a_job(Status.EXHAUSTED, attempt=SPENT),
    "saga, in_progress": a_job(Status.IN_PROGRESS, attempt=LEFT, **BEFORE_POINT),
    "saga, in_progress, spent": a_job(Status.IN_PROGRESS, attempt=SPENT, **BEFORE_POINT),
    "saga, failed": a_job(Status.FAILED, attempt=LEFT, failure=ERROR, **BEFORE_POINT),
    "saga, failed, spent": a_job(Status.FAILED, attempt=SPENT, failure=ERROR, **BEFORE_POINT),
    "past its point, in_progress": a_job(Status.IN_PROGRESS, attempt=LEFT, **PAST_POINT),
    "past its point, failed, spent": a_job(
        Status.FAILED, attempt=SPENT, failure=ERROR, **PAST_POINT
    ),
    "backwards, in_progress": a_job(Status.IN_PROGRESS, attempt=LEFT, **BACKWARDS),
    "backwards, failed, spent": a_job(Status.FAILED, attempt=SPENT, failure=ERROR, **BACKWARDS),
    "compensated": a_job(Status.COMPENSATED, attempt=LEFT, **BACKWARDS),
}

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
    **{(name, "backwards, in_progress"): target for name, target in RUN if name != "complete"},
    ("turn_back", "saga, in_progress"): "pending",
    ("turn_back", "saga, in_progress, spent"): "pending",
    ("compensate", "backwards, in_progress"): "compensated",
    ("retry", "saga, failed"): "pending",
    ("retry", "saga, failed, spent"): "pending",
    ("retry", "past its point, failed, spent"): "pending",
    ("retry", "backwards, failed, spent"): "pending",
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
    ("turn_back_spent", "saga, in_progress, spent"): "pending",
    ("turn_back_spent", "saga, failed, spent"): "pending",
    ("exhaust", "past its point, failed, spent"): "exhausted",
    ("exhaust", "backwards, failed, spent"): "exhausted",
    ("resume", "past its point, in_progress"): "pending",
    ("resume", "backwards, in_progress"): "pending",
    ("retry", "saga, in_progress"): "pending",
    ("retry", "saga, in_progress, spent"): "pending",
    ("retry", "past its point, in_progress"): "pending",
    ("retry", "backwards, in_progress"): "pending",
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
    "turn_back": HOLDER,
    "turn_back_spent": OUTSIDER,
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
    if transition in ("resume", "exhaust", "turn_back_spent"):  # they need a silence
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


def test_a_job_is_stale_from_the_threshold_on_and_not_a_millisecond_earlier() -> None:
    job, stale = a_job(), START + POLICY.stale_after
    assert not job.is_stale(stale - TICK, POLICY)
    assert job.is_stale(stale, POLICY)
    assert job.is_stale(stale + timedelta(days=1), POLICY)


@pytest.mark.parametrize("status", [s for s in Status if s is not Status.IN_PROGRESS])
def test_only_a_job_in_progress_goes_stale(status: Status) -> None:
    assert not a_job(status).is_stale(SILENT, POLICY)


@pytest.mark.proves("day-without-data")
@pytest.mark.parametrize(
    ("attempt", "minutes"), [(0, 20), (1, 20), (2, 80), (3, 320), (4, 1280), (5, 1440), (99, 1440)]
)
def test_a_failed_job_rests_four_times_as_long_after_each_attempt_up_to_a_day(
    attempt: int, minutes: int
) -> None:
    patient = replace(POLICY, max_attempts=1000)
    rested = START + timedelta(minutes=minutes)
    job = a_job(Status.FAILED, attempt=attempt, failure=ERROR)
    assert POLICY.rest_after(attempt) == timedelta(minutes=minutes) <= LONGEST_REST
    if attempt:
        assert not job.is_resumable(rested - TICK, patient)
        assert job.is_resumable(rested, patient)


@pytest.mark.proves("hour-without-database")
@pytest.mark.parametrize(
    ("silences", "minutes"), [(0, 1), (1, 20), (2, 80), (3, 320), (4, 1280), (9, 1440)]
)
def test_a_stale_job_rests_from_its_second_silence_on(silences: int, minutes: int) -> None:
    """The first may be any killed process; more of them may be an outage of the job database."""
    rested = START + timedelta(minutes=minutes)
    job = a_job(past_attempts=past(*[STALE] * silences))
    assert job.is_stale(rested, POLICY)
    assert not job.is_resumable(rested - TICK, POLICY)
    assert job.is_resumable(rested, POLICY)
    assert job.is_retryable(START + POLICY.stale_after, POLICY), "an operator waits for no rest"


@pytest.mark.parametrize("status", [Status.FAILED, Status.IN_PROGRESS])
def test_a_job_without_attempts_is_given_up_after_the_shortest_rest(status: Status) -> None:
    rested = START + timedelta(minutes=20)
    job = a_job(status, attempt=SPENT, past_attempts=past(STALE, STALE))
    assert not job.is_resumable(rested - TICK, POLICY)
    assert job.is_resumable(rested, POLICY)


DEFAULTS = LeasePolicy(timedelta(minutes=10), max_attempts=5)


@pytest.mark.proves("hour-without-database")
def test_an_hour_of_outages_of_the_job_database_exhausts_no_job_with_the_defaults() -> None:
    """Five of them, with a sweep after each."""
    job, now = a_job(Status.PENDING, attempt=0, due=START), START
    while now < START + timedelta(hours=1):
        job = job.claim("worker/a", now).after if job.is_due(now) else job
        now += timedelta(minutes=12)  # no heartbeat is written
        if job.is_resumable(now, DEFAULTS):
            job = job.resume(now, DEFAULTS).after  # raises when its attempts are spent
    assert job.attempt <= 3


@pytest.mark.proves("day-without-data")
def test_a_day_without_the_data_database_exhausts_no_job_with_the_defaults() -> None:
    """However often it is swept: each attempt takes ten minutes of retries."""
    policy = DEFAULTS
    job, now = a_job(Status.PENDING, attempt=0, due=START), START
    while now < START + timedelta(days=1):
        if job.is_due(now):
            job = job.claim("worker/a", now).after
            now += timedelta(minutes=10)
            job = job.fail(replace(ERROR, at=now)).after
        elif job.is_resumable(now, policy):
            job = job.resume(now, policy).after  # raises when its attempts are spent
        now += timedelta(minutes=1)
    assert not job.is_spent(policy)


@pytest.mark.parametrize("status", list(Status))
def test_a_job_is_live_until_it_has_ended(status: Status) -> None:
    assert a_job(status).live is (status not in ENDED)


def test_attempts_are_spent_with_the_last_one_and_not_before() -> None:
    assert not a_job(attempt=LEFT).is_spent(POLICY)
    assert a_job(attempt=SPENT).is_spent(POLICY)
    assert a_job(attempt=SPENT + 1).is_spent(POLICY)


def test_a_claim_counts_an_attempt_and_names_its_owner() -> None:
    handed_over = CASES["failed, handed over"]
    after = handed_over.claim("worker-2/b", LATER).after
    assert (after.attempt, after.claimed_by, after.due) == (SPENT, "worker-2/b", None)
    assert after.failure == handed_over.failure, "why it failed stays known until it is complete"


def test_a_claim_is_made_from_due_on_and_not_a_millisecond_earlier() -> None:
    job = a_job(Status.PENDING, attempt=0, due=LATER)
    with pytest.raises(TransitionError, match="not due"):
        job.claim("worker/a", LATER - TICK)
    assert job.claim("worker/a", LATER).after.attempt == 1


STEPS = (
    StepProgress("a", StepStatus.COMPLETE, 9, batches=2),
    StepProgress("b", StepStatus.IN_PROGRESS, 7, "c", batches=3),
)


@pytest.mark.proves("deadly-deletion")
@pytest.mark.parametrize("transition", ["resume", "retry"])
def test_what_ends_an_attempt_records_where_it_stood(transition: str) -> None:
    stale = a_job(attempt=1, steps=STEPS, failure=ERROR)
    after = CALLS[transition](stale, SILENT).after
    assert after.past_attempts[0] == PastAttempt(1, "worker-1/a", "b", 4, START, STALE)


def test_a_retry_is_among_the_past_attempts() -> None:
    after = a_job(attempt=1, steps=STEPS).retry(SILENT, POLICY).after
    assert after.past_attempts[1:] == (PastAttempt(1, "worker-1/a", "b", 4, SILENT, RETRIED),)


@pytest.mark.proves("deadly-deletion")
def test_a_failure_is_named_and_each_attempt_is_added() -> None:
    failed = a_job(attempt=1, steps=STEPS).fail(ERROR).after
    job = failed.resume(SILENT, POLICY).after.claim("worker/2", SILENT).after
    job = replace(job.fail(replace(ERROR, at=SILENT)).after, attempt=SPENT)
    past = job.exhaust(SILENT + timedelta(days=1), POLICY).after.past_attempts
    assert [(p.attempt, p.claimed_by, p.reason) for p in past] == [
        (1, "worker-1/a", ERROR.type),
        (SPENT, "worker/2", ERROR.type),
    ]


def test_a_job_whose_steps_were_all_done_stood_at_none() -> None:
    [past] = a_job(steps=STEPS[:1]).resume(SILENT, POLICY).after.past_attempts
    assert (past.step, past.batch) == (None, 0)


def test_what_spent_no_attempt_leaves_none_behind() -> None:
    parked = a_job(attempt=2).park(PARKED, LATER, POLICY, spent=False).after
    assert parked.claim("worker/2", LATER).after.past_attempts == ()
    exhausted = CASES["failed, spent"].exhaust(SILENT, POLICY).after
    past = exhausted.retry(SILENT, POLICY).after.past_attempts
    assert [each.reason for each in past] == [ERROR.type, RETRIED], "its end was there already"


def test_the_latest_attempts_are_remembered() -> None:
    patient = LeasePolicy(POLICY.stale_after, max_attempts=1000, rest=timedelta(0))
    job, now = a_job(Status.FAILED, failure=ERROR), START
    for number in range(2, KEPT_ATTEMPTS + 9):
        now += timedelta(seconds=1)
        job = job.resume(now, patient).after.claim(f"worker/{number}", now).after
        job = job.fail(replace(ERROR, at=now)).after
    assert [past.attempt for past in job.past_attempts] == list(range(8, KEPT_ATTEMPTS + 8))


def past(*reasons: str) -> tuple[PastAttempt, ...]:
    return tuple(PastAttempt(n, "w", "a", 1, START, why) for n, why in enumerate(reasons, 1))


@pytest.mark.proves("killer-job")
@pytest.mark.parametrize(
    ("reasons", "suspect"),
    [
        ([], False),
        ([STALE], False),
        (["ValueError", "ValueError", STALE], False),
        ([STALE, "ValueError", STALE], True),
        ([STALE] * 3, True),
        ([INTERRUPTED], False),
        ([INTERRUPTED, STALE], True),
        ([INTERRUPTED] * 2, True),
        ([STALE, STALE, RETRIED], False),
        ([STALE, RETRIED, STALE], False),
        ([STALE, RETRIED, STALE, STALE], True),
    ],
)
def test_what_ended_with_its_process_twice_waits_in_a_queue_of_its_own(
    reasons: list[str], suspect: bool
) -> None:
    job = a_job(Status.PENDING, due=START, past_attempts=past(*reasons))
    assert job.is_suspect is suspect
    assert job.queue == (suspects(SERVICE) if suspect else SERVICE)
    assert suspects(SERVICE) == f"{SERVICE}/suspect"


def test_a_suspect_that_is_handed_over_stays_among_the_suspects() -> None:
    job = a_job(past_attempts=past(STALE, STALE))
    assert job.hand_over(ERROR).after.queue == suspects(SERVICE)


def test_a_silence_after_a_failure_is_a_silence() -> None:
    """The failure of an attempt before does not excuse it."""
    stale = a_job(attempt=2, failure=ERROR)
    assert stale.end == STALE
    assert stale.fail(ERROR).after.end == ERROR.type


def test_an_error_spends_the_attempt_and_is_recorded() -> None:
    after = a_job(attempt=2).fail(ERROR).after
    assert (after.attempt, after.failure, after.due) == (2, ERROR, None)


def test_an_interruption_hands_the_attempt_back_and_says_so() -> None:
    after = a_job(attempt=2).hand_over(ERROR).after
    assert (after.attempt, after.due) == (1, START)
    assert after.failure == replace(ERROR, interrupted=True)
    assert not after.is_resumable(SILENT, POLICY), "it is a worker's, not a sweep's"
    assert not after.is_retryable(SILENT, POLICY)


def interrupted(job: Job, times: int, *, batch: int = 0) -> Job:
    """Claimed and handed over so often, a batch further each time if `batch`."""
    for number in range(times):
        job = job.claim(f"worker/{number}", LATER).after
        progress = replace(job.steps[1], batches=job.steps[1].batches + batch)
        job = job.checkpoint(LATER, progress).after.hand_over(ERROR).after
    return job


WAITING = a_job(Status.PENDING, attempt=1, due=START, steps=STEPS)


@pytest.mark.proves("hand-over")
def test_interruptions_never_spend_a_job_that_gets_a_batch_further_each_time() -> None:
    job = interrupted(WAITING, 20, batch=1)
    assert (job.attempt, job.queue) == (1, SERVICE)
    assert [(past.reason, past.batch) for past in job.past_attempts] == [(INTERRUPTED, 24)]


@pytest.mark.proves("interrupted-again")
def test_a_job_that_is_interrupted_at_one_batch_again_and_again_becomes_a_suspect_and_fails() -> (
    None
):
    """It may be why its process is asked to stop: nothing that ends processes is immortal."""
    assert interrupted(WAITING, 1).queue == SERVICE
    suspect = interrupted(WAITING, 2)
    assert (suspect.attempt, suspect.queue) == (1, suspects(SERVICE))
    failed = interrupted(WAITING, 3)
    assert (failed.status, failed.attempt, failed.due) == (Status.FAILED, 2, None)
    assert failed.failure == Failure(
        ERROR.type, f"interrupted 3 times at the same batch: {ERROR.message}", LATER
    )
    resumed = failed.resume(SILENT, POLICY).after
    assert resumed.queue == suspects(SERVICE)
    again = resumed.claim("worker/4", SILENT).after.hand_over(replace(ERROR, at=SILENT)).after
    assert (again.attempt, again.due) == (3, None)
    assert again.is_spent(POLICY)
    further = replace(resumed, steps=(STEPS[0], replace(STEPS[1], batches=4)))
    freed = further.claim("worker/4", SILENT).after.hand_over(replace(ERROR, at=SILENT)).after
    assert (freed.attempt, freed.due, freed.queue) == (2, START, SERVICE), "it was a batch further"


def test_a_step_that_left_the_plan_is_not_where_a_job_stands() -> None:
    """It stays pending for good, and the job would seem never to get a batch further."""
    renamed = replace(WAITING, steps=(StepProgress("renamed"), WAITING.steps[1]))
    job = interrupted(renamed, 20, batch=1)
    assert (job.attempt, job.queue) == (1, SERVICE)


def test_an_operators_retry_forgets_the_interruptions() -> None:
    retried = interrupted(WAITING, 3).retry(SILENT, POLICY).after
    claimed = retried.claim("worker/4", SILENT).after
    assert claimed.hand_over(replace(ERROR, at=SILENT)).after.due == START


@pytest.mark.parametrize(("spent", "attempt"), [(False, 1), (True, 2)])
def test_a_parked_job_waits_and_pays_only_if_it_has_called(spent: bool, attempt: int) -> None:
    until = LATER + timedelta(minutes=1, microseconds=77)
    after = a_job(attempt=2).park(PARKED, until, POLICY, spent=spent).after
    assert (after.status, after.attempt) == (Status.PENDING, attempt)
    assert after.failure == PARKED, "so that an operator can read why"
    wait = POLICY.rest_after(2) if spent else timedelta(minutes=1)
    assert after.due == LATER + wait, "as the database keeps it"
    late = a_job(attempt=2).park(PARKED, LATER + LONGEST_REST, POLICY, spent=spent).after
    assert late.due == LATER + LONGEST_REST, "never before the API may be called"


def test_to_hurry_a_parked_job_is_no_end_of_an_attempt() -> None:
    """Its past attempts are few and kept for failures, and it may be hurried again and again."""
    parked = a_job(attempt=1).park(PARKED, SILENT + LONGEST_REST, POLICY, spent=False).after
    assert parked.retry(SILENT, POLICY).after.past_attempts == ()
    spent = replace(parked, attempt=SPENT).retry(SILENT, POLICY).after
    assert (spent.attempt, [past.reason for past in spent.past_attempts]) == (0, ["retried"])


def test_completing_clears_the_failure_of_an_earlier_run() -> None:
    after = a_job(failure=ERROR).complete(LATER).after
    assert (after.failure, after.finished_at) == (None, LATER)


@pytest.mark.parametrize(
    ("case", "attempt"),
    [("failed", LEFT), ("failed, spent", 0), ("in_progress, spent", 0), ("exhausted", 0)],
)
def test_a_retry_gives_all_attempts_anew_if_they_were_spent(case: str, attempt: int) -> None:
    assert CASES[case].retry(SILENT, POLICY).after.attempt == attempt


def test_requests_that_join_move_the_time_and_are_covered() -> None:
    job = a_job()
    joined = job.joined(["x", "y"], LATER + timedelta(microseconds=10))
    assert joined.event_ids == (*job.event_ids, "x", "y")
    assert joined.placed_at == LATER
    behind = job.joined(["z"], job.placed_at - timedelta(days=1))
    assert behind.placed_at == job.placed_at + TICK
    unmoved: dict[str, Any] = {"event_ids": job.event_ids, "placed_at": job.placed_at}
    assert replace(joined, **unmoved) == replace(behind, **unmoved) == job


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
    cut = milliseconds(time)
    assert cut.microsecond % 1000 == 0
    assert timedelta(0) <= time - cut < timedelta(milliseconds=1)


def test_three_heartbeats_fit_into_the_threshold_and_a_call_is_shorter() -> None:
    policy = LeasePolicy(timedelta(seconds=600), 5)
    assert policy.heartbeat_interval <= 600 / 3
    assert policy.call_seconds == 10
    assert LeasePolicy(timedelta(seconds=9), 5).call_seconds == 3
    assert policy.max_skew == timedelta(seconds=200)
