"""The event as a value, and as the bytes of `proto/bot_deletion/v1/bot_deletion_subject.proto`.

A value that breaks a rule of the contract cannot be constructed, so it cannot be encoded. Ids are
normalised to lower case and timestamps to UTC, so that equal events compare equal. Decoding is
forward compatible: unknown fields are ignored, newer versions are accepted, and an event whose type
this code does not know raises `UnknownEventType`, not the error of a broken event.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise
from typing import Final
from uuid import UUID, uuid5

from google.protobuf.message import DecodeError
from google.protobuf.message import Message as ProtobufMessage
from google.protobuf.timestamp_pb2 import Timestamp

from deletion.bus import Message
from deletion.errors import InvalidEvent, OversizedEvent, UndecodableEvent, UnknownEventType
from deletion.events.checks import YEARS, encodable, object_id, utc, uuid
from deletion.events.generated.bot_deletion.v1 import bot_deletion_subject_pb2 as pb
from deletion.ids import is_service_name

SCHEMA_VERSION: Final = 1
"""Version of the schema this code writes; `python -m tests.schema.release` records it."""

MAX_EVENT_BYTES: Final = 64 * 1024
"""In bytes. Longer messages are refused without parsing; today's events have 100 to 200."""

MAX_REQUESTED_BY: Final = 200
"""Longest `requested_by`, in characters."""

MOST_COMPLETED: Final = 600
"""The most services of a completion, each with the longest name, that `MAX_EVENT_BYTES` has room
for. No more than `deletion.request.MAX_SERVICES` are registered, except for a moment, when several
processes register at once."""

_COMPLETIONS: Final = UUID("b1f0a6de-61d4-4f0e-8e0f-3f6b8c8f5a57")
"""The namespace of the ids of completions (RFC 9562, section 5.5)."""

_MAX_INT32: Final = 2**31 - 1


@dataclass(frozen=True, slots=True)
class RequestPlaced:
    """A client asked for the bot to be deleted. `requested_by` names the client, or is empty.

    Raises:
        InvalidEvent: `placed_at` has no time zone or cannot be stored, or `requested_by` is longer
            than `MAX_REQUESTED_BY` or cannot be encoded as UTF-8.
    """

    placed_at: datetime
    requested_by: str = ""

    def __post_init__(self) -> None:
        _set(self, "placed_at", utc("placed_at", self.placed_at))
        if len(self.requested_by) > MAX_REQUESTED_BY or not encodable(self.requested_by):
            raise InvalidEvent("requested_by", f"at most {MAX_REQUESTED_BY} characters")


@dataclass(frozen=True, slots=True)
class CompletedShare:
    """What one service did about a request. `job_id` is empty when an operator waived its share.

    Raises:
        InvalidEvent: a field breaks a rule of the contract; the error names `services`.
    """

    service: str
    job_id: str
    settled_at: datetime

    def __post_init__(self) -> None:
        if not is_service_name(self.service):
            raise InvalidEvent("services", "names of services")
        if self.job_id:
            _set(self, "job_id", object_id("services", self.job_id))
        _set(self, "settled_at", utc("services", self.settled_at))


@dataclass(frozen=True, slots=True)
class DeletionCompleted:
    """A request is settled. `request_id` is the id of its event; `services` are sorted by name.

    Raises:
        InvalidEvent: a field breaks a rule of the contract; the error names it.
    """

    request_id: str
    placed_at: datetime
    settled_at: datetime
    services: tuple[CompletedShare, ...]

    def __post_init__(self) -> None:
        _set(self, "request_id", uuid("request_id", self.request_id))
        for name in ("placed_at", "settled_at"):
            _set(self, name, utc(name, getattr(self, name)))
        names = [share.service for share in self.services]
        is_sorted = all(before < after for before, after in pairwise(names))
        if not is_sorted or not 1 <= len(names) <= MOST_COMPLETED:
            raise InvalidEvent("services", f"1 to {MOST_COMPLETED} services, each once, by name")


Event = RequestPlaced | DeletionCompleted
_TYPES: Final = {
    RequestPlaced: pb.EVENT_TYPE_REQUEST_PLACED,
    DeletionCompleted: pb.EVENT_TYPE_DELETION_COMPLETED,
}


