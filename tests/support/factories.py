"""Values that many tests begin with: jobs, events, dead letters, plans.

They are of the time `START`, and valid; `values` are fields that differ.
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
from tests.support.clock import START

LATER = START + timedelta(seconds=1)
SERVICE = "conversations"
BOT = "65f0a1b2c3d4e5f607182930"
OTHER_BOT = "65f0a1b2c3d4e5f607182999"
POLICY = LeasePolicy(timedelta(seconds=60), max_attempts=3)
numbers = count(1)


def a_job(status: Status = Status.IN_PROGRESS, **values: Any) -> Job:
    """A job of `BOT`, always of the same id, and of an event of its own; pending ones are due."""
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
    """A job with an id, a bot and an event of its own, where several meet in one store."""
    fields: dict[str, Any] = {
        "id": str(ObjectId()),
        "bot_id": str(ObjectId()),
        "claimed_by": f"worker/{next(numbers)}",
        "placed_at": START,
    }
    return a_job(status, **(fields | values))


def redelivered(job: Job, event_id: str | None = None) -> Job:
    """What a redelivery of an event of `job` offers: the same request, as another job."""
    return new_job(service=job.service, bot_id=job.bot_id, event_ids=(event_id or job.event_id,))


def request_for(job: Job, placed_at: datetime = LATER) -> Job:
    """Another request for the bot of `job`."""
    return new_job(service=job.service, bot_id=job.bot_id, placed_at=placed_at)


def statuses(jobs: Mapping[str, Job]) -> dict[str, Status]:
    """Where each job stands."""
    return {job_id: job.status for job_id, job in jobs.items()}


def placed(
    bot_id: str = BOT, event_id: str | None = None, timestamp: datetime = START
) -> BotDeletionSubject:
    """The event that asks for a bot to be deleted."""
    event = RequestPlaced(timestamp)
    return BotDeletionSubject(event_id or str(uuid.uuid4()), timestamp, bot_id, event)


def a_letter(**values: Any) -> DeadLetter:
    """A letter of a message of its own."""
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
    """The same message, given up once more: as a consumer offers it, knowing no record of it."""
    return replace(letter, id=str(ObjectId()), last_seen_at=LATER, first_seen_at=LATER, **values)


def replay(letter: DeadLetter, **values: Any) -> DeadLetter:
    """A replay of `letter` that came back dead, under a message id of its own."""
    attributes = {**letter.attributes, RECORD_ATTRIBUTE: letter.id, "service": letter.service}
    message_id = f"message-{next(numbers)}"
    return again(letter, **({"message_id": message_id, "attributes": attributes} | values))


def unpaced(service: str, *steps: Step) -> Plan:
    """A plan whose steps go as fast as they can, and never rest."""
    return Plan(service, steps, paces={step.name: UNPACED for step in steps})


def items(bots: Iterable[str], each: int) -> dict[str, list[int]]:
    """Data of several bots, `each` items of each."""
    return {bot: list(range(each)) for bot in bots}
