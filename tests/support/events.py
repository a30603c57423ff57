"""An event, and messages that no valid event produces."""

from datetime import UTC, datetime
from typing import Any

from deletion.events import BotDeletionSubject, RequestPlaced, encode
from deletion.events.generated.bot_deletion.v1 import bot_deletion_subject_pb2 as pb

EVENT_ID = "018f3c1e-7a4b-7c2d-9e5f-0a1b2c3d4e5f"
BOT_ID = "65f0a1b2c3d4e5f607182930"
NOW = datetime(2025, 3, 30, 1, 59, 59, 999999, UTC)
PLACED = BotDeletionSubject(EVENT_ID, NOW, BOT_ID, RequestPlaced(NOW, "a client"))


def message(subject: BotDeletionSubject = PLACED, **fields: Any) -> pb.BotDeletionSubject:
    """The subject as a message, with fields that no valid subject has."""
    found = pb.BotDeletionSubject.FromString(encode(subject))
    for field, value in fields.items():
        setattr(found, field, value)
    return found
