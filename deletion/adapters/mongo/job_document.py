"""The document a job is stored as. Its field names are fixed: others read them too."""

from bson import ObjectId

from deletion.adapters.mongo.connection import Document
from deletion.job import Failure, Job, PastAttempt, Status, StepProgress, StepStatus


def to_document(job: Job) -> Document:
    """The whole job, `live` included: the partial unique index needs it stored."""
    return {
        "_id": ObjectId(job.id),
        "service": job.service,
        "botId": ObjectId(job.bot_id),
        "eventId": job.event_id,
        "placedAt": job.placed_at,
        "createdAt": job.created_at,
        **mutable_fields(job),
    }


def mutable_fields(job: Job) -> Document:
    """What a transition may write."""
    return {
        "status": job.status.value,
        "attempt": job.attempt,
        "claimedBy": job.claimed_by,
        "lastModifiedAt": job.last_modified_at,
        "finishedAt": job.finished_at,
        "steps": [_step_document(progress) for progress in job.steps],
        "failure": _failure_document(job.failure),
        "pastAttempts": [_past_document(past) for past in job.past_attempts],
        "live": job.live,
    }


def from_document(document: Document) -> Job:
    """The job of a document that `to_document` wrote."""
    failure = document["failure"]
    return Job(
        id=str(document["_id"]),
        service=document["service"],
        bot_id=str(document["botId"]),
        event_id=document["eventId"],
        status=Status(document["status"]),
        attempt=document["attempt"],
        claimed_by=document["claimedBy"],
        placed_at=document["placedAt"],
        created_at=document["createdAt"],
        last_modified_at=document["lastModifiedAt"],
        finished_at=document["finishedAt"],
        steps=tuple(
            StepProgress(
                name=p["name"],
                status=StepStatus(p["status"]),
                deleted=p["deleted"],
                cursor=p["cursor"],
                batches=p.get("batches", 0),
                slowest=p.get("slowest", 0.0),
            )
            for p in document["steps"]
        ),
        failure=failure and Failure(**failure),
        past_attempts=tuple(
            PastAttempt(
                attempt=past["attempt"],
                claimed_by=past["claimedBy"],
                step=past["step"],
                batch=past["batch"],
                at=past["at"],
                reason=past["reason"],
            )
            for past in document.get("pastAttempts", ())
        ),
    )


def _step_document(progress: StepProgress) -> Document:
    return {
        "name": progress.name,
        "status": progress.status.value,
        "deleted": progress.deleted,
        "cursor": progress.cursor,
        "batches": progress.batches,
        "slowest": progress.slowest,
    }


def _past_document(past: PastAttempt) -> Document:
    return {
        "attempt": past.attempt,
        "claimedBy": past.claimed_by,
        "step": past.step,
        "batch": past.batch,
        "at": past.at,
        "reason": past.reason,
    }


def _failure_document(failure: Failure | None) -> Document | None:
    if failure is None:
        return None
    return {
        "type": failure.type,
        "message": failure.message,
        "at": failure.at,
        "interrupted": failure.interrupted,
    }
