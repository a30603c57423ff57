"""Decodes the bytes of a dead letter for the person who decides what to do with it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from deletion.errors import (
    EventError,
    InvalidEvent,
    OversizedEvent,
    UndecodableEvent,
    UnknownEventType,
)
from deletion.events.codec import MAX_EVENT_BYTES, decode, requested
from deletion.events.generated.bot_deletion.v1 import bot_deletion_subject_pb2 as pb
from deletion.operating.wire import MAX_READ, Fault, Field, Reading, read

MAX_FIELDS: Final = 200
"""Fields that are shown. Today's events have about ten."""

_SCHEMA: Final = pb.DESCRIPTOR.message_types_by_name["BotDeletionSubject"]
_MEMBERS: Final = {member.name: member for member in _SCHEMA.oneofs_by_name["event"].fields}
"""The members of the oneof. A parser keeps only the last one that it reads."""


@dataclass(frozen=True, slots=True)
class Explanation:
    """The first `MAX_FIELDS` fields, how many of those that were read are left out, and the fault,
    if there is one. Behind `MAX_READ` fields, at the byte `stopped_at`, nothing was read.
    """

    fields: Sequence[Field]
    omitted: int
    fault: Fault | None
    stopped_at: int | None = None

    @property
    def left_out(self) -> str | None:
        """What is not shown, in words, or None if everything is."""
        more = f"and {self.omitted:,} more" if self.omitted else None
        if self.stopped_at is None:
            return more
        only = f"only the first {MAX_READ:,} fields are read, up to byte {self.stopped_at}"
        return f"{more}; {only}" if more else only


def explain(data: bytes) -> Explanation:
    """Decode as much as possible. There is a fault exactly when a consumer refuses the event,
    except for an event type that is newer than this code.

    Only the first `MAX_EVENT_BYTES` of `data`, and of these the first `MAX_READ` fields, are read.
    """
    found = read(data[:MAX_EVENT_BYTES], _SCHEMA)
    omitted = max(0, len(found.fields) - MAX_FIELDS)
    fault = _fault(data, found)
    return Explanation(found.fields[:MAX_FIELDS], omitted, fault, found.stopped_at)


def _fault(data: bytes, found: Reading) -> Fault | None:
    try:
        requested(decode(data))
    except OversizedEvent as error:
        return Fault(MAX_EVENT_BYTES, str(error))
    except UndecodableEvent as error:
        return found.fault or _unlocated(error, found) or Fault(len(data), str(error))
    except InvalidEvent as error:
        return _unlocated(error, found) or _locate(error, found.fields, len(data))
    except UnknownEventType:
        return None
    return None


def _unlocated(error: EventError, found: Reading) -> Fault | None:
    """Return the fault at the first field that was not read, because the last of many fields with
    the same number counts; None if all were read.
    """
    if found.stopped_at is None:
        return None
    where = f"its place is unknown, because only the first {MAX_READ:,} fields are read"
    return Fault(found.stopped_at, f"{error} ({where})")


def _locate(error: InvalidEvent, fields: Sequence[Field], end: int) -> Fault:
    """Return the fault at the field that `error` names or, if that is missing, at the end of the
    message that should have it.
    """
    path = _path(error.field, fields)
    if kept := _kept(path, fields):
        return Fault(kept.offset, str(error))
    if skipped := [each for each in fields if each.path == path and each.mismatch is not None]:
        last = skipped[-1]
        problem = f"{error} (its wire type is {last.wire_type}, expected {last.mismatch})"
        return Fault(last.offset, problem)
    message = _kept(path.rpartition(".")[0], fields)
    return Fault(message.end if message else end, str(error))


def _path(field: str, fields: Sequence[Field]) -> str:
    """Return the path of the field an error names: a field of the event, or of a oneof member.

    Of members that have such a field, it is the one that a parser keeps.
    """
    if field in _SCHEMA.fields_by_name:
        return field
    having = [
        name
        for name, member in _MEMBERS.items()
        if member.message_type and field in member.message_type.fields_by_name
    ]
    kept = (name for name in having if _kept(name, fields))
    return f"{next(kept, having[0])}.{field}"


def _kept(path: str, fields: Sequence[Field]) -> Field | None:
    """Return the occurrence of a field that a parser keeps, or None.

    That is the last one, unless it is in a member of the oneof, and another member comes later.
    """
    own = path.partition(".")[0]
    for field in reversed(fields):
        if field.mismatch is not None:
            continue  # parsers skip it
        if field.path == path:
            return field
        if own in _MEMBERS and field.path in _MEMBERS and field.path != own:
            return None
    return None
