"""An installation with many jobs: what the console is measured on.

Requests of 30 days, evenly spread, which four services owe, so four jobs each. The newest are
pending or in progress. Of a thousand others, one has a failed job, one an exhausted and one a
compensated; everything else is complete and settled. All values follow from the number of jobs, so
a database that is built once can be used again: it is kept in `build/bench/`, under a name that
changes with the documents and the indexes.
"""

import hashlib
import time
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path
from random import Random
from typing import Final

from botdel.local.database import EmbeddedMongo
from deletion.adapters.mongo import dead_letters, jobs, operator_actions, requests, sweeps
from deletion.adapters.mongo.connection import Client, Document
from deletion.adapters.mongo.indexes import prepare
from deletion.adapters.mongo.job_document import to_document
from deletion.adapters.mongo.request_document import to_document as request_document
from deletion.clock import truncated
from deletion.job import Failure, Job, Status, StepProgress, StepStatus
from deletion.request import DeletionRequest, LedgerPolicy, Share
from tests.support.factories import new_job
from tests.support.paths import ROOT

NOW: Final = datetime(2026, 3, 1, 12, 30, tzinfo=UTC)
"""The time at which the console is read."""
SPAN: Final = timedelta(days=30)
SERVICES: Final = ("analytics", "billing", "conversations", "media")
WAITING: Final = 500
"""One request in this many is so new that its jobs are pending or in progress."""
ENDS: Final = {49: Status.COMPENSATED, 149: Status.EXHAUSTED, 249: Status.FAILED}
"""How a job of one in a thousand requests ended, by the request's number."""
INSERTED_TOGETHER: Final = 5_000
POLICY: Final = LedgerPolicy(timedelta(days=30), timedelta(hours=1))
FAILED: Final = Failure("PermanentError", "the API answered 403", NOW, interrupted=False)
INDEXES: Final = {
    jobs.COLLECTION: jobs.INDEXES,
    requests.COLLECTION: requests.INDEXES,
    dead_letters.COLLECTION: dead_letters.INDEXES,
    operator_actions.COLLECTION: operator_actions.INDEXES,
    sweeps.COLLECTION: sweeps.INDEXES,
}
BUILT: Final = "bench_crowd"
"""The collection that says that the database is complete."""


@dataclass(frozen=True, slots=True)
class Built:
    """How long it took to insert the documents and to build their indexes, in seconds; both 0 for a
    database of an earlier run.
    """

    inserting: float = 0.0
    indexing: float = 0.0


class UnsyncedMongo(EmbeddedMongo):
    """The embedded server without an fsync for each commit: it commits each entry of an index that
    it builds, so a thousand jobs alone would take it a quarter of a minute.
    """

    def command(self, port: int) -> list[str | Path]:
        """As the embedded server's, without the option that asks for it."""
        return [part for part in super().command(port) if part != "--sync-on-commit"]


def folder() -> Path:
    """Where the database's files are kept: under another name once a document or an index of this
    version differs.
    """
    crowd = next(_crowd(len(SERVICES)))
    shapes = [repr(document) for document in (*crowd.jobs, crowd.request)]
    indexes = [repr(index.document) for each in INDEXES.values() for index in each]
    name = hashlib.sha256("\n".join([*shapes, *indexes]).encode()).hexdigest()[:12]
    return ROOT / "build" / "bench" / name


def database_of(size: int) -> str:
    """The name of the database with `size` jobs."""
    return f"console_{size}"


