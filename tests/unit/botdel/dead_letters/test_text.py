"""How dead letters read: a list, one in full with the byte of its fault, and for machines."""

import io
from dataclasses import replace
from typing import Any

import pytest

from botdel.dead_letters.text import as_dict, described, in_full, row, tabulate
from botdel.terminal import Terminal
from deletion.dead_letter import DeadLetterStatus, Reason
from deletion.events import encode
from deletion.ports import ReadLetter, Unreadable
from tests.schema.samples import SAMPLES
from tests.support.factories import a_letter


def text_of(*shown: Any) -> str:
    out = io.StringIO()
    Terminal(file=out, width=160).print(*shown)
    return out.getvalue()


def listed_at(width: int, *letters: ReadLetter) -> str:
    out = io.StringIO()
    tabulate([row(letter) for letter in letters], Terminal(file=out, width=width))
    return out.getvalue()


@pytest.mark.parametrize("width", [40, 60, 80, 100, 120])
def test_ids_reasons_and_statuses_are_whole_on_a_narrow_terminal(width: int) -> None:
    letter = a_letter(
        reason=Reason.UNDELIVERED, status=DeadLetterStatus.DISCARDED, service="a-long-name-" * 5
    )
    text = listed_at(width, letter, a_letter(detail="word " * 50))
    for whole in (letter.id, "undelivered", "discarded"):
        assert whole in text


def test_80_columns_have_room_for_whole_services(capsys: pytest.CaptureFixture[str]) -> None:
    letter = a_letter(reason=Reason.UNDELIVERED, service="conversations")
    assert "conversations" in listed_at(80, letter)
    assert "`botdel dead-letters show ID` shows them" in capsys.readouterr().err


def test_a_long_detail_is_seen_to_be_cut() -> None:
    assert "word word…\n" in listed_at(200, a_letter(detail="word " * 50))
    assert "…" not in listed_at(200, a_letter(detail="x" * 60))


def test_an_empty_list_says_so() -> None:
    assert listed_at(80) == "no dead letter matches\n"


def test_a_list_has_a_line_for_each_letter() -> None:
    letter = a_letter(count=1234, returns=2)
    line = next(line for line in listed_at(160, letter).splitlines() if letter.id in line)
    for part in ("conversations", "undecodable", "new", "1,234", "2025-03-30 01:59:59"):
        assert part in line


@pytest.mark.proves("explained")
def test_a_broken_event_is_shown_up_to_the_byte_of_its_fault() -> None:
    data = encode(SAMPLES["request_placed"])
    shown = text_of(described(a_letter(data=data[:-3])))
    assert "018f3c1e-7a4b-7c2d-9e5f-0a1b2c3d4e5f" in shown
    assert "2025-03-30T01:59:59.999999Z" in shown
    assert "EVENT_TYPE_REQUEST_PLACED" in shown
    assert "fault at byte 83: request_placed has length" in shown
    assert "65f0a1b2c3d4" in shown, "the bytes around the fault, as text"


def test_a_fault_at_the_end_is_shown_there() -> None:
    data = encode(SAMPLES["request_placed"])[:38]
    shown = text_of(described(a_letter(data=data)))
    assert "fault at byte 38: " in shown
    assert "38  the end" in shown


def test_a_sound_event_is_shown_to_have_no_fault() -> None:
    shown = text_of(described(a_letter(data=encode(SAMPLES["request_placed"]))))
    assert "no fault" in shown
    assert "request_placed.placed_at.seconds" in shown


def test_nothing_of_a_message_reaches_the_terminal_raw() -> None:
    evil = "\x1b[31m\x07\r[bold]not bold[/bold]\u202e"
    event = SAMPLES["request_placed"]
    data = encode(event).replace(event.bot_id.encode(), evil.encode().ljust(24, b"!")[:24])
    letter = a_letter(service=evil, attributes={evil: evil}, detail=evil, data=data)
    text = listed_at(160, letter) + text_of(described(letter))
    assert not {c for c in text if not c.isprintable() and c != "\n"}
    assert text.count("[bold]not bold[/bold]") >= 4


def test_the_largest_message_is_shown_in_part() -> None:
    letter = a_letter(data=b"\x7a\x00" * 2_500_000, reason=Reason.TOO_LARGE)
    shown = text_of(described(letter))
    assert len(shown) < 100_000
    assert "5,000,000 bytes" in shown
    assert "fault at byte 65536" in shown
    assert "       0  7a 00" in shown, "the first bytes say what it is"
    assert "…  65,408 bytes\n" in shown
    assert f"…  {5_000_000 - 65_600:,} bytes\n" in shown


def test_a_letter_for_machines_has_the_names_of_the_collection() -> None:
    letter = replace(a_letter(attributes={"$a.b": "c"}), returns=1, count=3)
    assert as_dict(letter) == {
        "_id": letter.id,
        "messageId": letter.message_id,
        "service": "conversations",
        "attributes": {"$a.b": "c"},
        "publishedAt": "2025-03-30T01:59:59.250000+00:00",
        "deliveryAttempt": 1,
        "reason": "undecodable",
        "detail": letter.detail,
        "firstSeenAt": "2025-03-30T01:59:59.250000+00:00",
        "lastSeenAt": "2025-03-30T01:59:59.250000+00:00",
        "count": 3,
        "returns": 1,
        "status": "new",
        "bytes": 8,
    }


def test_one_letter_for_machines_has_its_bytes_their_fields_and_the_fault() -> None:
    shown = in_full(a_letter(data=b"\x18\x05\x20\x07\x0a\x01\xff"))
    assert shown["data"] == "GAUgBwoB/w=="
    assert shown["fields"] == [
        {
            "path": "version",
            "offset": 0,
            "end": 2,
            "wireType": "varint",
            "expectedWireType": None,
            "value": "5",
        },
        {
            "path": "bot_id",
            "offset": 2,
            "end": 4,
            "wireType": "varint",
            "expectedWireType": "length-delimited",
            "value": "7",
        },
        {
            "path": "event_id",
            "offset": 4,
            "end": 7,
            "wireType": "length-delimited",
            "expectedWireType": None,
            "value": r"\xff",
        },
    ]
    number = in_full(a_letter(data=b"\x1a\x01?"))["fields"]
    assert number == [
        {
            "path": "version",
            "offset": 0,
            "end": 3,
            "wireType": "length-delimited",
            "expectedWireType": "varint",
            "value": "b'?'",
        }
    ]
    assert shown["omittedFields"] == 0
    assert shown["fault"] == {"offset": 6, "problem": "event_id is not UTF-8: byte 0xff"}
    assert in_full(a_letter(data=encode(SAMPLES["request_placed"])))["fault"] is None


def test_one_that_cannot_be_read_is_listed_as_such() -> None:
    odd = Unreadable("f" * 24, "'too_late' is not a valid Reason (ValueError)")
    assert as_dict(odd) == {"_id": odd.id, "unreadable": odd.reason}
    text = listed_at(160, odd)
    assert odd.id in text
    assert "unreadable" in text
