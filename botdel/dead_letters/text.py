"""Dead letters as JSON and for a terminal, which must never get their bytes unescaped."""

import base64
from collections.abc import Mapping, Sequence
from typing import Final

from rich.console import Group, RenderableType
from rich.table import Column, Table
from rich.text import Text

from botdel.listing import Cell, show
from botdel.terminal import Terminal, printable
from deletion.dead_letter import DeadLetter, DeadLetterStatus
from deletion.operating.excerpt import LINE_BYTES, lines, skipped_at_end
from deletion.operating.explain import Explanation, explain
from deletion.ports import ReadLetter, Unreadable

DETAIL_CHARACTERS = 60
"""Characters of the detail that a list shows."""
COLUMNS: Final = (
    "dead letter",
    "service",
    "reason",
    "status",
    "seen",
    "returns",
    "last seen",
    "detail",
)
WHOLE: Final = ("dead letter", "reason", "status", "seen", "returns")
SPARE: Final = ("service", "last seen", "detail", "returns", "seen")
"""The columns that a narrow terminal leaves out, beginning with the last."""
COLOURS = {
    DeadLetterStatus.NEW: "red",
    DeadLetterStatus.REPLAYED: "green",
    DeadLetterStatus.DISCARDED: "dim",
}

Record = Mapping[str, object]


def as_dict(letter: ReadLetter) -> Record:
    """Return the letter with the field names of its collection, but `bytes` instead of `data`."""
    if isinstance(letter, Unreadable):
        return {"_id": letter.id, "unreadable": letter.reason}
    return {
        "_id": letter.id,
        "messageId": letter.message_id,
        "service": letter.service,
        "attributes": dict(letter.attributes),
        "publishedAt": letter.published_at.isoformat(),
        "deliveryAttempt": letter.delivery_attempt,
        "reason": letter.reason.value,
        "detail": letter.detail,
        "firstSeenAt": letter.first_seen_at.isoformat(),
        "lastSeenAt": letter.last_seen_at.isoformat(),
        "count": letter.count,
        "returns": letter.returns,
        "status": letter.status.value,
        "bytes": len(letter.data),
    }


def in_full(letter: DeadLetter) -> Record:
    """Return `as_dict` with the bytes in base64, the decoded fields, and the fault."""
    explanation = explain(letter.data)
    fault = explanation.fault
    return {
        **as_dict(letter),
        "data": base64.b64encode(letter.data).decode(),
        "fields": [
            {
                "path": field.path,
                "offset": field.offset,
                "end": field.end,
                "wireType": str(field.wire_type),
                "value": field.value,
                "expectedWireType": None if field.mismatch is None else str(field.mismatch),
            }
            for field in explanation.fields
        ],
        "omittedFields": explanation.omitted,
        "stoppedAt": explanation.stopped_at,
        "fault": fault and {"offset": fault.offset, "problem": fault.problem},
    }


def tabulate(rows: Sequence[Sequence[Cell]], out: Terminal) -> None:
    """Print the `row`s of letters, or that no letter matches."""
    show(
        out,
        COLUMNS,
        rows,
        whole=WHOLE,
        spare=SPARE,
        nothing="no dead letter matches",
        in_full="botdel dead-letters show ID",
    )


def row(letter: ReadLetter) -> Sequence[Cell]:
    """Return the row of one letter in a list."""
    if isinstance(letter, Unreadable):
        return letter.id, "", "", "unreadable", "", "", "", letter.reason
    return (
        letter.id,
        letter.service,
        letter.reason,
        Text(letter.status, COLOURS[letter.status]),
        f"{letter.count:,}",
        f"{letter.returns:,}",
        f"{letter.last_seen_at:%Y-%m-%d %H:%M:%S}",
        _shortened(letter.detail),
    )


def _shortened(detail: str) -> str:
    if len(detail) <= DETAIL_CHARACTERS:
        return detail
    return f"{detail[: DETAIL_CHARACTERS - 1].rstrip()}…"


def described(letter: DeadLetter) -> RenderableType:
    """Return everything that is known about the letter."""
    explanation = explain(letter.data)
    times = f"first {letter.first_seen_at}, last {letter.last_seen_at}"
    return Group(
        Text.assemble(f"dead letter {letter.id}  ", (letter.status, COLOURS[letter.status])),
        printable(f"message {letter.message_id} of {letter.service or 'an unknown service'}"),
        printable(f"{letter.reason}: {letter.detail}"),
        Text(f"published {letter.published_at}, delivery attempt {letter.delivery_attempt or '?'}"),
        Text(f"seen {letter.count:,}, returns {letter.returns:,}; {times}"),
        _attributes(letter),
        _excerpt(letter.data, explanation),
        _fields(explanation),
        _verdict(explanation),
    )


def _attributes(letter: DeadLetter) -> Table:
    table = Table("attribute", Column("value", overflow="fold"))
    for name, text in sorted(letter.attributes.items()):
        table.add_row(printable(name), printable(text))
    return table


def _fields(explanation: Explanation) -> Table:
    table = Table(Column("at", justify="right"), "field", "wire type", "value")
    for field in explanation.fields:
        value = printable(field.value)
        if field.mismatch is not None:
            value.append(f" (expected {field.mismatch}, so it is not read)", "yellow")
        table.add_row(str(field.offset), field.path, str(field.wire_type), value)
    if explanation.left_out:
        table.add_row("", explanation.left_out, "", "")
    return table


def _verdict(explanation: Explanation) -> Text:
    if explanation.fault is None:
        return Text("no fault: these bytes are an event", "green")
    fault = explanation.fault
    return Text.assemble((f"fault at byte {fault.offset}: ", "red"), printable(fault.problem))


def _excerpt(data: bytes, explanation: Explanation) -> Text:
    """Return the first lines and those around the fault, with the faulty byte highlighted."""
    fault = explanation.fault.offset if explanation.fault else None
    shown = Text(f"{len(data):,} bytes\n")
    for line in lines(data, fault):
        if line.skipped:
            shown.append(f"{'…':>8}  {line.skipped:,} bytes\n", "dim")
        shown.append(f"{line.start:8} ", "dim")
        for offset, byte in enumerate(line.data, line.start):
            shown.append(f" {byte:02x}", "reverse red" if offset == fault else "")
        shown.append("   " * (LINE_BYTES - len(line.data)) + f"  {line.text}\n")
    if left := skipped_at_end(data, fault):
        shown.append(f"{'…':>8}  {left:,} bytes\n", "dim")
    if fault == len(data):
        shown.append(f"{fault:8}  the end, where something is missing\n", "red")
    return shown
