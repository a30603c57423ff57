"""How many bytes a record takes, and an entry of each of its indexes, by the product's own code.

A size is that of BSON, without the server's compression. The key of an index entry is counted as
BSON values without names; a server adds a pointer to the record, and leaves out what a key shares
with the one before.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from itertools import product
from typing import Any, Final

from bson import ObjectId, encode
from pymongo import IndexModel

from deletion.adapters.mongo import jobs, requests
from deletion.adapters.mongo.job_document import to_document, update_of
from deletion.adapters.mongo.request_document import to_document as request_document
from deletion.adapters.mongo.request_document import update_of as request_update
from deletion.adapters.mongo.retention import COMPLETE_JOBS, SETTLED_REQUESTS
from deletion.events import to_message
from deletion.job import Failure, Job, LeasePolicy, StepProgress
from deletion.request import DeletionRequest
from tests.support.clock import START
from tests.support.factories import BOT, a_deletion_request, placed

SERVICE: Final = "conversations"
EVENT: Final = "0b9f3a52-5a0e-4a4c-9a5e-0d7f6a1c2b3d"
TRACE: Final = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
CLAIM: Final = "consumer-conversations-7c9d8f6b5-x2x4k:1:a1b2c3/0a1b2c3d"
"""As in Kubernetes: host, process, and a random part for the process and for the claim."""
POLICY: Final = LeasePolicy(timedelta(seconds=600), max_attempts=5)
EMPTY: Final = 5
"""Bytes of an empty document."""
DAYS: Final = 35
SERVICES: Final = (1, 100, 500)
Record = Mapping[str, Any]


@dataclass(frozen=True)
class Entries:
    """What one index holds for a record: so many entries, of `key` bytes each on average."""

    index: str
    entries: int
    key: int


def message() -> int:
    """Bytes of the event that a gateway publishes, with its attributes."""
    event = to_message(placed(BOT, EVENT), TRACE)
    attributes = (len(name) + len(value) for name, value in event.attributes.items())
    return len(event.data) + sum(attributes)


def job_states() -> dict[str, Job]:
    """The job of one step as it is when it is recorded, after a batch, and at its end."""
    step = StepProgress("messages")
    pending = Job.placed(
        id=str(ObjectId()),
        service=SERVICE,
        bot_id=BOT,
        event_id=EVENT,
        placed_at=START,
        steps=(step,),
        now=START,
        requested_by="portal",
        traceparent=TRACE,
    )
    claimed = pending.claim(CLAIM, START).after
    advanced = step.began(START).advanced(1000, str(ObjectId()), 0.123)
    running = claimed.checkpoint(START, advanced).after
    return {"pending": pending, "in_progress": running, "complete": running.complete(START).after}


def spent_job() -> Job:
    """A job that has failed as often as it may, with a message of a hundred characters."""
    job = job_states()["pending"]
    at = START
    for _ in range(POLICY.max_attempts):
        job = job.claim(CLAIM, at).after
        job = job.fail(Failure("StoreUnavailable", "x" * 100, at)).after
        at = at + 2 * job.rest(POLICY)
        job = job.sweep(at, POLICY).after
    return job


def request(services: int) -> DeletionRequest:
    """A new request that so many services owe, with names of thirteen characters."""
    names = [f"{SERVICE[:9]}-{number:03d}" for number in range(services)]
    return replace(
        a_deletion_request(*names, event_id=EVENT, bot_id=BOT),
        requested_by="portal",
        traceparent=TRACE,
    )


def settled(open_request: DeletionRequest) -> DeletionRequest:
    """The same, settled by jobs and announced."""
    for share in open_request.shares:
        open_request = open_request.completed(share.service, str(ObjectId()), START)
    return replace(open_request, chores={}, revision=len(open_request.shares) + 2)


def documents() -> dict[str, int]:
    """Bytes of each record, and of what is written to change it."""
    states, spent = job_states(), spent_job()
    complete = states["complete"]
    joined = replace(complete, event_ids=(EVENT, EVENT))
    further = replace(complete, steps=complete.steps * 2)
    sizes = {
        "message: the event and its attributes": message(),
        "job, pending": _bytes(to_document(states["pending"])),
        "job, in progress": _bytes(to_document(states["in_progress"])),
        "job, complete": _bytes(to_document(complete)),
        "each further step": _bytes(to_document(further)) - _bytes(to_document(complete)),
        "each further request that joins": _bytes(to_document(joined))
        - _bytes(to_document(complete)),
        "job, exhausted after five failures": _bytes(to_document(spent)),
        "a checkpoint, as it is sent": _bytes(update_of(states["in_progress"])),
    }
    for services in SERVICES:
        new = request(services)
        one = new.completed(new.owed[0], str(ObjectId()), START)
        sizes |= {
            f"request of {services}, open": _bytes(request_document(new, str(ObjectId()))),
            f"request of {services}, settled": _bytes(
                request_document(settled(new), str(ObjectId()))
            ),
            f"request of {services}: settling one share, as it is sent": _bytes(
                request_update(new, one, str(ObjectId()))
            ),
        }
    return sizes


def job_entries() -> dict[str, list[Entries]]:
    """What each index holds for a job, by its state. `settled`: the ledger has seen its end."""
    records: dict[str, Record] = {state: to_document(job) for state, job in job_states().items()}
    records["settled"] = {
        name: value for name, value in records["complete"].items() if name != "unreported"
    }
    indexes = [*jobs.INDEXES, COMPLETE_JOBS.model(DAYS)]
    return {state: list(_entries(indexes, record)) for state, record in records.items()}


def request_entries(services: int) -> dict[str, list[Entries]]:
    """What each index holds for a request."""
    new = request(services)
    records = {"open": new, "settled": settled(new)}
    indexes = [*requests.INDEXES, SETTLED_REQUESTS.model(DAYS)]
    return {
        state: list(_entries(indexes, request_document(each, str(ObjectId()))))
        for state, each in records.items()
    }


def _entries(indexes: Sequence[IndexModel], record: Record) -> Iterator[Entries]:
    yield Entries("_id", 1, _key([record["_id"]]))
    for index in indexes:
        fields = list(index.document["key"])
        found = [_values(record, name) for name in fields]
        if _is_left_out(index, record, fields):
            yield Entries(index.document["name"], 0, 0)
            continue
        keys = [_key(values) for values in product(*found)]
        yield Entries(index.document["name"], len(keys), round(sum(keys) / max(1, len(keys))))


def _is_left_out(index: IndexModel, record: Record, fields: Sequence[str]) -> bool:
    """Whether the index is partial or sparse and has nothing for the record."""
    partial = index.document.get("partialFilterExpression", {})
    if any(record.get(name) != value for name, value in partial.items()):
        return True
    return bool(index.document.get("sparse")) and all(_at(record, name) is None for name in fields)


def _values(record: Record, name: str) -> list[object]:
    value = _at(record, name)
    return (value or [None]) if isinstance(value, list) else [value]


def _at(record: Record, name: str) -> object:
    value: object = record
    for part in name.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    return value


def _key(values: Sequence[object]) -> int:
    """Each value with its type and an empty name."""
    return sum(_bytes({"": value}) - EMPTY for value in values)


def _bytes(record: Record) -> int:
    return len(encode(record))
