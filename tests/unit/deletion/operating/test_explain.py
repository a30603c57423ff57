"""What is told of bytes agrees with the codec, and points at the byte where the fault is."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.descriptor import Descriptor
from google.protobuf.message import DecodeError
from hypothesis import given
from hypothesis import strategies as st

from deletion.errors import EventError, UnknownEventType
from deletion.events import MAX_EVENT_BYTES, decode, encode
from deletion.events.generated.bot_deletion.v1 import bot_deletion_subject_pb2 as pb
from deletion.operating.explain import MAX_FIELDS, explain
from deletion.operating.wire import MAX_READ, VALUE_CHARACTERS, WIRE_TYPES, Fault, WireType, read
from tests.schema.samples import SAMPLES
from tests.support.events import BOT_ID, EVENT_ID, PLACED, message

SCHEMA = pb.DESCRIPTOR.message_types_by_name["BotDeletionSubject"]
RELEASED = sorted(Path("tests/schema/released").glob("*/re*.binpb"))

EVENT_ID_FIELD = b"\x0a\x24" + EVENT_ID.encode()
BOT_ID_FIELD = b"\x22\x18" + BOT_ID.encode()
NOTHING = b"\x7a\x00"
"""An empty value of an unknown field 15."""


def fault(data: bytes) -> Fault:
    found = explain(data).fault
    assert found
    return found


def told(data: bytes) -> dict[str, str]:
    """Paths and values."""
    return {field.path: field.value for field in explain(data).fields}


def test_a_sound_event_is_told_in_the_names_of_the_schema() -> None:
    data = encode(SAMPLES["request_placed"])
    explanation = explain(data)
    assert explanation.fault is None
    assert told(data) == {
        "event_id": "018f3c1e-7a4b-7c2d-9e5f-0a1b2c3d4e5f",
        "timestamp": "2025-03-30T01:59:59.999999Z",
        "timestamp.seconds": "1743299999",
        "timestamp.nanos": "999999000",
        "version": "1",
        "bot_id": "65f0a1b2c3d4e5f607182930",
        "event_type": "EVENT_TYPE_REQUEST_PLACED",
        "request_placed": "",
        "request_placed.placed_at": "2025-03-30T01:59:59.654321Z",
        "request_placed.placed_at.seconds": "1743299999",
        "request_placed.placed_at.nanos": "654321000",
        "request_placed.requested_by": "customer-portal",
    }


@pytest.mark.parametrize("event", SAMPLES)
def test_every_field_is_found_where_its_bytes_are(event: str) -> None:
    data = encode(SAMPLES[event])
    by_path = dict(every_field(SCHEMA))
    for field in explain(data).fields:
        assert data[field.offset] == by_path[field.path].number << 3 | field.wire_type, field
        if field.wire_type is WireType.LENGTH_DELIMITED:
            length, after = data[field.offset + 1], field.offset + 2
            if length >= 0x80:
                length, after = length & 0x7F | data[after] << 7, after + 1
            assert field.end == after + length, field


def every_field(schema: Descriptor, prefix: str = "") -> Iterator[tuple[str, Any]]:
    for field in schema.fields:
        yield prefix + field.name, field
        if field.message_type:
            yield from every_field(field.message_type, f"{prefix}{field.name}.")


def test_every_type_of_the_schema_can_be_told() -> None:
    for path, field in every_field(SCHEMA):
        assert field.type in WIRE_TYPES, path
        assert field.message_type or not field.is_repeated, path


def test_a_completion_in_place_of_a_request_is_shown_whole_and_its_type_is_the_fault() -> None:
    explanation = explain(encode(SAMPLES["deletion_completed"]))
    shown = [(field.path, field.value) for field in explanation.fields]
    services = [value for path, value in shown if path == "deletion_completed.services.service"]
    assert services == ["billing", "legacy-crm"]
    fault = explanation.fault
    assert fault is not None
    assert "event_type" in fault.problem
    [event_type] = [field for field in explanation.fields if field.path == "event_type"]
    assert fault.offset == event_type.offset


@pytest.mark.parametrize("field", ["placed_at", "settled_at"])
def test_a_time_that_a_completion_lacks_is_looked_for_in_the_completion(field: str) -> None:
    found = pb.BotDeletionSubject.FromString(encode(SAMPLES["deletion_completed"]))
    found.deletion_completed.ClearField(field)
    explanation = explain(found.SerializeToString())
    [completed] = [each for each in explanation.fields if each.path == "deletion_completed"]
    assert explanation.fault is not None
    assert (field in explanation.fault.problem, explanation.fault.offset) == (True, completed.end)


BROKEN = {
    "a text that is cut off": (EVENT_ID_FIELD[:20], 1, "event_id has length 36, but 18 bytes"),
    "a length that is cut off": (EVENT_ID_FIELD + b"\x22", 39, "the length of bot_id is cut off"),
    "a length without an end": (b"\x0a" + b"\x80" * 6, 1, "more than 5 bytes"),
    "a number that is cut off": (b"\x18\xff", 1, "version is cut off"),
    "a number without an end": (b"\x18" + b"\xff" * 11, 1, "version takes more than 10 bytes"),
    "a tag that is cut off": (BOT_ID_FIELD + b"\x80", 26, "a tag is cut off"),
    "a tag without an end": (b"\x80" * 6, 0, "a tag takes more than 5 bytes"),
    "a field number too high": (b"\xf8\xff\xff\xff\x1f\x05", 0, "too high"),
    "field number 0": (NOTHING + b"\x00\x05", 2, "field number 0"),
    "a reserved wire type": (NOTHING + b"\x0e", 2, "field 1 has wire type 6"),
    "a text that is none": (b"\x0a\x03ab\xff", 4, "event_id is not UTF-8: byte 0xff"),
    "a time beyond its message": (b"\x12\x01\x08\x05", 3, "timestamp.seconds is cut off"),
    "a member's text": (b"\x52\x03\x12\x01\x80", 4, "request_placed.requested_by is not UTF-8"),
    "four bytes that are three": (b"\x7d\x01\x02\x03", 1, "field 15 is cut off: 3 of 4 bytes"),
    "eight bytes that are none": (b"\x79", 1, "field 15 is cut off: 0 of 8 bytes"),
    "a group that ends twice": (b"\x7b\x7c\x7c", 2, "the end of a group 15 that has not begun"),
    "a group that does not end": (NOTHING + b"\x7b\x08\x01", 2, "a group 15 without an end"),
    "a group that ends as another": (b"\x7b\x74", 1, "the end of a group 14 inside of a group 15"),
    "groups too deep": (b"\x7b" * 101 + b"\x7c" * 101, 100, "more than 100"),
    "JSON": (
        b'{"bot_id": "65f0a1b2c3d4e5f607182930"}',
        2,
        "field 4 has length 98, but 35 bytes are left",
    ),
}


@pytest.mark.parametrize("broken", BROKEN)
def test_bytes_that_break_off_are_told_up_to_the_fault_and_at_which_byte_it_is(
    broken: str,
) -> None:
    data, offset, problem = BROKEN[broken]
    found = fault(data)
    assert found.offset == offset
    assert problem in found.problem


def test_what_is_cut_off_is_told_as_far_as_it_goes() -> None:
    data = encode(PLACED)
    end = data.index(b"a client") + 4
    fields = told(data[:end])
    assert fields["event_id"] == EVENT_ID
    assert fields["request_placed.requested_by"] == "a cl"
    assert fault(data[:end]).problem.startswith("request_placed has length"), "the first fault"


def test_a_text_that_is_none_is_told_with_its_bytes() -> None:
    assert told(b"\x0a\x03ab\xff" + BOT_ID_FIELD) == {"event_id": r"ab\xff", "bot_id": BOT_ID}


def test_what_comes_behind_a_broken_message_is_told() -> None:
    data = b"\x12\x03\x08\x05\x0f" + BOT_ID_FIELD
    assert told(data) == {"timestamp": "", "timestamp.seconds": "5", "bot_id": BOT_ID}
    assert fault(data) == Fault(4, "field 1 has wire type 7, which is reserved")


def offset_of(data: bytes, path: str) -> int:
    return next(field.offset for field in explain(data).fields if field.path == path)


INVALID: dict[str, dict[str, Any]] = {
    "event_id": {"event_id": "no uuid"},
    "bot_id": {"bot_id": "no id"},
    "version": {"version": -1},
}


@pytest.mark.parametrize("path", INVALID)
def test_an_invalid_event_is_told_with_the_rule_and_the_place_of_the_field(path: str) -> None:
    data = message(**INVALID[path]).SerializeToString()
    found = fault(data)
    assert found.problem.startswith(f"{path}: expected")
    assert found.offset == offset_of(data, path)


def test_the_place_of_a_field_is_found_inside_the_event() -> None:
    damaged = message()
    damaged.request_placed.requested_by = "?" * 201
    data = damaged.SerializeToString()
    assert fault(data).offset == offset_of(data, "request_placed.requested_by")


def test_a_time_that_does_not_exist_is_told_where_it_is() -> None:
    damaged = message()
    damaged.request_placed.placed_at.seconds = 2**62
    data = damaged.SerializeToString()
    assert fault(data).offset == offset_of(data, "request_placed.placed_at")
    assert told(data)["request_placed.placed_at"] == "a time out of range"
    assert told(data)["request_placed.placed_at.seconds"] == str(2**62)


@pytest.mark.parametrize("field", ["event_id", "timestamp", "bot_id", "event_type", "version"])
def test_a_field_that_is_missing_is_told_at_the_end_of_its_message(field: str) -> None:
    damaged = message()
    damaged.ClearField(field)
    data = damaged.SerializeToString()
    assert fault(data).offset == len(data)
    assert fault(data).problem.startswith(f"{field}: expected")


def test_a_field_that_is_missing_inside_the_event_is_told_at_the_end_of_that() -> None:
    damaged = message()
    damaged.request_placed.ClearField("placed_at")
    data = damaged.SerializeToString() + NOTHING
    assert fault(data) == Fault(len(data) - len(NOTHING), "placed_at: expected to be set")


def test_a_field_of_another_wire_type_is_told_where_the_parser_passes_over_it() -> None:
    damaged = message()
    damaged.ClearField("bot_id")
    data = b"\x20\x07" + damaged.SerializeToString()
    found = fault(data)
    assert found.offset == 0
    assert found.problem.endswith("(its wire type is varint, expected length-delimited)")


def test_a_number_of_another_wire_type_is_told_where_the_parser_passes_over_it() -> None:
    """`WireType.VARINT` is 0, and false."""
    damaged = message()
    damaged.ClearField("version")
    data = b"\x1a\x01?" + damaged.SerializeToString()
    found = fault(data)
    assert found.offset == 0
    assert found.problem.endswith("(its wire type is length-delimited, expected varint)")


def test_of_a_repeated_field_the_last_one_counts() -> None:
    data = b"\x22\x01?" + encode(PLACED)
    assert explain(data).fault is None
    assert fault(encode(PLACED) + b"\x22\x01?").offset == len(encode(PLACED))


def test_what_the_schema_does_not_know_is_told_by_number() -> None:
    data = encode(PLACED) + b"\x78\x05" + b"\x7a\x02hi" + b"\x7d\x01\0\0\0" + b"\x7b\x08\x01\x7c"
    last = explain(data).fields[-4:]
    assert [field.path for field in last] == ["15"] * 4
    assert [field.value for field in last] == ["5", "b'hi'", "01000000", "a group of 4 bytes"]
    assert [str(field.wire_type) for field in last] == [
        "varint",
        "length-delimited",
        "fixed32",
        "start-group",
    ]
    assert explain(data).fault is None


def test_a_newer_type_of_event_has_no_fault_and_goes_by_its_number() -> None:
    data = message(event_type=7).SerializeToString()
    assert explain(data).fault is None
    assert told(data)["event_type"] == "7"


def test_more_than_an_event_may_have_is_told_in_part_and_refused_for_its_size() -> None:
    data = EVENT_ID_FIELD + NOTHING * MAX_EVENT_BYTES
    explanation = explain(data)
    assert explanation.fault
    assert explanation.fault.offset == MAX_EVENT_BYTES
    assert f"{len(data)} bytes" in explanation.fault.problem
    assert explanation.fields[0].value == EVENT_ID
    assert len(explanation.fields) == MAX_FIELDS
    assert explanation.omitted == MAX_READ - MAX_FIELDS


MANY = {
    "unknown fields": (NOTHING, MAX_READ - MAX_FIELDS),
    "times": (b"\x12\x00", MAX_READ - MAX_FIELDS),
    "groups": (b"\x7b\x7c", MAX_READ // 2 - MAX_FIELDS),
}


@pytest.mark.parametrize("many", MANY)
def test_only_the_first_fields_of_very_many_are_read_and_that_is_said(many: str) -> None:
    """They would keep a server's event loop for a second."""
    each, omitted = MANY[many]
    explanation = explain(each * (MAX_EVENT_BYTES // len(each)))
    assert (len(explanation.fields), explanation.omitted) == (MAX_FIELDS, omitted)
    stopped_at = MAX_READ * len(each) if each != b"\x7b\x7c" else MAX_READ
    assert explanation.stopped_at == stopped_at
    said = f"and {omitted:,} more; only the first {MAX_READ:,} fields are read"
    assert explanation.left_out == f"{said}, up to byte {stopped_at}"


def test_fields_inside_of_one_group_are_bounded_too() -> None:
    explanation = explain(b"\x7b" + NOTHING * (MAX_EVENT_BYTES // 2 - 1) + b"\x7c")
    assert (explanation.fields, explanation.stopped_at) == ([], 1 + (MAX_READ - 1) * 2)
    assert explanation.left_out == f"only the first {MAX_READ:,} fields are read, up to byte 1999"


def test_the_place_of_a_fault_is_not_guessed_behind_the_last_field_that_is_read() -> None:
    sound = encode(PLACED)
    assert explain(NOTHING * MAX_READ + sound).fault is None
    for damaged in (
        b"\x22\x01?" + NOTHING * MAX_READ + sound + b"\x22\x01?",
        NOTHING * 1001 + b"\xff",
    ):
        found = explain(damaged)
        assert found.fault
        assert found.fault.offset == found.stopped_at
        assert "its place is unknown" in found.fault.problem


def test_a_long_value_is_told_in_part() -> None:
    long = b"a" * 10_000
    data = pb.BotDeletionSubject(bot_id=long.decode()).SerializeToString()
    assert len(told(data)["bot_id"]) == VALUE_CHARACTERS + 1


# --- agreement with the codec


def agrees(data: bytes) -> None:
    """`read` stops where the parser does, and `explain` refuses what `decode` refuses."""
    assert (read(data, SCHEMA)[1] is None) == parses(data)
    explanation = explain(data)
    if explanation.fault:
        assert 0 <= explanation.fault.offset <= len(data)
        assert explanation.fault.problem
    assert (explanation.fault is None) == is_accepted(data)
    for field in explanation.fields:
        assert 0 <= field.offset < field.end <= len(data)


def parses(data: bytes) -> bool:
    try:
        pb.BotDeletionSubject.FromString(data)
    except DecodeError:
        return False
    return True


def is_accepted(data: bytes) -> bool:
    try:
        decode(data)
    except UnknownEventType:
        return True
    except EventError:
        return False
    return True


varints = st.integers(0, 2**64 - 1) | st.integers(0, 40)


def varint(value: int) -> bytes:
    low = bytes([value & 0x7F | (0x80 if value > 0x7F else 0)])
    return low + varint(value >> 7) if value > 0x7F else low


def field(number: int, wire_type: int, payload: bytes) -> bytes:
    prefix = varint(len(payload)) if wire_type == WireType.LENGTH_DELIMITED else b""
    return varint(number << 3 | wire_type) + prefix + payload


payloads: st.SearchStrategy[bytes] = st.deferred(
    lambda: (
        st.binary(max_size=9)
        | varints.map(varint)
        | st.text(max_size=5).map(str.encode)
        | st.lists(streams, max_size=3).map(b"".join)
    )
)
streams: st.SearchStrategy[bytes] = st.builds(
    field, st.integers(0, 16), st.integers(0, 7), payloads
)
"""Fields of the schema and beside it, with values that fit or not."""


@given(varints, varints)
def test_numbers_are_told_as_the_parser_reads_them(version: int, seconds: int) -> None:
    time = field(1, WireType.VARINT, varint(seconds))
    data = field(3, WireType.VARINT, varint(version)) + field(2, WireType.LENGTH_DELIMITED, time)
    parsed = pb.BotDeletionSubject.FromString(data)
    assert told(data)["version"] == str(parsed.version)
    assert told(data)["timestamp.seconds"] == str(parsed.timestamp.seconds)


@pytest.mark.proves("explained")
@given(st.binary(max_size=200))
def test_bytes_of_any_kind_are_told_of(data: bytes) -> None:
    agrees(data)


@given(st.lists(streams, max_size=6).map(b"".join))
def test_fields_of_any_kind_are_told_of(data: bytes) -> None:
    agrees(data)


@pytest.mark.proves("explained")
@given(st.sampled_from(RELEASED), st.data())
def test_damaged_events_of_every_release_are_told_of(released: Path, draw: st.DataObject) -> None:
    data = bytearray(released.read_bytes())
    for _ in range(draw.draw(st.integers(1, 3))):
        start = draw.draw(st.integers(0, len(data)))
        end = draw.draw(st.integers(start, min(len(data), start + 4)))
        data[start:end] = draw.draw(st.binary(max_size=4))
    agrees(bytes(data))


@pytest.mark.parametrize("released", RELEASED, ids=str)
def test_an_event_that_breaks_off_anywhere_is_told_of(released: Path) -> None:
    data = released.read_bytes()
    assert explain(data).fault is None
    for length in range(len(data)):
        agrees(data[:length])
        assert explain(data[:length]).fault


def test_there_are_released_events_to_break() -> None:
    assert RELEASED
