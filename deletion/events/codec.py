"""The event as a value, and as the bytes of `proto/bot_deletion/v1/bot_deletion_subject.proto`.

A value that breaks a rule of the contract cannot be constructed, so it cannot be encoded. Ids are
normalised to lower case and timestamps to UTC, so that equal events compare equal. Decoding is
forward compatible: unknown fields are ignored, newer versions are accepted, and an event whose type
this code does not know raises `UnknownEventType`, not the error of a broken event.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from google.protobuf.message import DecodeError
from google.protobuf.message import Message as ProtobufMessage
from google.protobuf.timestamp_pb2 import Timestamp

from deletion.bus import Message
from deletion.errors import InvalidEvent, OversizedEvent, UndecodableEvent, UnknownEventType
from deletion.events.generated.bot_deletion.v1 import bot_deletion_subject_pb2 as pb
from deletion.ids import is_object_id, is_uuid

SCHEMA_VERSION: Final = 1
"""Version of the schema this code writes; `python -m tests.schema.release` records it."""

MAX_EVENT_BYTES: Final = 64 * 1024
"""In bytes. Longer messages are refused without parsing; today's events have 100 to 200."""

MAX_REQUESTED_BY: Final = 200
"""Longest `requested_by`, in characters."""

LATEST_YEAR: Final = 9998
"""The last year that a timestamp may be in. In 9999, the last year that can be stored, requests
that join might be unable to move `placed_at` forward."""

_YEARS: Final = f"a time in the years 1 to {LATEST_YEAR}"
_MAX_INT32: Final = 2**31 - 1


@dataclass(frozen=True, slots=True)
class RequestPlaced:
    """A client asked for the bot to be deleted. `requested_by` names the client, or is empty.

    Raises:
        InvalidEvent: `placed_at` has no time zone, is before the year 1 in UTC or after
            `LATEST_YEAR`, or `requested_by` is longer than `MAX_REQUESTED_BY` or cannot be encoded
            as UTF-8.
    """

    placed_at: datetime
    requested_by: str = ""

    def __post_init__(self) -> None:
        _set(self, "placed_at", _utc("placed_at", self.placed_at))
        if len(self.requested_by) > MAX_REQUESTED_BY or not _encodable(self.requested_by):
            raise InvalidEvent("requested_by", f"at most {MAX_REQUESTED_BY} characters")


@dataclass(frozen=True, slots=True)
class BotDeletionSubject:
    """One event about the deletion of one bot.

    Raises:
        InvalidEvent: a field breaks a rule of the contract; the error names it.
    """

    event_id: str
    timestamp: datetime
    bot_id: str
    event: RequestPlaced
    version: int = SCHEMA_VERSION

    def __post_init__(self) -> None:
        _set(self, "event_id", _uuid("event_id", self.event_id))
        _set(self, "bot_id", _object_id("bot_id", self.bot_id))
        _set(self, "timestamp", _utc("timestamp", self.timestamp))
        if not 1 <= self.version <= _MAX_INT32:
            raise InvalidEvent("version", f"1 to {_MAX_INT32}")


def encode(subject: BotDeletionSubject) -> bytes:
    """The bytes to publish. `decode` returns an equal value for them."""
    message = pb.BotDeletionSubject(
        event_id=subject.event_id,
        timestamp=subject.timestamp,
        version=subject.version,
        bot_id=subject.bot_id,
        event_type=pb.EVENT_TYPE_REQUEST_PLACED,
    )
    message.request_placed.placed_at.FromDatetime(subject.event.placed_at)
    message.request_placed.requested_by = subject.event.requested_by
    return message.SerializeToString()


def decode(data: bytes) -> BotDeletionSubject:
    """The event in `data`. Timestamps are truncated to microseconds.

    Raises:
        UndecodableEvent: `data` is not a `BotDeletionSubject`.
        OversizedEvent: `data` is longer than `MAX_EVENT_BYTES`; an `UndecodableEvent`.
        InvalidEvent: the event breaks a rule of the contract.
        UnknownEventType: the event's ids are valid, but its type is newer than this code.
    """
    message = _parse(data)
    event = _event(message)
    return BotDeletionSubject(
        event_id=message.event_id,
        timestamp=_instant(message, "timestamp"),
        bot_id=message.bot_id,
        event=event,
        version=message.version,
    )


def attributes(subject: BotDeletionSubject, traceparent: str | None = None) -> dict[str, str]:
    """The attributes of the event's Pub/Sub message. They do not include `service`, by which
    subscriptions filter, because the event is for every service.

    `traceparent` identifies the publishing span (W3C Trace Context).
    """
    named = {
        "event_type": pb.EventType.Name(pb.EVENT_TYPE_REQUEST_PLACED),
        "bot_id": subject.bot_id,
        "event_id": subject.event_id,
        "version": str(subject.version),
    }
    if traceparent is not None:
        named["traceparent"] = traceparent
    return named


def to_message(subject: BotDeletionSubject, traceparent: str | None = None) -> Message:
    """The event's message: its bytes and attributes."""
    return Message(encode(subject), attributes(subject, traceparent))


def _parse(data: bytes) -> pb.BotDeletionSubject:
    if len(data) > MAX_EVENT_BYTES:
        raise OversizedEvent(f"{len(data)} bytes, expected at most {MAX_EVENT_BYTES}")
    try:
        return pb.BotDeletionSubject.FromString(data)
    except DecodeError as error:
        raise UndecodableEvent(f"not a BotDeletionSubject: {error}") from error


def _event(message: pb.BotDeletionSubject) -> RequestPlaced:
    """The member of the oneof that `event_type` names."""
    if message.event_type == pb.EVENT_TYPE_REQUEST_PLACED:
        _require(message, "request_placed")
        placed = message.request_placed
        return RequestPlaced(_instant(placed, "placed_at"), placed.requested_by)
    _uuid("event_id", message.event_id)
    _object_id("bot_id", message.bot_id)
    if message.event_type == pb.EVENT_TYPE_UNSPECIFIED:
        raise InvalidEvent("event_type", "a type other than EVENT_TYPE_UNSPECIFIED")
    raise UnknownEventType(message.event_type)


def _require(message: ProtobufMessage, field: str) -> None:
    if not message.HasField(field):
        raise InvalidEvent(field, "to be set")


def _instant(message: ProtobufMessage, field: str) -> datetime:
    _require(message, field)
    stamp: Timestamp = getattr(message, field)
    try:
        return stamp.ToDatetime(UTC)
    except ValueError as error:
        raise InvalidEvent(field, _YEARS) from error


def _utc(field: str, value: datetime) -> datetime:
    if value.utcoffset() is None:
        raise InvalidEvent(field, "a time with its time zone")
    try:
        utc = value.astimezone(UTC)
    except OverflowError as error:
        raise InvalidEvent(field, _YEARS) from error
    if utc.year > LATEST_YEAR:
        raise InvalidEvent(field, _YEARS)
    return utc


def _encodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:  # half of a surrogate pair
        return False
    return True


def _object_id(field: str, text: str) -> str:
    if not is_object_id(text):
        raise InvalidEvent(field, "24 hex digits")
    return text.lower()


def _uuid(field: str, text: str) -> str:
    if not is_uuid(text):
        raise InvalidEvent(field, "a UUID in its canonical form")
    return text.lower()


_set = object.__setattr__
"""Lets `__post_init__` put a normalised value into a frozen instance."""
