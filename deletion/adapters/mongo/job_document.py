"""The document that a job is stored as. Its field names are fixed: others read them too."""

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any, Final

from bson import ObjectId

from deletion.adapters.mongo.connection import Document
from deletion.adapters.mongo.fields import DAMAGED, field, optional, time_or_none
from deletion.errors import UnreadableJob, with_type
from deletion.job import (
    RETRIED,
    ROLLED_BACK,
    Direction,
    Failure,
    Job,
    PastAttempt,
    Status,
    StepProgress,
    StepStatus,
    Throttled,
)
from deletion.ports import Read, Unreadable

_STEP: Final = frozenset(
    {
        "name",
        "status",
        "deleted",
        "cursor",
        "batches",
        "slowest",
        "readBack",
        "placedAt",
        "throttled",
        "found",
    }
)
_FAILURE: Final = frozenset({"type", "message", "at", "interrupted"})
_PAST: Final = frozenset({"attempt", "claimedBy", "step", "batch", "at", "reason", "direction"})


def to_document(job: Job) -> Document:
    """The whole job, `live` included: the partial unique index needs it stored."""
    update = update_of(job)
    return {
        "_id": ObjectId(job.id),
        "service": job.service,
        "botId": ObjectId(job.bot_id),
        "eventId": job.event_id,
        "eventIds": list(job.event_ids),
        "placedAt": job.placed_at,
        "createdAt": job.created_at,
        "requestedBy": job.requested_by,
        "traceparent": job.traceparent,
        **update["$set"],
    }


def update_of(job: Job) -> Document:
    """The update that a transition writes: no field of a later version is touched.

    `queue` and `due` are absent, not null, while no worker may claim the job: the index that
    serves claims is sparse. So is that of `unreported`, which the write that completes a job sets;
    the ledger takes it off once it has settled what the job covers.
    """
    fields: Document = {
        "status": job.status.value,
        "attempt": job.attempt,
        "claimedBy": job.claimed_by,
        "lastModifiedAt": job.last_modified_at,
        "finishedAt": job.finished_at,
        "steps": [_step_document(progress) for progress in job.steps],
        "failure": _failure_document(job.failure),
        "pastAttempts": [_past_document(past) for past in job.past_attempts],
        "parks": job.parks,
        "direction": job.direction.value,
        "pointOfNoReturn": job.point_of_no_return,
        "compensations": [_step_document(progress) for progress in job.compensations],
        "turnedBack": _failure_document(job.rollback_cause),
        "live": job.live,
    }
    if job.status is Status.COMPLETE:
        fields["unreported"] = job.finished_at
    if job.due is None:
        return {"$set": fields, "$unset": {"queue": "", "due": ""}}
    return {"$set": {**fields, "queue": job.queue, "due": job.due}}


def from_document(document: Mapping[str, Any]) -> Job:
    """The job in a document that this or a later version of `to_document` wrote.

    Raises `UnreadableJob` for one that lacks a field, or has a value this code does not know.
    """
    try:
        return _job(document)
    except DAMAGED as error:
        raise UnreadableJob(str(document.get("_id")), with_type(error)) from error


def readable(document: Mapping[str, Any]) -> Read:
    """As `from_document`, but returns an `Unreadable` for a job that cannot be read."""
    try:
        return from_document(document)
    except UnreadableJob as error:
        service, bot = document.get("service"), document.get("botId")
        return Unreadable(
            error.job_id,
            error.reason,
            time_or_none(document.get("due")),
            time_or_none(document.get("lastModifiedAt")),
            service if isinstance(service, str) else None,
            str(bot) if isinstance(bot, ObjectId) else None,
        )


