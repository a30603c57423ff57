"""The document that a request is stored as. Its field names are fixed: others read them too."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from bson import ObjectId

from deletion.adapters.mongo.connection import Document
from deletion.adapters.mongo.fields import DAMAGED, field, optional, time_or_none
from deletion.errors import with_type
from deletion.ledger import ReadRequest
from deletion.ports import Unreadable
from deletion.request import Chore, DeletionRequest, Share, Waiver

_CHORES: Final = {chore: f"chores.{chore.value}" for chore in Chore}
_SPARSE: Final = ("open", "near", "missing", *_CHORES.values())
"""Absent, not null, when they do not apply: most of their indexes are sparse."""


def to_document(request: DeletionRequest, writer: str) -> Document:
    """The whole request, as `writer` inserts it."""
    return {
        "_id": request.id,
        "botId": ObjectId(request.bot_id),
        "placedAt": request.placed_at,
        "receivedAt": request.received_at,
        "deadline": request.deadline,
        "requestedBy": request.requested_by,
        "traceparent": request.traceparent,
        "shares": [_share_document(share) for share in request.shares],
        "chores": {chore.value: due for chore, due in request.chores.items()},
        "settledAt": request.settled_at,
        "revision": request.revision,
        "writer": writer,
        **{name: value for name, value in _derived(request).items() if value is not None},
    }


def update_of(before: DeletionRequest, after: DeletionRequest, writer: str) -> Document:
    """The update from `before` to `after`: no field of a later version is touched.

    Shares keep their places, so each field is set in its place.
    """
    fields: Document = {
        "settledAt": after.settled_at,
        "revision": before.revision + 1,
        "writer": writer,
        **{path: after.chores.get(chore) for chore, path in _CHORES.items()},
        **_derived(after),
    }
    for place, (was, share) in enumerate(zip(before.shares, after.shares, strict=True)):
        if share != was:
            changed = _share_document(share)
            fields |= {f"shares.{place}.{name}": value for name, value in changed.items()}
    absent = [name for name in _SPARSE if fields[name] is None]
    for name in absent:
        del fields[name]
    return {"$set": fields, "$unset": dict.fromkeys(absent, "")} if absent else {"$set": fields}


def readable(document: Mapping[str, Any], chore: Chore | None = None) -> ReadRequest:
    """The request in a document that this or a later version wrote; `Unreadable` for one that
    lacks a field, or has a value this code does not know. `chore` is the one that was asked for.
    """
    try:
        return _request(document)
    except DAMAGED as error:
        bot, chores = document.get("botId"), document.get("chores")
        due = chores.get(chore.value) if chore and isinstance(chores, Mapping) else None
        return Unreadable(
            str(document.get("_id")),
            with_type(error),
            due=time_or_none(due),
            last_modified_at=time_or_none(document.get("receivedAt")),
            bot_id=str(bot) if isinstance(bot, ObjectId) else None,
        )


def _derived(request: DeletionRequest) -> Document:
    """What is stored for the indexes only. None stands for absent."""
    is_open = request.settled_at is None
    return {
        "owed": list(request.owed),
        "open": is_open or None,
        "near": request.near_at if is_open else None,
        "missing": request.is_missing or None,
    }


def _share_document(share: Share) -> Document:
    waiver = share.waiver
    return {
        "service": share.service,
        "settledAt": share.settled_at,
        "jobId": share.job_id,
        "waiver": {"by": waiver.by, "reason": waiver.reason} if waiver else None,
        "republished": share.republished,
        "lacksJob": share.lacks_job,
    }


def _request(document: Mapping[str, Any]) -> DeletionRequest:
    chores = field(document, "chores", dict)
    return DeletionRequest(
        id=field(document, "_id", str),
        bot_id=str(field(document, "botId", ObjectId)),
        placed_at=field(document, "placedAt", datetime),
        received_at=field(document, "receivedAt", datetime),
        deadline=field(document, "deadline", datetime),
        requested_by=field(document, "requestedBy", str),
        traceparent=optional(document, "traceparent", str),
        shares=tuple(_share(share) for share in field(document, "shares", list)),
        settled_at=optional(document, "settledAt", datetime),
        chores={
            chore: field(chores, chore.value, datetime) for chore in Chore if chore.value in chores
        },
        revision=field(document, "revision", int),
    )


def _share(document: Mapping[str, Any]) -> Share:
    waiver = optional(document, "waiver", dict)
    return Share(
        service=field(document, "service", str),
        settled_at=optional(document, "settledAt", datetime),
        job_id=optional(document, "jobId", str),
        waiver=Waiver(field(waiver, "by", str), field(waiver, "reason", str)) if waiver else None,
        republished=field(document, "republished", int),
        lacks_job=optional(document, "lacksJob", bool) or False,
    )
