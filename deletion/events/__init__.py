"""Events about the deletion of a bot, as values and as bytes."""

from deletion.events.codec import (
    MAX_EVENT_BYTES,
    SCHEMA_VERSION,
    BotDeletionSubject,
    CompletedShare,
    DeletionCompleted,
    RequestPlaced,
    attributes,
    completion_id,
    decode,
    encode,
    requested,
    to_message,
)
from deletion.events.completed import completed

__all__ = [
    "MAX_EVENT_BYTES",
    "SCHEMA_VERSION",
    "BotDeletionSubject",
    "CompletedShare",
    "DeletionCompleted",
    "RequestPlaced",
    "attributes",
    "completed",
    "completion_id",
    "decode",
    "encode",
    "requested",
    "to_message",
]
