"""Recording jobs on MongoDB: each request gets a job, or joins the live job of its bot.

Read `Recorder.record` first: insert → covered → join, until every request has an outcome.
"""

from collections import defaultdict
from collections.abc import Sequence, Set
from typing import Final

from bson import ObjectId
from pymongo import UpdateOne
from pymongo.errors import BulkWriteError

from deletion.adapters.mongo.connection import Collection, Document, bounded
from deletion.adapters.mongo.fields import time_or_none
from deletion.adapters.mongo.job_document import to_document
from deletion.adapters.mongo.writes import DUPLICATE_KEY, check_confirmed
from deletion.errors import StoreUnavailable
from deletion.job import MAX_EVENTS, Job, Status, later
from deletion.ports import Recorded, RecordOutcome

TRIES: Final = 5


class Recorder:
    """The part of `MongoJobStore` that records. Each database call ends within `call_seconds`."""

    def __init__(self, jobs: Collection, call_seconds: float) -> None:
        self._jobs = jobs
        self._call_seconds = call_seconds

    async def record(self, jobs: Sequence[Job]) -> list[Recorded]:
        """Record the jobs in one bulk insert.

        For the refused ones it makes a query for each unique index, and one bulk write of the
        joins. That is repeated for those whose live job was joined by others, or has ended, in
        between: at most `TRIES` times four calls, so callers bound the whole.
        """
        outcomes: dict[str, Recorded] = {}
        offered: set[str] = set()
        for _ in range(TRIES):
            refused = await self._insert([job for job in jobs if job.id not in outcomes])
            outcomes |= {
                job.id: Recorded(RecordOutcome.NEW, job.id)
                for job in jobs
                if job.id not in outcomes and job.id not in refused
            }
            outcomes |= await self._covered([j for j in jobs if j.id not in outcomes], offered)
            left = [job for job in jobs if job.id not in outcomes]
            outcomes |= await self._joined(left, offered)
            if len(outcomes) == len(jobs):
                return [outcomes[job.id] for job in jobs]
        raise StoreUnavailable(f"{len(jobs) - len(outcomes)} requests lost every race for a job")

    async def _insert(self, jobs: Sequence[Job]) -> set[str]:
        """Insert `jobs`. Returns the ids of those that the unique indexes refused."""
        documents = [to_document(job) for job in jobs]
        if not documents:
            return set()
        try:
            with bounded(self._call_seconds):
                await self._jobs.insert_many(documents, ordered=False)
        except BulkWriteError as error:
            duplicates = _duplicates(error)
            return {str(documents[index]["_id"]) for index in duplicates}
        return set()

    async def _covered(self, jobs: Sequence[Job], offered: Set[str]) -> dict[str, Recorded]:
        """The outcomes of requests that a job covers already.

        `NEW` if it is the request's own job, `JOINED` if this call `offered` the request, else
        `KNOWN`.
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
                outcome = RecordOutcome.JOINED if job.id in offered else RecordOutcome.KNOWN
                outcome = RecordOutcome.NEW if found == job.id else outcome
                outcomes[job.id] = Recorded(outcome, found, _is_exhausted(standing))
        return outcomes

    async def _joined(self, jobs: Sequence[Job], offered: set[str]) -> dict[str, Recorded]:
        """Join the live job of their bot. Returns those that joined, and those that found it full.

        When not all joins succeeded, none of them is returned: the caller reads them back. Adds to
        `offered` every job that may have joined.
        """
        if not jobs:
            return {}
        by_bot: dict[str, dict[str, list[Job]]] = defaultdict(lambda: defaultdict(list))
        for job in jobs:  # the same event twice joins once
            by_bot[job.bot_id][job.event_id].append(job)
        full: dict[str, Recorded] = {}
        joining: dict[str, Recorded] = {}
        updates: list[UpdateOne] = []
        for document in await self._brief({**_of_bots(jobs), "live": True}):
            found, exhausted = str(document["_id"]), _is_exhausted(document)
            covered = set(document["eventIds"])  # an event may have joined since the last look
            offers = by_bot[str(document["botId"])]
            requests = [copies[0] for event, copies in offers.items() if event not in covered]
            room = max(0, MAX_EVENTS - len(document["eventIds"]))
            for request in requests[room:]:
                for copy in offers[request.event_id]:
                    full[copy.id] = Recorded(RecordOutcome.FULL, found, exhausted)
            if requests[:room]:
                updates.append(_joining(document, requests[:room]))
                for request in requests[:room]:
                    joining[request.id] = Recorded(RecordOutcome.JOINED, found, exhausted)
        offered |= joining.keys()
        return full | joining if await self._all_match(updates) else full

    async def _all_match(self, updates: Sequence[UpdateOne]) -> bool:
        """Write the updates. Returns whether all matched: a driver reports only totals."""
        if not updates:
            return True
        try:
            with bounded(self._call_seconds):
                result = await self._jobs.bulk_write(updates, ordered=False)
        except BulkWriteError as error:
            _duplicates(error)  # another job covers one of the events by now
            return False
        return result.matched_count == len(updates)

    async def _brief(self, query: Document) -> list[Document]:
        """The fields that recording needs of existing jobs, whatever a later version has added."""
        fields = ("botId", "eventIds", "placedAt", "status")
        with bounded(self._call_seconds):
            return await self._jobs.find(query, dict.fromkeys(fields, True)).to_list(None)


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


def _duplicates(error: BulkWriteError) -> list[int]:
    """The positions of the writes that a unique index refused. Raises for any other problem."""
    check_confirmed(error)
    problems = error.details["writeErrors"]
    if any(problem["code"] != DUPLICATE_KEY for problem in problems):
        raise error
    return [problem["index"] for problem in problems]
