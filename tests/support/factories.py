"""Values that many tests begin with: jobs, events, dead letters, plans.

They are valid and have the time `START`; `values` override fields.
"""

import uuid
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import count
from typing import Any

from bson import ObjectId

from deletion.dead_letter import RECORD_ATTRIBUTE, DeadLetter, Reason
from deletion.events import BotDeletionSubject, RequestPlaced
from deletion.job import Job, LeasePolicy, Status
from deletion.pace import UNPACED
from deletion.plan import Plan, Step
from deletion.request import DeletionRequest, LedgerPolicy
from tests.support.clock import START

LATER = START + timedelta(seconds=1)
SERVICE = "conversations"
BOT = "65f0a1b2c3d4e5f607182930"
OTHER_BOT = "65f0a1b2c3d4e5f607182999"
POLICY = LeasePolicy(timedelta(seconds=60), max_attempts=3)
LEDGER_POLICY = LedgerPolicy(deadline=timedelta(days=30), missing_after=timedelta(minutes=10))
numbers = count(1)


def a_job(status: Status = Status.IN_PROGRESS, **values: Any) -> Job:
    """A job of `BOT`, always with the same id, and with a new event; a pending one is due."""
    fields: dict[str, Any] = {
        "id": "65f0a1b2c3d4e5f607180001",
        "service": SERVICE,
        "bot_id": BOT,
        "event_ids": (str(uuid.uuid4()),),
        "status": status,
        "attempt": 1,
        "claimed_by": "worker-1/a",
        "placed_at": START - timedelta(minutes=5),
        "created_at": START,
        "last_modified_at": START,
        "due": START if status is Status.PENDING else None,
    }
    return Job(**(fields | values))


def new_job(status: Status = Status.IN_PROGRESS, **values: Any) -> Job:
    """A job with a new id, bot and event, for stores that hold several."""
    fields: dict[str, Any] = {
        "id": str(ObjectId()),
        "bot_id": str(ObjectId()),
        "claimed_by": f"worker/{next(numbers)}",
        "placed_at": START,
    }
    return a_job(status, **(fields | values))


def redelivered(job: Job, event_id: str | None = None) -> Job:
    """The job that intake makes of a redelivery: the same request, with another id."""
    return new_job(service=job.service, bot_id=job.bot_id, event_ids=(event_id or job.event_id,))


def request_for(job: Job, placed_at: datetime = LATER) -> Job:
    """Another request for the bot of `job`."""
    return new_job(service=job.service, bot_id=job.bot_id, placed_at=placed_at)


def statuses(jobs: Mapping[str, Job]) -> dict[str, Status]:
    """The status of each job."""
    return {job_id: job.status for job_id, job in jobs.items()}


def placed(
    bot_id: str = BOT, event_id: str | None = None, timestamp: datetime = START
) -> BotDeletionSubject:
    """The event that asks for a bot to be deleted."""
    event = RequestPlaced(timestamp)
    return BotDeletionSubject(event_id or str(uuid.uuid4()), timestamp, bot_id, event)


def a_deletion_request(*services: str, **values: Any) -> DeletionRequest:
    """The ledger's record of a new request, which `services` owe; `SERVICE` if none is given."""
    fields: dict[str, Any] = {
        "event_id": str(uuid.uuid4()),
        "bot_id": str(ObjectId()),
        "placed_at": START,
        "services": services or (SERVICE,),
        "now": START,
        "policy": LEDGER_POLICY,
    }
    return DeletionRequest.received(**(fields | values))


def a_letter(**values: Any) -> DeadLetter:
    """A dead letter of a new message."""
    fields: dict[str, Any] = {
        "id": str(ObjectId()),
        "service": SERVICE,
        "message_id": f"message-{next(numbers)}",
        "data": b"\xff\x00poison",
        "attributes": {"event_id": "e"},
        "published_at": START,
        "delivery_attempt": 1,
        "reason": Reason.UNDECODABLE,
        "detail": "not a BotDeletionSubject",
        "first_seen_at": START,
        "last_seen_at": START,
    }
    return DeadLetter(**(fields | values))


def again(letter: DeadLetter, **values: Any) -> DeadLetter:
    """The same message, refused again: a consumer records it without knowing the first record."""
    return replace(letter, id=str(ObjectId()), last_seen_at=LATER, first_seen_at=LATER, **values)


def replay(letter: DeadLetter, **values: Any) -> DeadLetter:
    """A replay of `letter` that came back dead, with a new message id."""
    attributes = {**letter.attributes, RECORD_ATTRIBUTE: letter.id, "service": letter.service}
    message_id = f"message-{next(numbers)}"
    return again(letter, **({"message_id": message_id, "attributes": attributes} | values))


def unpaced(service: str, *steps: Step) -> Plan:
    """A plan whose steps run at full speed, without pauses."""
    return Plan(service, steps, paces={step.name: UNPACED for step in steps})


def items(bots: Iterable[str], each: int) -> dict[str, list[int]]:
    """Data of several bots, `each` items for each bot."""
    return {bot: list(range(each)) for bot in bots}
