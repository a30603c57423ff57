"""Ids of bots for tests."""

from typing import Final
from uuid import uuid4

DIGITS: Final = 24


def new_bot() -> str:
    """A new id. Its first and last digits leave room for neighbours on both sides."""
    return f"7{uuid4().hex[: DIGITS - 4]}7a5"


def neighbours(bot_id: str) -> list[str]:
    """The ids of other bots that are as similar to `bot_id` as possible.

    Each differs in one digit, or in the order of two. They sort before and after it, and share its
    beginning, its middle or its end.
    """
    middle = DIGITS // 2
    number = int(bot_id, 16)
    return [
        f"{number - 1:0{DIGITS}x}",
        f"{number + 1:0{DIGITS}x}",
        _changed(bot_id, 0),
        _changed(bot_id, middle),
        bot_id[:-2] + bot_id[-1] + bot_id[-2],
    ]


def _changed(bot_id: str, at: int) -> str:
    """`bot_id` with another digit at index `at`."""
    digit = (int(bot_id[at], 16) + 1) % 16
    return f"{bot_id[:at]}{digit:x}{bot_id[at + 1 :]}"