@dataclass(frozen=True, slots=True)
class BotDeletionSubject:
    """One event about the deletion of one bot.

    Raises:
        InvalidEvent: a field breaks a rule of the contract; the error names it.
    """

    event_id: str
    timestamp: datetime
    bot_id: str
    event: Event
    version: int = SCHEMA_VERSION

    def __post_init__(self) -> None:
        _set(self, "event_id", uuid("event_id", self.event_id))
        _set(self, "bot_id", object_id("bot_id", self.bot_id))
        _set(self, "timestamp", utc("timestamp", self.timestamp))
        if not 1 <= self.version <= _MAX_INT32:
            raise InvalidEvent("version", f"1 to {_MAX_INT32}")


def encode(subject: BotDeletionSubject) -> bytes:
    """The bytes to publish. `decode` returns an equal value for them."""
    message = pb.BotDeletionSubject(
        event_id=subject.event_id,
        timestamp=subject.timestamp,
        version=subject.version,
        bot_id=subject.bot_id,
        event_type=_TYPES[type(subject.event)],
    )
    match subject.event:
        case RequestPlaced(placed_at, requested_by):
            message.request_placed.placed_at.FromDatetime(placed_at)
            message.request_placed.requested_by = requested_by
        case DeletionCompleted() as completed:
            _write_completed(completed, message.deletion_completed)
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


def requested(subject: BotDeletionSubject) -> RequestPlaced:
    """The request in the event. Raises `InvalidEvent` for any other event, which is not run."""
    if not isinstance(subject.event, RequestPlaced):
        raise InvalidEvent("event_type", "EVENT_TYPE_REQUEST_PLACED")
    return subject.event


def completion_id(request_id: str) -> str:
    """The id of the `DeletionCompleted` of a request: the same whenever it is published."""
    return str(uuid5(_COMPLETIONS, request_id.lower()))


def attributes(subject: BotDeletionSubject, traceparent: str | None = None) -> dict[str, str]:
    """The attributes of the event's Pub/Sub message. They do not include `service`, by which
    subscriptions filter, because the event is for every service.

    `traceparent` identifies the publishing span (W3C Trace Context).
    """
    named = {
        "event_type": pb.EventType.Name(_TYPES[type(subject.event)]),
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


def _write_completed(
    event: DeletionCompleted, into: pb.BotDeletionSubject.DeletionCompleted
) -> None:
    into.request_id = event.request_id
    into.placed_at.FromDatetime(event.placed_at)
    into.settled_at.FromDatetime(event.settled_at)
    for share in event.services:
        written = into.services.add(service=share.service, job_id=share.job_id)
        written.settled_at.FromDatetime(share.settled_at)


def _event(message: pb.BotDeletionSubject) -> Event:
    """The member of the oneof that `event_type` names."""
    if message.event_type == pb.EVENT_TYPE_REQUEST_PLACED:
        _require(message, "request_placed")
        placed = message.request_placed
        return RequestPlaced(_instant(placed, "placed_at"), placed.requested_by)
    if message.event_type == pb.EVENT_TYPE_DELETION_COMPLETED:
        _require(message, "deletion_completed")
        return _completed(message.deletion_completed)
    uuid("event_id", message.event_id)
    object_id("bot_id", message.bot_id)
    if message.event_type == pb.EVENT_TYPE_UNSPECIFIED:
        raise InvalidEvent("event_type", "a type other than EVENT_TYPE_UNSPECIFIED")
    raise UnknownEventType(message.event_type)


def _completed(message: pb.BotDeletionSubject.DeletionCompleted) -> DeletionCompleted:
    return DeletionCompleted(
        request_id=message.request_id,
        placed_at=_instant(message, "placed_at"),
        settled_at=_instant(message, "settled_at"),
        services=tuple(_share(share) for share in message.services),
    )


def _share(message: pb.BotDeletionSubject.DeletionCompleted.Share) -> CompletedShare:
    try:
        settled_at = _instant(message, "settled_at")
    except InvalidEvent as error:
        raise InvalidEvent("services", "times at which they were settled") from error
    return CompletedShare(message.service, message.job_id, settled_at)


def _require(message: ProtobufMessage, field: str) -> None:
    if not message.HasField(field):
        raise InvalidEvent(field, "to be set")


def _instant(message: ProtobufMessage, field: str) -> datetime:
    _require(message, field)
    stamp: Timestamp = getattr(message, field)
    try:
        return stamp.ToDatetime(UTC)
    except ValueError as error:
        raise InvalidEvent(field, YEARS) from error


_set = object.__setattr__
"""Lets `__post_init__` put a normalised value into a frozen instance."""
