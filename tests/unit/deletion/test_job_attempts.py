"""What spends an attempt, what hands it back, and what is remembered of each."""

from dataclasses import replace
from datetime import timedelta

import pytest

from deletion.errors import TransitionError
from deletion.job import (
    INTERRUPTED,
    KEPT_ATTEMPTS,
    LONGEST_REST,
    RETRIED,
    STALE,
    SUSPECT_ENDS,
    Failure,
    Job,
    LeasePolicy,
    PastAttempt,
    Status,
    StepProgress,
    StepStatus,
    suspect_queue,
)
from tests.support.clock import START
from tests.support.factories import SERVICE, a_job
from tests.unit.deletion.transitions import (
    CALLS,
    CASES,
    ERROR,
    LATER,
    LEFT,
    PARKED,
    POLICY,
    SILENT,
    SPENT,
    TICK,
    interrupted,
    past,
)


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
    parked = a_job(attempt=2).park(PARKED, LATER, POLICY, has_called=False).after
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
    assert job.queue == (suspect_queue(SERVICE) if suspect else SERVICE)
    assert suspect_queue(SERVICE) == f"{SERVICE}/suspect"


def test_a_suspect_that_is_handed_over_stays_among_the_suspects() -> None:
    job = a_job(past_attempts=past(STALE, STALE))
    assert job.hand_over(ERROR).after.queue == suspect_queue(SERVICE)


def test_a_silence_after_a_failure_is_a_silence() -> None:
    """The failure of an attempt before does not excuse it."""
    stale = a_job(attempt=2, failure=ERROR)
    assert stale.end_reason == STALE
    assert stale.fail(ERROR).after.end_reason == ERROR.type


def test_an_error_spends_the_attempt_and_is_recorded() -> None:
    after = a_job(attempt=2).fail(ERROR).after
    assert (after.attempt, after.failure, after.due) == (2, ERROR, None)


def test_an_interruption_hands_the_attempt_back_and_says_so() -> None:
    after = a_job(attempt=2).hand_over(ERROR).after
    assert (after.attempt, after.due) == (1, START)
    assert after.failure == replace(ERROR, interrupted=True)
    assert not after.needs_sweep(SILENT, POLICY), "it is a worker's, not a sweep's"
    assert not after.is_retryable(SILENT, POLICY)


def test_a_retry_that_is_refused_says_why() -> None:
    with pytest.raises(TransitionError, match="it was interrupted, and is due already"):
        CASES["failed, handed over"].retry(SILENT, POLICY)
    with pytest.raises(TransitionError, match="it is complete"):
        CASES["complete"].retry(SILENT, POLICY)


def test_a_stale_job_that_rests_says_so() -> None:
    stale = a_job(past_attempts=past(STALE))
    now = START + POLICY.stale_after
    with pytest.raises(TransitionError, match="it still rests"):
        stale.resume(now, POLICY)


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
    assert (suspect.attempt, suspect.queue) == (1, suspect_queue(SERVICE))
    failed = interrupted(WAITING, 3)
    assert (failed.status, failed.attempt, failed.due) == (Status.FAILED, 2, None)
    assert failed.failure == Failure(
        ERROR.type, f"interrupted 3 times at the same batch: {ERROR.message}", LATER
    )
    resumed = failed.resume(SILENT, POLICY).after
    assert resumed.queue == suspect_queue(SERVICE)
    again = resumed.claim("worker/4", SILENT).after.hand_over(replace(ERROR, at=SILENT)).after
    assert (again.attempt, again.due) == (3, None)
    assert again.is_spent(POLICY)
    further = replace(resumed, steps=(STEPS[0], replace(STEPS[1], batches=4)))
    freed = further.claim("worker/4", SILENT).after.hand_over(replace(ERROR, at=SILENT)).after
    assert (freed.attempt, freed.due, freed.queue) == (2, START, SERVICE), "it was a batch further"


