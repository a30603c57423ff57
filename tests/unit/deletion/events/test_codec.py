"""An event survives its trip through bytes, and nothing broken gets in or out."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deletion.errors import EventError, InvalidEvent, UndecodableEvent, UnknownEventType
from deletion.events import (
    MAX_EVENT_BYTES,
    BotDeletionSubject,
    RequestPlaced,
    attributes,
    decode,
    encode,
)
from deletion.events.checks import LATEST_YEAR
from deletion.events.codec import MAX_REQUESTED_BY
from deletion.events.generated.bot_deletion.v1 import bot_deletion_subject_pb2 as pb
from tests.support.events import BOT_ID, EVENT_ID, NOW, PLACED, message

LATEST = datetime(LATEST_YEAR, 12, 31, 23, 59, 59, 999_999)  # noqa: DTZ001 - as hypothesis wants it

object_ids = st.binary(min_size=12, max_size=12).map(bytes.hex)
times = st.datetimes(timezones=st.just(UTC), max_value=LATEST)
placed = st.builds(RequestPlaced, times, st.text(max_size=MAX_REQUESTED_BY))
subjects = st.builds(
    BotDeletionSubject,
    event_id=st.uuids().map(str),
    timestamp=times,
    bot_id=object_ids,
    event=placed,
    version=st.integers(1, 2**31 - 1),
)


def refused(found: pb.BotDeletionSubject) -> str:
    """The field the codec names when it refuses the message as invalid."""
    with pytest.raises(InvalidEvent) as caught:
        decode(found.SerializeToString())
    return caught.value.field


@given(subjects)
def test_an_event_is_read_back_as_it_was_written(subject: BotDeletionSubject) -> None:
    assert decode(encode(subject)) == subject


@given(subjects)
def test_an_event_is_always_smaller_than_the_limit(subject: BotDeletionSubject) -> None:
    assert len(encode(subject)) < MAX_EVENT_BYTES


@given(st.binary(max_size=200))
def test_bytes_of_any_kind_give_an_event_or_a_named_error(data: bytes) -> None:
    try:
        assert isinstance(decode(data), BotDeletionSubject)
    except EventError as error:
        assert str(error)  # noqa: PT017


@given(subjects, st.data())
def test_a_damaged_event_gives_an_event_or_a_named_error(
    subject: BotDeletionSubject, draw: st.DataObject
) -> None:
    data = bytearray(encode(subject))
    data[draw.draw(st.integers(0, len(data) - 1))] ^= draw.draw(st.integers(1, 255))
    try:
        assert isinstance(decode(bytes(data)), BotDeletionSubject)
    except EventError as error:
        assert str(error)  # noqa: PT017


@pytest.mark.parametrize("data", [b"\xff", b"hello", b"\x0a\x02\xff\xfe", encode(PLACED)[:-1]])
def test_bytes_that_are_no_message_are_undecodable(data: bytes) -> None:
    with pytest.raises(UndecodableEvent, match="not a BotDeletionSubject"):
        decode(data)


def test_a_message_over_the_limit_is_undecodable_and_one_at_the_limit_is_read() -> None:
    padded = encode(PLACED) + b"\xfa\x7f"  # field 2047, which nobody knows
    filler = MAX_EVENT_BYTES - len(padded) - 3
    at_limit = padded + bytes([filler & 0x7F | 0x80, filler >> 7 & 0x7F | 0x80, filler >> 14])
    at_limit += b"x" * filler

    assert len(at_limit) == MAX_EVENT_BYTES
    assert decode(at_limit) == PLACED
    with pytest.raises(UndecodableEvent, match="65537 bytes, expected at most 65536"):
        decode(at_limit + b"x")


@pytest.mark.parametrize("field", ["event_id", "bot_id"])
@pytest.mark.parametrize("value", ["", "nonsense", BOT_ID + "\n", EVENT_ID + "\n", EVENT_ID[1:]])
def test_a_wrong_id_is_named(field: str, value: str) -> None:
    found = message()
    setattr(found, field, value)

    assert refused(found) == field


@pytest.mark.parametrize("version", [0, -1])
def test_a_version_below_one_is_named(version: int) -> None:
    assert refused(message(version=version)) == "version"


def test_nothing_but_an_empty_message_is_invalid() -> None:
    assert refused(pb.BotDeletionSubject()) == "event_id"


def test_an_event_without_a_type_is_invalid() -> None:
    assert refused(message(event_type=pb.EVENT_TYPE_UNSPECIFIED)) == "event_type"


@pytest.mark.parametrize("number", [2, 4, 99, -1])
def test_an_event_type_nobody_knows_yet_is_no_invalid_event(number: int) -> None:
    with pytest.raises(UnknownEventType) as caught:
        decode(message(event_type=number).SerializeToString())
    assert caught.value.event_type == number


def test_an_event_without_its_member_of_the_oneof_is_invalid() -> None:
    found = message()
    found.ClearField("request_placed")

    assert refused(found) == "request_placed"


def without_time(path: str) -> pb.BotDeletionSubject:
    found = message()
    *scope, field = path.split(".")
    (getattr(found, scope[0]) if scope else found).ClearField(field)
    return found


@pytest.mark.parametrize("path", ["timestamp", "request_placed.placed_at"])
def test_a_missing_time_is_named_and_not_taken_for_1970(path: str) -> None:
    assert refused(without_time(path)) == path.rpartition(".")[2]


def test_1970_itself_is_a_time() -> None:
    start = datetime(1970, 1, 1, tzinfo=UTC)
    epoch = replace(PLACED, timestamp=start, event=RequestPlaced(start))

    assert decode(encode(epoch)) == epoch


@pytest.mark.parametrize(
    ("seconds", "nanos"),
    [(253402300800, 0), (-62135596801, 0), (2**63 - 1, 0), (0, -1), (0, 1_000_000_000)],
)
def test_a_time_that_does_not_exist_is_named(seconds: int, nanos: int) -> None:
    found = message()
    found.timestamp.seconds, found.timestamp.nanos = seconds, nanos

    assert refused(found) == "timestamp"


def test_fractions_of_a_microsecond_are_cut_off() -> None:
    found = message()
    found.timestamp.nanos = 999_999_999

    assert decode(found.SerializeToString()).timestamp == NOW


def test_ids_are_read_in_lower_case() -> None:
    found = message(event_id=EVENT_ID.upper(), bot_id=BOT_ID.upper())

    assert decode(found.SerializeToString()) == PLACED


def test_ids_are_written_in_lower_case() -> None:
    subject = BotDeletionSubject(EVENT_ID.upper(), NOW, BOT_ID.upper(), PLACED.event)

    assert encode(subject) == encode(PLACED)


def test_times_of_other_zones_are_the_same_instants_in_utc() -> None:
    kathmandu = NOW.astimezone(timezone(timedelta(hours=5, minutes=45)))
    subject = BotDeletionSubject(EVENT_ID, kathmandu, BOT_ID, RequestPlaced(kathmandu, "a client"))

    assert subject == PLACED
    assert subject.timestamp.tzinfo is UTC
    assert encode(subject) == encode(PLACED)


INVALID: dict[str, dict[str, Any]] = {
    "event_id": {"event_id": BOT_ID},
    "bot_id": {"bot_id": EVENT_ID},
    "version": {"version": 0},
    "timestamp": {"timestamp": NOW.replace(tzinfo=None)},
}


@pytest.mark.parametrize("field", INVALID)
def test_an_invalid_event_cannot_be_made_and_so_not_be_written(field: str) -> None:
    with pytest.raises(InvalidEvent) as caught:
        replace(PLACED, **INVALID[field])
    assert caught.value.field == field


def test_a_version_that_does_not_fit_the_schema_cannot_be_made() -> None:
    with pytest.raises(InvalidEvent, match="version"):
        replace(PLACED, version=2**31)


def test_a_request_needs_a_time_zone() -> None:
    with pytest.raises(InvalidEvent, match="placed_at"):
        RequestPlaced(NOW.replace(tzinfo=None))


@pytest.mark.parametrize("name", ["a" * (MAX_REQUESTED_BY + 1), "\ud800"])
def test_a_name_that_is_too_long_or_no_text_cannot_be_made(name: str) -> None:
    with pytest.raises(InvalidEvent, match="requested_by"):
        RequestPlaced(NOW, name)


def test_a_name_that_is_too_long_is_named() -> None:
    found = message()
    found.request_placed.requested_by = "a" * (MAX_REQUESTED_BY + 1)

    assert refused(found) == "requested_by"


def test_an_event_from_before_names_had_a_field_names_nobody() -> None:
    found = message()
    found.request_placed.ClearField("requested_by")

    assert decode(found.SerializeToString()).event == RequestPlaced(NOW)


def test_a_time_before_year_one_in_utc_cannot_be_made() -> None:
    east = timezone(timedelta(hours=1))

    with pytest.raises(InvalidEvent, match="placed_at"):
        RequestPlaced(datetime(1, 1, 1, tzinfo=east))


def test_the_attributes_of_a_request_reach_every_service() -> None:
    assert attributes(PLACED) == {
        "event_type": "EVENT_TYPE_REQUEST_PLACED",
        "bot_id": BOT_ID,
        "event_id": EVENT_ID,
        "version": "1",
    }


def test_the_attributes_name_the_trace_that_is_given() -> None:
    traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

    assert attributes(PLACED, traceparent) == attributes(PLACED) | {"traceparent": traceparent}


@pytest.mark.parametrize("field", ["timestamp", "placed_at"])
def test_a_time_that_could_not_be_moved_on_is_refused(field: str) -> None:
    """A bot whose job has it could be joined by no request for ever."""
    found = message()
    stamp = found.timestamp if field == "timestamp" else found.request_placed.placed_at
    stamp.FromDatetime(LATEST)
    decode(found.SerializeToString())
    stamp.FromDatetime(LATEST + timedelta(microseconds=1))
    assert refused(found) == field
