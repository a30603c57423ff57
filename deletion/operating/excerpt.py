"""The bytes of a dead letter in lines: the first ones, which identify it, and the faulty ones."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

LINE_BYTES: Final = 16
AROUND_LINES: Final = 8
"""Lines of bytes shown around the fault."""
FIRST_BYTES: Final = 64
"""Bytes shown from the beginning, if the fault comes later."""
PRINTABLE: Final = range(0x20, 0x7F)


@dataclass(frozen=True, slots=True)
class Line:
    """Some bytes from `start` on, after `skipped` bytes that are not shown."""

    start: int
    data: bytes
    skipped: int

    @property
    def text(self) -> str:
        """The bytes as ASCII, with a dot for each that cannot be printed."""
        return "".join(chr(byte) if byte in PRINTABLE else "." for byte in self.data)


def lines(data: bytes, fault: int | None) -> Iterator[Line]:
    """The first lines, and those around the byte `fault`."""
    first = max(0, (fault or 0) // LINE_BYTES - AROUND_LINES // 2) * LINE_BYTES
    around = range(first, min(len(data), first + AROUND_LINES * LINE_BYTES), LINE_BYTES)
    end = 0
    for start in [*range(0, min(first, FIRST_BYTES), LINE_BYTES), *around]:
        yield Line(start, data[start : start + LINE_BYTES], max(0, start - end))
        end = start + LINE_BYTES


def skipped_at_end(data: bytes, fault: int | None) -> int:
    """How many bytes follow the last line."""
    shown = [line.start + LINE_BYTES for line in lines(data, fault)]
    return max(0, len(data) - max(shown, default=0))