@pytest.mark.parametrize("transition", ["checkpoint", "park"])
def test_a_batch_further_a_job_is_no_suspect_any_more(transition: str) -> None:
    """A job that parks again and again would keep to the one slot of the suspects."""
    suspect = interrupted(WAITING, 2)
    running = suspect.claim("worker/3", LATER).after
    assert len(CALLS[transition](running, LATER).after.past_attempts) == 2, "no batch further"
    further = running.noted(replace(STEPS[1], batches=4))
    after = CALLS[transition](further, LATER).after
    assert (after.is_suspect, after.past_attempts) == (False, ())
    parked = after if transition == "park" else CALLS["park"](after, LATER).after
    assert parked.queue == SERVICE


READS_BACK = a_job(
    attempt=1,
    point_of_no_return="b",
    steps=(StepProgress("a", StepStatus.COMPLETE, 9, batches=2), StepProgress("b")),
)


@pytest.mark.proves("interrupted-again")
@pytest.mark.parametrize(
    "reads_back",
    [READS_BACK, replace(READS_BACK, steps=READS_BACK.steps[:1])],
    ids=["before the point of no return", "at the end"],
)
def test_a_read_back_that_is_interrupted_each_time_is_not_forgotten_while_somebody_writes(
    reads_back: Job,
) -> None:
    """Each of its runs deletes what was written since, and gets to the read-back again."""
    job = reads_back
    for _ in range(SUSPECT_ENDS):
        job = job.hand_over(ERROR).after
        assert (job.attempt, job.due) == (0, START)
        job = job.claim("worker/2", LATER).after
        a = job.progress("a")
        job = job.checkpoint(LATER, a.again().advanced(1, "c", 0.1)).after
        job = job.noted(replace(job.progress("a"), status=StepStatus.COMPLETE))
    assert job.is_suspect
    failed = job.hand_over(ERROR).after
    assert (failed.status, failed.attempt, failed.due) == (Status.FAILED, 1, None)
    job = failed.resume(SILENT, POLICY).after.claim("worker/3", SILENT).after
    begun = job.checkpoint(SILENT, job.progress("b").advanced(1, "c", 0.1)).after
    kept = [past.reason for past in begun.past_attempts if past.reason == INTERRUPTED]
    assert len(kept) == (0 if reads_back is READS_BACK else SUSPECT_ENDS)


def test_silences_count_however_far_a_job_gets() -> None:
    further = a_job(past_attempts=past(STALE, STALE), steps=STEPS).checkpoint(LATER, STEPS[0])
    assert further.after.is_suspect


def test_a_step_that_left_the_plan_is_not_where_a_job_stands() -> None:
    """It stays pending for good, and the job would seem never to get a batch further."""
    renamed = replace(WAITING, steps=(StepProgress("renamed"), WAITING.steps[1]))
    job = interrupted(renamed, 20, batch=1)
    assert (job.attempt, job.queue) == (1, SERVICE)


def test_an_operators_retry_forgets_the_interruptions() -> None:
    retried = interrupted(WAITING, 3).retry(SILENT, POLICY).after
    claimed = retried.claim("worker/4", SILENT).after
    assert claimed.hand_over(replace(ERROR, at=SILENT)).after.due == START


@pytest.mark.parametrize(("has_called", "attempt"), [(False, 1), (True, 2)])
def test_a_parked_job_waits_and_pays_only_if_it_has_called(has_called: bool, attempt: int) -> None:
    until = LATER + timedelta(minutes=1, microseconds=77)
    after = a_job(attempt=2).park(PARKED, until, POLICY, has_called=has_called).after
    assert (after.status, after.attempt) == (Status.PENDING, attempt)
    assert after.failure == PARKED, "so that an operator can read why"
    wait = POLICY.rest_after(2) if has_called else timedelta(minutes=1)
    assert after.due == LATER + wait, "as the database keeps it"
    late = a_job(attempt=2).park(PARKED, LATER + LONGEST_REST, POLICY, has_called=has_called).after
    assert late.due == LATER + LONGEST_REST, "never before the API may be called"


def test_to_hurry_a_parked_job_is_no_end_of_an_attempt() -> None:
    """Its past attempts are few and kept for failures, and it may be hurried again and again."""
    parked = a_job(attempt=1).park(PARKED, SILENT + LONGEST_REST, POLICY, has_called=False).after
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
