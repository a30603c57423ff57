"""One event of every type, and how any event reads as the JSON of protobuf."""

from datetime import UTC, datetime
from typing import Any, Final

from deletion.events import BotDeletionSubject, RequestPlaced

SAMPLES: Final = {
    "request_placed": BotDeletionSubject(
        event_id="018f3c1e-7a4b-7c2d-9e5f-0a1b2c3d4e5f",
        timestamp=datetime(2025, 3, 30, 1, 59, 59, 999999, UTC),
        bot_id="65f0a1b2c3d4e5f607182930",
        event=RequestPlaced(
            placed_at=datetime(2025, 3, 30, 1, 59, 59, 654321, UTC),
            requested_by="customer-portal",
        ),
    ),
}


def as_json(subject: BotDeletionSubject) -> dict[str, Any]:
    """What protobuf's JSON mapping says about the event; times need their six digits."""
    head = {
        "event_id": subject.event_id,
        "timestamp": _time(subject.timestamp),
        "version": subject.version,
        "bot_id": subject.bot_id,
    }
    placed = {"placed_at": _time(subject.event.placed_at)}
    if subject.event.requested_by:
        placed["requested_by"] = subject.event.requested_by
    return head | {"event_type": "EVENT_TYPE_REQUEST_PLACED", "request_placed": placed}


def _time(value: datetime) -> str:
    return value.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
