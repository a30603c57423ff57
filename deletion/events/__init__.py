"""Events about the deletion of a bot, as values and as bytes."""

from deletion.events.codec import (
    MAX_EVENT_BYTES,
    SCHEMA_VERSION,
    BotDeletionSubject,
    RequestPlaced,
    attributes,
    decode,
    encode,
    to_message,
)

__all__ = [
    "MAX_EVENT_BYTES",
    "SCHEMA_VERSION",
    "BotDeletionSubject",
    "RequestPlaced",
    "attributes",
    "decode",
    "encode",
    "to_message",
]
