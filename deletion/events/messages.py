"""The messages that carry events."""

from deletion.bus import Message
from deletion.events.codec import BotDeletionSubject, attributes, encode


def to_message(subject: BotDeletionSubject, traceparent: str | None = None) -> Message:
    """The event as bytes, and what filters can see of it."""
    return Message(encode(subject), attributes(subject, traceparent))
