"""Where the next page of a list begins, as text in a URL."""

import re
from datetime import timedelta
from typing import Final

from console.lists import Position
from deletion.clock import TICK
from deletion.ids import UUID_PATTERN
from deletion.silence import EPOCH

CURSOR_PATTERN: Final = f"^([0-9]{{1,14}}-{UUID_PATTERN.strip('^$')})?$"
"""When the last request of a page was received, in milliseconds since 1970, and its id."""
_parts = re.compile(r"([0-9]{1,14})-([0-9a-f-]+)").fullmatch


def as_cursor(position: Position) -> str:
    """The text of `position`."""
    at, record_id = position
    return f"{(at - EPOCH) // TICK}-{record_id}"


def as_position(cursor: str) -> Position:
    """The position whose text is `cursor`. Raises `ValueError` if it is not such a text."""
    found = _parts(cursor.lower())
    if found is None:
        raise ValueError(f"{cursor!r} is no position in a list")
    return EPOCH + timedelta(milliseconds=int(found[1])), found[2]
