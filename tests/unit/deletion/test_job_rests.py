"""When a job is stale, and how long one rests before a sweep resumes it."""

from dataclasses import replace
from datetime import timedelta

import pytest

from deletion.job import LONGEST_REST, STALE, LeasePolicy, Status
from tests.support.clock import START
from tests.support.factories import a_job
from tests.unit.deletion.transitions import ERROR, POLICY, SILENT, SPENT, TICK, past


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
        assert not job.needs_sweep(rested - TICK, patient)
        assert job.needs_sweep(rested, patient)


@pytest.mark.proves("hour-without-database")
@pytest.mark.parametrize(
    ("silences", "minutes"), [(0, 1), (1, 20), (2, 80), (3, 320), (4, 1280), (9, 1440)]
)
def test_a_stale_job_rests_from_its_second_silence_on(silences: int, minutes: int) -> None:
    """The first may be any killed process; more of them may be an outage of the job database."""
    rested = START + timedelta(minutes=minutes)
    job = a_job(past_attempts=past(*[STALE] * silences))
    assert job.is_stale(rested, POLICY)
    assert not job.needs_sweep(rested - TICK, POLICY)
    assert job.needs_sweep(rested, POLICY)
    assert job.is_retryable(START + POLICY.stale_after, POLICY), "an operator waits for no rest"


@pytest.mark.parametrize("status", [Status.FAILED, Status.IN_PROGRESS])
def test_a_job_without_attempts_is_given_up_after_the_shortest_rest(status: Status) -> None:
    rested = START + timedelta(minutes=20)
    job = a_job(status, attempt=SPENT, past_attempts=past(STALE, STALE))
    assert not job.needs_sweep(rested - TICK, POLICY)
    assert job.needs_sweep(rested, POLICY)


DEFAULTS = LeasePolicy(timedelta(minutes=10), max_attempts=5)


@pytest.mark.proves("hour-without-database")
def test_an_hour_of_outages_of_the_job_database_exhausts_no_job_with_the_defaults() -> None:
    """Five of them, with a sweep after each."""
    job, now = a_job(Status.PENDING, attempt=0, due=START), START
    while now < START + timedelta(hours=1):
        job = job.claim("worker/a", now).after if job.is_due(now) else job
        now += timedelta(minutes=12)  # no heartbeat is written
        if job.needs_sweep(now, DEFAULTS):
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
        elif job.needs_sweep(now, policy):
            job = job.resume(now, policy).after  # raises when its attempts are spent
        now += timedelta(minutes=1)
    assert not job.is_spent(policy)
