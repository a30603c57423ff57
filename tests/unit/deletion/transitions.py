"""A job of each state, and every change that it may make."""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta

from deletion.job import Change, Failure, Job, LeasePolicy, PastAttempt, Status, StepProgress
from tests.support.clock import START
from tests.support.factories import a_job

POLICY = LeasePolicy(timedelta(seconds=60), max_attempts=3, rest=timedelta(minutes=20))
TICK = timedelta(milliseconds=1)
LATER = START + timedelta(seconds=5)
SILENT = START + timedelta(days=2)
"""Stale by then, and rested after any attempt."""
ERROR = Failure("ValueError", "broken", LATER)
PARKED = Failure("Parked", "the breaker of billing is open", LATER)
SPENT, LEFT = POLICY.max_attempts, POLICY.max_attempts - 1
CALLS: dict[str, Callable[[Job, datetime], Change]] = {
    "claim": lambda job, now: job.claim("worker-2/b", now),
    "checkpoint": lambda job, now: job.checkpoint(now),
    "complete": lambda job, now: job.complete(now),
    "fail": lambda job, now: job.fail(replace(ERROR, at=now)),
    "hand_over": lambda job, now: job.hand_over(replace(ERROR, at=now)),
    "compensate": lambda job, now: job.compensate(now),
    "park": lambda job, now: job.park(
        replace(PARKED, at=now), now + timedelta(hours=1), POLICY, has_called=True
    ),
    "roll_back": lambda job, now: job.roll_back(replace(ERROR, at=now)),
    "roll_back_spent": lambda job, now: job.roll_back_spent(now, POLICY),
    "resume": lambda job, now: job.resume(now, POLICY),
    "exhaust": lambda job, now: job.exhaust(now, POLICY),
    "retry": lambda job, now: job.retry(now, POLICY),
}
BEFORE_POINT = {"point_of_no_return": "delete"}
PAST_POINT = {"steps": (StepProgress("delete").began(START),), **BEFORE_POINT}
ROLLBACK = {"rollback_cause": ERROR, **BEFORE_POINT}
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
    "rollback, in_progress": a_job(Status.IN_PROGRESS, attempt=LEFT, **ROLLBACK),
    "rollback, failed, spent": a_job(Status.FAILED, attempt=SPENT, failure=ERROR, **ROLLBACK),
    "compensated": a_job(Status.COMPENSATED, attempt=LEFT, **ROLLBACK),
}


def past(*reasons: str) -> tuple[PastAttempt, ...]:
    return tuple(PastAttempt(n, "w", "a", 1, START, why) for n, why in enumerate(reasons, 1))


def interrupted(job: Job, times: int, *, batch: int = 0) -> Job:
    """Claimed and handed over so often, a batch further each time if `batch`."""
    for number in range(times):
        job = job.claim(f"worker/{number}", LATER).after
        progress = replace(job.steps[1], batches=job.steps[1].batches + batch)
        job = job.checkpoint(LATER, progress).after.hand_over(ERROR).after
    return job
