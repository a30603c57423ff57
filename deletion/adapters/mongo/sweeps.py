"""Sweeps in MongoDB: their document, and the index that lets only one of them run at a time.

Recovery writes them; the console shows them.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from pymongo import ASCENDING, IndexModel

from deletion.adapters.mongo.connection import Document
from deletion.adapters.mongo.fields import field, optional
from deletion.sweep import Sweep, SweepStatus

COLLECTION: Final = "recovery_sweeps"
RUNNING: Final[Document] = {"status": SweepStatus.RUNNING.value}
ONE_RUNNING: Final = "one_running"
INDEXES: Final = [
    IndexModel(
        [("status", ASCENDING)], name=ONE_RUNNING, unique=True, partialFilterExpression=RUNNING
    )
]


def mutable_fields(sweep: Sweep) -> Document:
    """What each write of a sweep sets."""
    return {
        "status": sweep.status.value,
        "lastModifiedAt": sweep.last_modified_at,
        "finishedAt": sweep.finished_at,
        "resumed": sweep.resumed,
        "exhausted": sweep.exhausted,
        "skipped": sweep.skipped,
        "error": sweep.error,
    }


def from_document(document: Mapping[str, Any]) -> Sweep:
    """Return the sweep. Raises one of `DAMAGED` for a document that cannot be read."""
    return Sweep(
        id=str(document["_id"]),
        status=SweepStatus(document["status"]),
        started_at=field(document, "startedAt", datetime),
        last_modified_at=field(document, "lastModifiedAt", datetime),
        finished_at=optional(document, "finishedAt", datetime),
        resumed=field(document, "resumed", int),
        exhausted=field(document, "exhausted", int),
        skipped=field(document, "skipped", int),
        error=optional(document, "error", str),
    )
