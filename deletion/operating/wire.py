"""Reads Protobuf's wire format up to the fault, where a parser only says that bytes are broken.

https://protobuf.dev/programming-guides/encoding. It accepts exactly what the parser accepts, which
tests/unit/deletion/operating/test_explain.py checks.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import IntEnum
from typing import Final, NamedTuple

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import DecodeError
from google.protobuf.timestamp_pb2 import Timestamp

VALUE_CHARACTERS: Final = 200
"""Characters shown of a value."""
MAX_READ: Final = 1000
"""Fields that are read, those inside of groups as well. It bounds the time to some 20 ms, in which
nothing else runs in a server; 64 KiB can hold 32,768 fields."""

_TAG_BYTES, _LENGTH_BYTES, _VARINT_BYTES = 5, 5, 10
_MAX_TAG: Final = 2**32 - 1
_MAX_DEPTH: Final = 100


class WireType(IntEnum):
    """How the bytes of a value are delimited; 6 and 7 are reserved."""

    VARINT = 0
    FIXED64 = 1
    LENGTH_DELIMITED = 2
    START_GROUP = 3
    END_GROUP = 4
    FIXED32 = 5

    def __str__(self) -> str:
        return self.name.lower().replace("_", "-")


WIRE_TYPES: Final[Mapping[int, WireType]] = {
    FieldDescriptor.TYPE_STRING: WireType.LENGTH_DELIMITED,
    FieldDescriptor.TYPE_MESSAGE: WireType.LENGTH_DELIMITED,
    FieldDescriptor.TYPE_ENUM: WireType.VARINT,
    FieldDescriptor.TYPE_INT32: WireType.VARINT,
    FieldDescriptor.TYPE_INT64: WireType.VARINT,
}
"""The wire type of each field type in the schema, in which only messages are repeated."""


@dataclass(frozen=True, slots=True)
class Field:
    """One field: its tag begins at `offset`, its value ends before `end`, both in bytes.

    `path` consists of the schema's names; a field that the schema does not know has its number.
    `mismatch` is the schema's wire type if this one differs: parsers skip such a field like an
    unknown one. `value` is for people, and may be cut.
    """

    path: str
    offset: int
    end: int
    wire_type: WireType
    value: str
    mismatch: WireType | None = None


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong, and the offset of the byte where it begins."""

    offset: int
    problem: str


class Reading(NamedTuple):
    """The fields in order, the first fault, and the offset of the first field that was not read
    because there are too many, or None.
    """

    fields: Sequence[Field]
    fault: Fault | None
    stopped_at: int | None


def read(data: bytes, schema: Descriptor) -> Reading:
    """Read the first `MAX_READ` fields of `data`, those inside of others counted as well.

    A value that is cut off is read up to its end in `data`. After a message that is broken inside,
    reading continues at its end: what follows may be valid.
    """
    reader = _Reader(data)
    try:
        reader.message(schema)
    except _TooMany as stopped:
        return Reading(reader.fields, reader.fault, stopped.offset)
    return Reading(reader.fields, reader.fault, None)


class _Tag(NamedTuple):
    """The beginning of a field, at `offset`."""

    offset: int
    number: int
    wire_type: WireType


class _Broken(Exception):
    """This message cannot be read any further."""

    def __init__(self, offset: int, problem: str) -> None:
        super().__init__(problem)
        self.fault = Fault(offset, problem)


class _TooMany(Exception):
    """`MAX_READ` fields have been read, and at `offset` is another one."""

    def __init__(self, offset: int) -> None:
        super().__init__()
        self.offset = offset


