"""One event of every type, and how any event reads as the JSON of protobuf."""

from datetime import UTC, datetime
from typing import Any, Final

from deletion.events import (
    BotDeletionSubject,
    CompletedShare,
    DeletionCompleted,
    RequestPlaced,
    completion_id,
)

REQUEST: Final = "018f3c1e-7a4b-7c2d-9e5f-0a1b2c3d4e5f"

SAMPLES: Final = {
    "request_placed": BotDeletionSubject(
        event_id=REQUEST,
        timestamp=datetime(2025, 3, 30, 1, 59, 59, 999999, UTC),
        bot_id="65f0a1b2c3d4e5f607182930",
        event=RequestPlaced(
            placed_at=datetime(2025, 3, 30, 1, 59, 59, 654321, UTC),
            requested_by="customer-portal",
        ),
    ),
    "deletion_completed": BotDeletionSubject(
        event_id=completion_id(REQUEST),
        timestamp=datetime(2025, 3, 31, 4, 5, 6, 789012, UTC),
        bot_id="65f0a1b2c3d4e5f607182930",
        event=DeletionCompleted(
            request_id=REQUEST,
            placed_at=datetime(2025, 3, 30, 1, 59, 59, 654321, UTC),
            settled_at=datetime(2025, 3, 31, 4, 5, 6, 543210, UTC),
            services=(
                CompletedShare(
                    "billing",
                    "65f0a1b2c3d4e5f607180001",
                    datetime(2025, 3, 31, 4, 5, 6, 543210, UTC),
                ),
                CompletedShare("legacy-crm", "", datetime(2025, 3, 30, 12, 0, 0, 123456, UTC)),
            ),
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
            placed = {"placed_at": _time(placed_at)}
            if requested_by:
                placed["requested_by"] = requested_by
            return head | {"event_type": "EVENT_TYPE_REQUEST_PLACED", "request_placed": placed}
        case completed:
            return head | {
                "event_type": "EVENT_TYPE_DELETION_COMPLETED",
                "deletion_completed": {
                    "request_id": completed.request_id,
                    "placed_at": _time(completed.placed_at),
                    "settled_at": _time(completed.settled_at),
                    "services": [_share(share) for share in completed.services],
                },
            }


def _share(share: CompletedShare) -> dict[str, str]:
    job = {"job_id": share.job_id} if share.job_id else {}
    return {"service": share.service, **job, "settled_at": _time(share.settled_at)}


def _time(value: datetime) -> str:
    return value.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
