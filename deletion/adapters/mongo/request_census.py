"""How many requests are open, counted along an index for each kind.

A server that does not stop a scan at the limit counts everything that the range matches. So each
count begins with the oldest open request, and reads ranges that grow until the limit is reached.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

from pymongo import ASCENDING

from deletion.adapters.mongo.connection import Collection, Document, bounded
from deletion.adapters.mongo.fields import time_or_none
from deletion.clock import TICK
from deletion.due_window import Earliest
from deletion.ledger import RequestCensus
from deletion.silence import EPOCH, LATEST

NEWEST: Final = [("receivedAt", ASCENDING), ("_id", ASCENDING)]
FIRST_RANGE: Final = timedelta(minutes=1)
GROWTH: Final = 4
"""How many times as long as the one before each range is."""
_TIMES: Final = ("receivedAt", "near", "deadline")


class OpenRequests:
    """Counts the open ones of `requests`. Every call is bounded by `call_seconds`."""

    def __init__(self, requests: Collection, call_seconds: float) -> None:
        self._requests = requests
        self._call_seconds = call_seconds
        self._first = Earliest(self._received, lambda found: time_or_none(found.get("receivedAt")))

    async def census(self, now: datetime, limit: int) -> RequestCensus:
        """See `deletion.ledger.RequestStore.census`."""
        found = await self._first.read(EPOCH, now, 1, beyond_now=True)
        received, near, deadline = (
            time_or_none(found[0].get(name)) if found else None for name in _TIMES
        )

        async def count(query: Document, field: str, start: datetime | None, last: datetime) -> int:
            return await self._count(query, field, (start or now, now, last), limit)

        return RequestCensus(
            unsettled=await count({"open": True}, "receivedAt", received, LATEST),
            near=await count({}, "near", near, now),
            overdue=await count({"open": True}, "deadline", deadline, now),
            missing=await count({"missing": True}, "receivedAt", received, LATEST),
            oldest=received,
            oldest_deadline=deadline,
        )

    async def _count(
        self, query: Document, field: str, bounds: tuple[datetime, datetime, datetime], limit: int
    ) -> int:
        """Return how many match `query` with `field` up to `last`, at most `limit`.

        `bounds` are (end, now, last): the first range ends at `end`, growing ones follow up to
        `now`, and one more covers the rest.
        """
        end, now, last = bounds
        total, since, width = 0, EPOCH, FIRST_RANGE
        while True:
            is_last = end >= now
            matched = {**query, field: _between(since, last if is_last else end)}
            with bounded(self._call_seconds):
                total += await self._requests.count_documents(matched, limit=limit)
            if is_last or total >= limit:
                return min(total, limit)
            since, end, width = end + TICK, end + width, width * GROWTH

    async def _received(self, since: datetime, until: datetime, limit: int) -> Sequence[Document]:
        """The times of the open requests that were received first."""
        query = {"open": True, "receivedAt": _between(since, until)}
        with bounded(self._call_seconds):
            found = self._requests.find(query, dict.fromkeys(_TIMES, True))
            return await found.sort(NEWEST).limit(limit).to_list(limit)


def _between(since: datetime, until: datetime) -> Document:
    """Both bounds included. Without `$lte`, with which the embedded server excludes the bound if
    the field is not the last one of its index.
    """
    return {"$gte": since, "$lt": until + TICK}
