"""Every change that a job may make, of a job of its own that may make it."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any
from uuid import uuid4

from bson import ObjectId

from deletion.job import Change, Failure, Job, Status, StepProgress, StepStatus
from tests.conformance.job_store.jobs import POLICY, SILENT
from tests.support.clock import START
from tests.support.factories import LATER, new_job

FAILURE = Failure("ValueError", "broken", LATER)
INTERRUPTION = replace(FAILURE, type="Interrupted", interrupted=True)
PROGRESS = StepProgress("a", StepStatus.IN_PROGRESS, 7, "c")
SAGA: dict[str, Any] = {"point_of_no_return": "b"}
ROLLBACK: dict[str, Any] = {**SAGA, "rollback_cause": FAILURE, "compensations": (PROGRESS,)}
CHANGES: dict[str, tuple[Job, Callable[[Job], Change]]] = {
    "claim pending": (
        new_job(status=Status.PENDING, attempt=0),
        lambda job: job.claim("worker/new", LATER),
    ),
    "claim failed": (
        new_job(status=Status.FAILED, failure=INTERRUPTION, due=START),
        lambda job: job.claim("worker/new", LATER),
    ),
    "checkpoint": (new_job(), lambda job: job.checkpoint(LATER, PROGRESS)),
    "complete": (new_job(), lambda job: job.complete(LATER)),
    "checkpoint of a beginning": (
        new_job(**SAGA),
        lambda job: job.begin(LATER, PROGRESS.began(START), is_compensated=True),
    ),
    "checkpoint of a rollback": (
        new_job(**ROLLBACK),
        lambda job: job.checkpoint(LATER, PROGRESS.advanced(1, "d", 0.5)),
    ),
    "compensate": (new_job(**ROLLBACK), lambda job: job.compensate(LATER)),
    "roll_back": (new_job(**SAGA), lambda job: job.roll_back(FAILURE)),
    "roll_back_spent failed": (
        new_job(status=Status.FAILED, attempt=3, failure=FAILURE, **SAGA),
        lambda job: job.roll_back_spent(SILENT, POLICY),
    ),
    "roll_back_spent stale": (
        new_job(attempt=3, **SAGA),
        lambda job: job.roll_back_spent(SILENT, POLICY),
    ),
    "fail": (new_job(), lambda job: job.fail(FAILURE)),
    "hand_over": (new_job(), lambda job: job.hand_over(FAILURE)),
    "park": (
        new_job(),
        lambda job: job.park(FAILURE, LATER, POLICY, has_called=False),
    ),
    "resume failed": (
        new_job(status=Status.FAILED, failure=FAILURE),
        lambda job: job.resume(SILENT, POLICY),
    ),
    "resume stale": (new_job(), lambda job: job.resume(SILENT, POLICY)),
    "exhaust failed": (
        new_job(status=Status.FAILED, attempt=3, failure=FAILURE),
        lambda job: job.exhaust(SILENT, POLICY),
    ),
    "exhaust stale": (new_job(attempt=3), lambda job: job.exhaust(SILENT, POLICY)),
    "retry pending": (
        new_job(status=Status.PENDING, due=SILENT, parks=1),
        lambda job: job.retry(LATER, POLICY),
    ),
    "retry failed": (
        new_job(status=Status.FAILED, failure=FAILURE),
        lambda job: job.retry(LATER, POLICY),
    ),
    "retry stale": (new_job(), lambda job: job.retry(SILENT, POLICY)),
    "retry exhausted": (
        new_job(status=Status.EXHAUSTED, attempt=3),
        lambda job: job.retry(LATER, POLICY),
    ),
    "retry compensated": (
        new_job(status=Status.COMPENSATED, **ROLLBACK),
        lambda job: job.retry(LATER, POLICY),
    ),
}


def fresh(name: str) -> tuple[Job, Change]:
    """The job of a change, under ids of its own, and the change."""
    template, change = CHANGES[name]
    own = {"id": str(ObjectId()), "bot_id": str(ObjectId()), "event_ids": (str(uuid4()),)}
    job = replace(template, **own)  # type: ignore[arg-type]
    return job, change(job)