async def build(client: Client, size: int) -> Built:
    """Build the database with `size` jobs, unless it is there: its documents first, then its
    indexes, which takes a fraction of the time that keeping them up to date would.
    """
    database = client[database_of(size)]
    if await database[BUILT].find_one({"_id": size}):
        return Built()
    for name in (*INDEXES, BUILT):
        await database.drop_collection(name)
    begun = time.perf_counter()
    crowd = _crowd(size)
    while together := list(islice(crowd, INSERTED_TOGETHER // len(SERVICES))):
        documents = [job for each in together for job in each.jobs]
        await database[jobs.COLLECTION].insert_many(documents, ordered=False)
        settled = [each.request for each in together]
        await database[requests.COLLECTION].insert_many(settled, ordered=False)
    inserted = time.perf_counter()
    await prepare(database, INDEXES, build=True)
    await database[BUILT].insert_one({"_id": size})
    return Built(inserted - begun, time.perf_counter() - inserted)


@dataclass(frozen=True, slots=True)
class _Asked:
    """A request and the jobs that cover it, as documents."""

    request: Document
    jobs: Sequence[Document]


def _crowd(size: int) -> Iterator[_Asked]:
    """The requests of `size` jobs and their jobs, the oldest first, as they were recorded."""
    of, rng = size // len(SERVICES), Random(size)  # noqa: S311 - these are no secrets
    for number in reversed(range(of)):
        placed = truncated(NOW - SPAN * (number + 0.5) / of)
        bot, event = _object_id(placed, rng), str(uuid.UUID(int=rng.getrandbits(128), version=4))
        statuses = zip(SERVICES, _statuses(number, of), strict=True)
        made = [_job(each, status, bot, event, placed, rng) for each, status in statuses]
        yield _Asked(request_document(_request(made, placed), "bench"), list(map(_settled, made)))


def _statuses(number: int, of: int) -> Sequence[Status]:
    """Where the jobs of a request stand, by its number from the newest; there are `of`."""
    if number <= of // WAITING:
        return (Status.COMPLETE, Status.IN_PROGRESS, Status.PENDING, Status.PENDING)
    return (*[Status.COMPLETE] * 3, ENDS.get(number % 1000, Status.COMPLETE))


def _job(service: str, status: Status, bot: str, event: str, placed: datetime, rng: Random) -> Job:
    """The job of a service, which has two steps; its last change was within a minute."""
    created = truncated(placed + timedelta(milliseconds=rng.randrange(500)))
    modified = min(truncated(created + timedelta(seconds=60 * rng.random())), NOW)
    is_over = status in (Status.COMPLETE, Status.COMPENSATED)
    step = StepProgress("messages", StepStatus.COMPLETE, 120, None, 2, 0.08, "empty", placed)
    return new_job(
        status,
        id=_object_id(created, rng),
        service=service,
        bot_id=bot,
        event_ids=(event,),
        placed_at=placed,
        created_at=created,
        last_modified_at=modified,
        due=created if status is Status.PENDING else None,
        claimed_by="" if status is Status.PENDING else f"worker/{rng.getrandbits(64):016x}",
        finished_at=modified if is_over else None,
        failure=FAILED if status in (Status.FAILED, Status.EXHAUSTED) else None,
        steps=(step, replace(step, name="attachments")),
        requested_by="client",
    )


def _settled(job: Job) -> Document:
    """The document of a job, without the mark that the ledger has taken off."""
    document = to_document(job)
    document.pop("unreported", None)
    return document


def _request(made: Sequence[Job], placed: datetime) -> DeletionRequest:
    """The request that the jobs cover, settled if all are complete."""
    shares = tuple(
        Share(job.service, job.finished_at, job.id)
        if job.status is Status.COMPLETE
        else Share(job.service)
        for job in made
    )
    request = DeletionRequest.received(
        event_id=made[0].event_id,
        bot_id=made[0].bot_id,
        placed_at=placed,
        services=SERVICES,
        now=placed,
        policy=POLICY,
        requested_by="client",
    )
    settled = [share.settled_at for share in shares if share.settled_at]
    if len(settled) < len(shares):
        return replace(request, shares=shares)
    return replace(request, shares=shares, settled_at=max(settled), chores={})


def _object_id(at: datetime, rng: Random) -> str:
    return f"{int(at.timestamp()):08x}{rng.getrandbits(64):016x}"
