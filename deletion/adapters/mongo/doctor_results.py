"""What `botdel doctor` found last, on MongoDB: one document, which each run replaces."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from pymongo.errors import DuplicateKeyError

from deletion.adapters.mongo.connection import CALL_SECONDS, Client, Document, bounded
from deletion.adapters.mongo.fields import DAMAGED, field
from deletion.doctor import Examination, Finding, Verdict
from deletion.errors import StoreUnavailable
from deletion.ports import Unreadable

COLLECTION: Final = "doctor_results"
LAST: Final = "last"
_TRIES: Final = 3


class MongoExaminationStore:
    """`deletion.doctor.ExaminationStore` on one collection of `database`. It needs no index."""

    def __init__(
        self, client: Client, database: str, *, call_seconds: float = CALL_SECONDS
    ) -> None:
        self._results = client[database][COLLECTION]
        self._call_seconds = call_seconds

    async def keep(self, examination: Examination) -> None:
        """Replace the document by its `_id`, again when another run inserts it just then."""
        document = _to_document(examination)
        for _ in range(_TRIES):
            try:
                with bounded(self._call_seconds):
                    await self._results.replace_one({"_id": LAST}, document, upsert=True)
            except DuplicateKeyError:
                continue
            return
        raise StoreUnavailable("other runs were faster each time")

    async def last(self) -> Examination | Unreadable | None:
        """Read by `_id`."""
        with bounded(self._call_seconds):
            found = await self._results.find({"_id": LAST}).limit(1).to_list(1)
        return _readable(found[0]) if found else None


def _to_document(examination: Examination) -> Document:
    return {
        "at": examination.at,
        "host": examination.host,
        "findings": [
            {
                "check": finding.check,
                "status": finding.status.value,
                "detail": finding.detail,
                "remedy": finding.remedy,
            }
            for finding in examination.findings
        ],
        "leftOut": examination.left_out,
    }


def _readable(document: Document) -> Examination | Unreadable:
    try:
        return Examination(
            field(document, "at", datetime),
            field(document, "host", str),
            tuple(_finding(each) for each in field(document, "findings", list)),
            field(document, "leftOut", int),
        )
    except DAMAGED as error:
        return Unreadable(LAST, str(error))


def _finding(document: Mapping[str, Any]) -> Finding:
    return Finding(
        check=field(document, "check", str),
        status=Verdict(document["status"]),
        detail=field(document, "detail", str),
        remedy=field(document, "remedy", str),
    )
