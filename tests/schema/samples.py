"""One event of every type, and how any event reads as the JSON of protobuf."""

from datetime import UTC, datetime
from typing import Any, Final

from deletion.events import BotDeletionSubject, RequestPlaced, ResumeRequested

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
    "resume_requested": BotDeletionSubject(
        event_id="0b6f6c2e-9d0c-5d7e-8f3a-1c2d3e4f5a6b",
        timestamp=datetime(2025, 3, 31, 3, 0, 0, 123456, UTC),
        bot_id="65f0a1b2c3d4e5f607182930",
        event=ResumeRequested(
            service="conversations",
            job_id="65f0a1b2c3d4e5f607182931",
            requested_at=datetime(2025, 3, 31, 3, 0, 0, 1, UTC),
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
    match subject.event:
        case RequestPlaced(placed_at, requested_by):
            event_type, member = "request_placed", {"placed_at": _time(placed_at)}
            member |= {"requested_by": requested_by} if requested_by else {}
        case ResumeRequested(service, job_id, requested_at):
            event_type = "resume_requested"
            member = {"service": service, "job_id": job_id, "requested_at": _time(requested_at)}
    return head | {"event_type": f"EVENT_TYPE_{event_type.upper()}", event_type: member}


def _time(value: datetime) -> str:
    return value.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