def _job(document: Mapping[str, Any]) -> Job:
    return Job(
        id=str(document["_id"]),
        service=field(document, "service", str),
        bot_id=str(field(document, "botId", ObjectId)),
        event_ids=(field(document, "eventIds", list)[0], *document["eventIds"][1:]),
        status=Status(document["status"]),
        attempt=field(document, "attempt", int),
        claimed_by=field(document, "claimedBy", str),
        placed_at=field(document, "placedAt", datetime),
        created_at=field(document, "createdAt", datetime),
        last_modified_at=field(document, "lastModifiedAt", datetime),
        due=optional(document, "due", datetime),
        finished_at=optional(document, "finishedAt", datetime),
        steps=tuple(_step(step) for step in document["steps"]),
        failure=_failure(document["failure"]),
        past_attempts=tuple(_past_attempts(document)),
        parks=document.get("parks", 0),
        point_of_no_return=optional(document, "pointOfNoReturn", str),
        compensations=tuple(_step(step) for step in document.get("compensations", ())),
        rollback_cause=_failure(document.get("turnedBack")),
        requested_by=document.get("requestedBy", ""),
        traceparent=document.get("traceparent"),
    )


def _step(document: Mapping[str, Any]) -> StepProgress:
    return StepProgress(
        name=document["name"],
        status=StepStatus(document["status"]),
        deleted=field(document, "deleted", int),
        cursor=optional(document, "cursor", str),
        batches=field(document, "batches", int),
        slowest=document["slowest"],
        read_back=document.get("readBack"),
        placed_at=optional(document, "placedAt", datetime),
        throttled=_throttled(optional(document, "throttled", dict)),
        found=document.get("found", False),
        extra=_others(document, _STEP),
    )


def _throttled(document: Mapping[str, Any] | None) -> Throttled | None:
    if document is None:
        return None
    return Throttled(field(document, "by", str), float(document["seconds"]))


def _step_document(progress: StepProgress) -> Document:
    """The document of a step. It has `throttled` and `found` only when they are set."""
    said: Document = {"found": True} if progress.found else {}
    if progress.throttled:
        said["throttled"] = {"by": progress.throttled.why, "seconds": progress.throttled.seconds}
    return {
        **progress.extra,
        **said,
        "name": progress.name,
        "status": progress.status.value,
        "deleted": progress.deleted,
        "cursor": progress.cursor,
        "batches": progress.batches,
        "slowest": progress.slowest,
        "readBack": progress.read_back,
        "placedAt": progress.placed_at,
    }


def _past_attempts(job: Mapping[str, Any]) -> Iterator[PastAttempt]:
    """Yield the past attempts. Where an earlier version recorded no direction, it is inferred.

    A job goes backward from the attempt that rolled it back until an operator retries it after
    everything was undone.
    """
    documents = job["pastAttempts"]
    is_marked = any(past["reason"] == ROLLED_BACK for past in documents)
    inferred = Direction.BACKWARD if job.get("turnedBack") and not is_marked else Direction.FORWARD
    for document in documents:
        past = _past(document, inferred)
        yield past
        inferred = past.direction
        if past.reason == ROLLED_BACK:
            inferred = Direction.BACKWARD
        elif past.reason == RETRIED and past.step is None:
            inferred = Direction.FORWARD


def _past(document: Mapping[str, Any], inferred: Direction) -> PastAttempt:
    return PastAttempt(
        attempt=document["attempt"],
        claimed_by=document["claimedBy"],
        step=document["step"],
        batch=document["batch"],
        at=field(document, "at", datetime),
        reason=document["reason"],
        extra=_others(document, _PAST),
        direction=Direction(document.get("direction", inferred)),
    )


def _past_document(past: PastAttempt) -> Document:
    return {
        **past.extra,
        "attempt": past.attempt,
        "claimedBy": past.claimed_by,
        "step": past.step,
        "batch": past.batch,
        "at": past.at,
        "reason": past.reason,
        "direction": past.direction.value,
    }


def _failure(document: Mapping[str, Any] | None) -> Failure | None:
    if document is None:
        return None
    return Failure(
        type=document["type"],
        message=document["message"],
        at=field(document, "at", datetime),
        interrupted=document["interrupted"],
        extra=_others(document, _FAILURE),
    )


def _failure_document(failure: Failure | None) -> Document | None:
    if failure is None:
        return None
    return {
        **failure.extra,
        "type": failure.type,
        "message": failure.message,
        "at": failure.at,
        "interrupted": failure.interrupted,
    }


def _others(document: Mapping[str, Any], known: frozenset[str]) -> dict[str, object]:
    return {name: value for name, value in document.items() if name not in known}
