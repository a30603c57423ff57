"""The rules for single fields of an event. Each check returns the value in its normal form, and
raises `InvalidEvent`, which names `field`.
"""

from datetime import UTC, datetime
from typing import Final

from deletion.errors import InvalidEvent
from deletion.ids import is_object_id, is_uuid

LATEST_YEAR: Final = 9998
"""The last year that a timestamp may be in. In 9999, the last year that can be stored, requests
that join might be unable to move `placed_at` forward."""

YEARS: Final = f"a time in the years 1 to {LATEST_YEAR}"


def utc(field: str, value: datetime) -> datetime:
    """`value` in UTC, if it has a time zone and can be stored."""
    if value.utcoffset() is None:
        raise InvalidEvent(field, "a time with its time zone")
    try:
        utc = value.astimezone(UTC)
    except OverflowError as error:
        raise InvalidEvent(field, YEARS) from error
    if utc.year > LATEST_YEAR:
        raise InvalidEvent(field, YEARS)
    return utc


def encodable(text: str) -> bool:
    """Whether `text` can be encoded as UTF-8."""
    try:
        text.encode()
    except UnicodeEncodeError:  # half of a surrogate pair
        return False
    return True


def object_id(field: str, text: str) -> str:
    """An ObjectId in lower case."""
    if not is_object_id(text):
        raise InvalidEvent(field, "24 hex digits")
    return text.lower()


def uuid(field: str, text: str) -> str:
    """A UUID in lower case."""
    if not is_uuid(text):
        raise InvalidEvent(field, "a UUID in its canonical form")
    return text.lower()
