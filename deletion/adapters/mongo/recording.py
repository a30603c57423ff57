"""Recording jobs on MongoDB: each request gets a job, or joins the live job of its bot.

Read `Recorder.record` first: insert → look who covers the rest → join, until every request has an
outcome.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field
from typing import Final

from bson import ObjectId
from pymongo import UpdateOne
from pymongo.errors import BulkWriteError

from deletion.adapters.mongo.connection import Collection, Document, bounded
from deletion.adapters.mongo.fields import time_or_none
from deletion.adapters.mongo.job_document import to_document
from deletion.adapters.mongo.writes import duplicates
from deletion.errors import StoreUnavailable
from deletion.job import MAX_EVENTS, Job, Status, later
from deletion.ports import Recorded, RecordOutcome

TRIES: Final = 5


@dataclass(slots=True)
class Joins:
    """The joins of one round. Outcomes are by the id of the job that was to be recorded."""

    updates: list[UpdateOne] = field(default_factory=list)
    joined: dict[str, Recorded] = field(default_factory=dict)
    """The outcomes if all updates match."""
    full: dict[str, Recorded] = field(default_factory=dict)
    """The outcomes of requests for which a live job has no room."""


class Recorder:
    """The part of `MongoJobStore` that records. Each database call ends within `call_seconds`."""

    def __init__(self, jobs: Collection, call_seconds: float) -> None:
        self._jobs = jobs
        self._call_seconds = call_seconds

    async def record(self, jobs: Sequence[Job]) -> list[Recorded]:
        """Record the jobs in one bulk insert.

        For the refused ones it makes a query for each unique index, and one bulk write of the
        joins. That is repeated for those whose live job was joined by others, or has ended, in
        between: at most `TRIES` times four calls, so callers bound the whole. When not all joins of
        a bulk write matched, the next round finds out which did: `sent` holds the ids of the jobs
        whose joins this call has sent.
        """
        outcomes: dict[str, Recorded] = {}
        sent: set[str] = set()
        for _ in range(TRIES):
            outcomes |= await self._inserted(_without(outcomes, jobs))
            outcomes |= await self._covered(_without(outcomes, jobs), sent)
            joins = await self._joins(_without(outcomes, jobs))
            outcomes |= joins.full
            sent |= joins.joined.keys()
            if await self._all_match(joins.updates):
                outcomes |= joins.joined
            if len(outcomes) == len(jobs):
                return [outcomes[job.id] for job in jobs]
        raise StoreUnavailable(f"{len(jobs) - len(outcomes)} requests lost every race for a job")

    async def _inserted(self, jobs: Sequence[Job]) -> dict[str, Recorded]:
        """Insert `jobs`. Returns the outcomes of those that no unique index refused."""
        if not jobs:
            return {}
        refused: set[int] = set()
        try:
            with bounded(self._call_seconds):
                await self._jobs.insert_many([to_document(job) for job in jobs], ordered=False)
        except BulkWriteError as error:
            refused = {*duplicates(error)}
        return {
            job.id: Recorded(RecordOutcome.NEW, job.id)
            for index, job in enumerate(jobs)
            if index not in refused
        }

    async def _covered(self, jobs: Sequence[Job], sent: Set[str]) -> dict[str, Recorded]:
        """The outcomes of requests that a job covers already.

        The outcome is `NEW` if an earlier call, whose answer was lost, inserted the job itself. It
        is `JOINED` if this call has `sent` the join, and `KNOWN` if the request is a duplicate.
        """
        if not jobs:
            return {}
        query = {**_of_bots(jobs), "eventIds": {"$in": [job.event_id for job in jobs]}}
        covering: dict[tuple[str, str], Document] = {}
        for document in await self._brief(query):
            bot = str(document["botId"])
            covering |= {(bot, event): document for event in document["eventIds"]}
        outcomes: dict[str, Recorded] = {}
        for job in jobs:
            if standing := covering.get((job.bot_id, job.event_id)):
                found = str(standing["_id"])
                if found == job.id:
                    outcome = RecordOutcome.NEW
                elif job.id in sent:
                    outcome = RecordOutcome.JOINED
                else:
                    outcome = RecordOutcome.KNOWN
                outcomes[job.id] = Recorded(outcome, found, _is_exhausted(standing))
        return outcomes

    async def _joins(self, jobs: Sequence[Job]) -> Joins:
        """Decide which requests join the live job of their bot, and which find it full."""
        joins = Joins()
        if not jobs:
            return joins
        by_bot: dict[str, dict[str, list[Job]]] = defaultdict(lambda: defaultdict(list))
        for job in jobs:  # the same event twice joins once
            by_bot[job.bot_id][job.event_id].append(job)
        for document in await self._brief({**_of_bots(jobs), "live": True}):
            found, exhausted = str(document["_id"]), _is_exhausted(document)
            covered = set(document["eventIds"])  # an event may have joined since the last look
            offers = by_bot[str(document["botId"])]
            requests = [copies[0] for event, copies in offers.items() if event not in covered]
            room = max(0, MAX_EVENTS - len(document["eventIds"]))
            for request in requests[room:]:
                for copy in offers[request.event_id]:
                    joins.full[copy.id] = Recorded(RecordOutcome.FULL, found, exhausted)
            if requests[:room]:
                joins.updates.append(_joining(document, requests[:room]))
                for request in requests[:room]:
                    joins.joined[request.id] = Recorded(RecordOutcome.JOINED, found, exhausted)
        return joins

    async def _all_match(self, updates: Sequence[UpdateOne]) -> bool:
        """Write the updates. Returns whether all matched: a driver reports only totals."""
        if not updates:
            return True
        try:
            with bounded(self._call_seconds):
                result = await self._jobs.bulk_write(updates, ordered=False)
        except BulkWriteError as error:
            duplicates(error)  # another job covers one of the events by now
            return False
        return result.matched_count == len(updates)

    async def _brief(self, query: Document) -> list[Document]:
        """The fields that recording needs of existing jobs, whatever a later version has added."""
        fields = ("botId", "eventIds", "placedAt", "status")
        with bounded(self._call_seconds):
            return await self._jobs.find(query, dict.fromkeys(fields, True)).to_list(None)


def _without(outcomes: Mapping[str, Recorded], jobs: Sequence[Job]) -> Sequence[Job]:
    """The jobs that have no outcome yet."""
    return [job for job in jobs if job.id not in outcomes]


def _joining(document: Document, requests: Sequence[Job]) -> UpdateOne:
    """The update that joins `requests` to a live job.

    It is guarded by `live` and by the `placedAt` that was read, which every join moves. A damaged
    `placedAt` is replaced.
    """
    placed_at = time_or_none(document.get("placedAt")) or requests[0].placed_at
    for request in requests:
        placed_at = later(placed_at, request.placed_at)
    return UpdateOne(
        {
            "_id": document["_id"],
            "botId": document["botId"],
            "live": True,
            "placedAt": document.get("placedAt"),
        },
        {
            "$set": {"placedAt": placed_at},
            "$push": {"eventIds": {"$each": [request.event_id for request in requests]}},
        },
    )


def _of_bots(jobs: Sequence[Job]) -> Document:
    bots = {ObjectId(job.bot_id) for job in jobs}
    return {"botId": {"$in": list(bots)}, "service": jobs[0].service}


def _is_exhausted(document: Document) -> bool:
    return bool(document["status"] == Status.EXHAUSTED)
