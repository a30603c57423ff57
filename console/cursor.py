"""Where the next page begins, as text in a URL."""

from datetime import timedelta
from typing import Final

from console.lists import Position
from deletion.clock import TICK
from deletion.ids import UUID_PATTERN
from deletion.silence import EPOCH

CURSOR_PATTERN: Final = f"^([0-9]{{1,14}}-{UUID_PATTERN.strip('^$')})?$"
"""When the last request of a page was received, in milliseconds since 1970, and its id."""


def as_cursor(position: Position) -> str:
    """The text of `position`."""
    received_at, event_id = position
    return f"{(received_at - EPOCH) // TICK}-{event_id}"


def as_position(cursor: str) -> Position | None:
    """The position that a text of `CURSOR_PATTERN` stands for; None for an empty one."""
    if not cursor:
        return None
    milliseconds, _, event_id = cursor.partition("-")
    return EPOCH + timedelta(milliseconds=int(milliseconds)), event_id.lower()
