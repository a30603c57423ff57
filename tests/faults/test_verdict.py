"""What counts as the fate of an event."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from bson import ObjectId

from tests.faults.callers import Accepted
from tests.faults.verdict import Fate, Records

SERVICE = "conversations"
PLACED = datetime(2025, 3, 30, 1, 59, tzinfo=UTC)
EVENT = Accepted(str(uuid4()), str(ObjectId()), PLACED)


def job(status: str, **fields: Any) -> dict[str, Any]:
    """The event's own, unless `fields` say otherwise."""
    of_event = {"eventIds": [EVENT.event_id], "botId": ObjectId(EVENT.bot_id), "placedAt": PLACED}
    return {"service": SERVICE, "status": status} | of_event | fields


def dead_letter(data: bytes, service: str = SERVICE) -> dict[str, Any]:
    return {"service": service, "data": data, "reason": "undelivered"}


@pytest.mark.parametrize(
    ("status", "fate"),
    [
        ("pending", Fate.UNDER_WAY),
        ("in_progress", Fate.UNDER_WAY),
        ("failed", Fate.UNDER_WAY),
        ("complete", Fate.COMPLETE),
        ("exhausted", Fate.EXHAUSTED),
    ],
)
def test_an_event_stands_where_its_job_does(status: str, fate: Fate) -> None:
    assert Records([job(status)], []).fate(EVENT, SERVICE) is fate
    assert Records([job(status, service="analytics")], []).fate(EVENT, SERVICE) is Fate.UNRECORDED
    assert Records([job(status, botId=ObjectId())], []).fate(EVENT, SERVICE) is Fate.UNRECORDED


def test_an_event_without_a_job_stands_where_one_does_that_it_joined_and_nowhere_else() -> None:
    joined = job("complete", eventIds=[str(uuid4()), EVENT.event_id])
    assert Records([joined], []).fate(EVENT, SERVICE) is Fate.COMPLETE
    for moved in (timedelta(), timedelta(days=1)):  # a later `placedAt` covers nobody
        theirs = job("complete", eventIds=[str(uuid4())], placedAt=PLACED + moved)
        assert Records([theirs], []).fate(EVENT, SERVICE) is Fate.UNRECORDED
        assert Records([theirs, joined], []).fate(EVENT, SERVICE) is Fate.COMPLETE


def test_an_event_is_a_dead_letter_of_the_service_that_gave_it_up_and_of_no_other() -> None:
    letter = dead_letter(EVENT.message.data)
    assert Records([], [letter]).fate(EVENT, SERVICE) is Fate.DEAD_LETTER
    assert Records([], [letter]).fate(EVENT, "analytics") is Fate.UNRECORDED
    assert Records([job("failed")], [letter]).fate(EVENT, SERVICE) is Fate.UNDER_WAY
    assert Records([], [dead_letter(b"\xff")]).fate(EVENT, SERVICE) is Fate.UNRECORDED