class _Reader:
    """Goes through the bytes once. `_end` is where the message around the cursor ends."""

    def __init__(self, data: bytes) -> None:
        self.fields: list[Field] = []
        self.fault: Fault | None = None
        self._data = data
        self._at = 0
        self._end = len(data)
        self._tags = 0

    def message(self, schema: Descriptor, prefix: str = "", depth: int = 0) -> None:
        """Read one message up to `_end`. `prefix` goes before the name of each field; `depth` is
        how many messages this one is in.
        """
        try:
            while self._at < self._end:
                self._field(schema, prefix, depth)
        except _Broken as broken:
            self._note(broken.fault)
            self._at = self._end

    def _note(self, fault: Fault) -> None:
        self.fault = self.fault or fault

    def _field(self, schema: Descriptor, prefix: str, depth: int) -> None:
        tag = self._tag()
        if not tag.number:  # not checked in `_tag`: inside a group, parsers accept it
            raise _Broken(tag.offset, "a tag with field number 0")
        known = schema.fields_by_number.get(tag.number)
        path = prefix + (known.name if known else str(tag.number))
        expected = WIRE_TYPES[known.type] if known else None
        if known is None or tag.wire_type is not expected:
            value = self._skip(tag, path if known else f"field {path}", depth)
            self.fields.append(Field(path, tag.offset, self._at, tag.wire_type, value, expected))
        elif known.message_type:
            self._nested(tag, known.message_type, path, depth + 1)
        else:
            value = self._scalar(known, path)
            self.fields.append(Field(path, tag.offset, self._at, tag.wire_type, value))

    def _nested(self, tag: _Tag, schema: Descriptor, path: str, depth: int) -> None:
        """Add a message as a field, followed by the fields inside it."""
        length = self._length(path)
        start, outer_end = self._at, self._end
        self._end = start + length
        index = len(self.fields)
        self.fields.append(Field(path, tag.offset, self._end, tag.wire_type, ""))
        self.message(schema, f"{path}.", depth)
        if schema.full_name == Timestamp.DESCRIPTOR.full_name:
            time = _time(self._data[start : self._end])
            self.fields[index] = replace(self.fields[index], value=time)
        self._end = outer_end

    def _scalar(self, known: FieldDescriptor, path: str) -> str:
        if known.type == FieldDescriptor.TYPE_STRING:
            return self._string(path)
        return _number(known, self._varint(path))

    def _skip(self, tag: _Tag, what: str, depth: int) -> str:
        """Skip a value, which a fault calls `what`. Returns a description of it."""
        match tag.wire_type:
            case WireType.VARINT:
                return str(self._varint(what))
            case WireType.LENGTH_DELIMITED:
                return _cut(repr(self._bytes(self._length(what), what)))
            case WireType.FIXED32:
                return self._bytes(4, what).hex()
            case WireType.FIXED64:
                return self._bytes(8, what).hex()
            case WireType.START_GROUP:
                return self._skip_group(tag, depth + 1)
        raise _Broken(tag.offset, f"the end of a group {tag.number} that has not begun")

    def _skip_group(self, group: _Tag, depth: int) -> str:
        if depth > _MAX_DEPTH:
            problem = f"more than {_MAX_DEPTH} messages or groups inside one another"
            raise _Broken(group.offset, problem)
        while self._at < self._end:
            tag = self._tag()
            if tag.wire_type is not WireType.END_GROUP:
                self._skip(tag, f"field {tag.number}", depth)
            elif tag.number == group.number:
                return f"a group of {self._at - group.offset} bytes"
            else:
                problem = f"the end of a group {tag.number} inside of a group {group.number}"
                raise _Broken(tag.offset, problem)
        raise _Broken(group.offset, f"a group {group.number} without an end")

    def _tag(self) -> _Tag:
        offset = self._at
        if self._tags >= MAX_READ:
            raise _TooMany(offset)
        self._tags += 1
        tag = self._base128(_TAG_BYTES, "a tag")
        number, wire_type = tag >> 3, tag & 7
        if tag > _MAX_TAG:
            raise _Broken(offset, f"a tag with field number {number}, which is too high")
        if wire_type > max(WireType):
            raise _Broken(offset, f"field {number} has wire type {wire_type}, which is reserved")
        return _Tag(offset, number, WireType(wire_type))

    def _varint(self, what: str) -> int:
        return self._base128(_VARINT_BYTES, what)

    def _length(self, what: str) -> int:
        """Return the length of a value. If fewer bytes are left, note the fault and return their
        number.
        """
        offset = self._at
        length = self._base128(_LENGTH_BYTES, f"the length of {what}")
        left = self._end - self._at
        if length > left:
            self._note(Fault(offset, f"{what} has length {length}, but {left} bytes are left"))
        return min(length, left)

    def _bytes(self, length: int, what: str) -> bytes:
        start = self._at
        if length > self._end - start:
            raise _Broken(start, f"{what} is cut off: {self._end - start} of {length} bytes")
        self._at += length
        return self._data[start : self._at]

    def _string(self, path: str) -> str:
        raw = self._bytes(self._length(path), path)
        try:
            return _cut(raw.decode())
        except UnicodeDecodeError as error:
            offset = self._at - len(raw) + error.start
            self._note(Fault(offset, f"{path} is not UTF-8: byte 0x{raw[error.start]:02x}"))
            return _cut(raw.decode(errors="backslashreplace"))

    def _base128(self, longest: int, what: str) -> int:
        """Read a number with 7 bits in each byte, lowest first; the last byte's high bit is 0."""
        start, value = self._at, 0
        for place, byte in enumerate(self._data[start : min(self._end, start + longest)]):
            value |= (byte & 0x7F) << (7 * place)
            if not byte & 0x80:
                self._at = start + place + 1
                return value
        if self._end - start < longest:
            raise _Broken(start, f"{what} is cut off")
        raise _Broken(start, f"{what} takes more than {longest} bytes")


def _number(known: FieldDescriptor, value: int) -> str:
    """Return the value cut to the bits of the type, as parsers do, and read as two's complement. A
    value of an enum is returned as its name.
    """
    bits = 64 if known.type == FieldDescriptor.TYPE_INT64 else 32
    value %= 2**bits
    if value >= 2 ** (bits - 1):
        value -= 2**bits
    named = known.enum_type.values_by_number.get(value) if known.enum_type else None
    return named.name if named else str(value)


def _time(data: bytes) -> str:
    try:
        return Timestamp.FromString(data).ToJsonString()
    except DecodeError:
        return ""
    except ValueError:
        return "a time out of range"


def _cut(text: str) -> str:
    return text if len(text) <= VALUE_CHARACTERS else f"{text[:VALUE_CHARACTERS]}…"
