"""Replaying a dead letter: publish its message again, to the one service it came from.

A replay keeps the event's id, so it is a duplicate if its request was recorded meanwhile. It names
its record, so that it joins that record if it is quarantined again: docs/decisions/0016.
"""

from typing import Final

from deletion.bus import Message
from deletion.dead_letter import RECORD_ATTRIBUTE, SOURCE, DeadLetter, is_canary
from deletion.ids import is_service_name

MAX_MESSAGE_BYTES: Final = 10_000_000
MAX_ATTRIBUTES: Final = 100
"""What Pub/Sub accepts in one message: https://cloud.google.com/pubsub/quotas#resource_limits"""

PUBSUBS_OWN: Final = (SOURCE, "goog")
"""Prefixes of attributes that Pub/Sub adds itself; it refuses to publish `goog…`."""

_INSTEAD: Final = "ask for the deletion of its bot again, then discard it"


def replay_message(letter: DeadLetter) -> Message:
    """The message with its bytes and attributes, for its service only. Safe to publish twice."""
    kept = {
        name: text for name, text in letter.attributes.items() if not name.startswith(PUBSUBS_OWN)
    }
    return Message(letter.data, {**kept, "service": letter.service, RECORD_ATTRIBUTE: letter.id})


def refusal(letter: DeadLetter, *, force: bool) -> str | None:
    """Why `letter` may not be replayed, and what to do instead; None when it may."""
    if is_canary(letter.service):
        return "it is a canary of `botdel doctor`: discard it"
    if not is_service_name(letter.service):
        return f"nothing says which service it came from: {_INSTEAD}"
    if not _fits(replay_message(letter)):
        return f"with the attributes of a replay it is larger than Pub/Sub allows: {_INSTEAD}"
    if letter.obstacle and not force:
        return f"{letter.obstacle}; use --force to replay it anyway"
    return None


def _fits(message: Message) -> bool:
    texts = [text for pair in message.attributes.items() for text in pair]
    size = len(message.data) + sum(len(text.encode()) for text in texts)
    return size <= MAX_MESSAGE_BYTES and len(message.attributes) <= MAX_ATTRIBUTES
