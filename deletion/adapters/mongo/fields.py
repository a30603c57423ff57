"""Reading one field of a stored record, checked for its type."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final, TypeVar

T = TypeVar("T")

DAMAGED: Final = (KeyError, ValueError, TypeError, IndexError, AttributeError)
"""What reading raises for a record that is damaged, or was written by a later version."""


def field(document: Mapping[str, Any], name: str, kind: type[T]) -> T:
    """The field `name`. Raises `KeyError` and `TypeError`.

    It is checked here, because a wrong type would fail later, where it is used. A date beyond year
    9999 is not a `datetime`.
    """
    value = document[name]
    if not isinstance(value, kind):
        raise TypeError(f"{name}: expected {kind.__name__}, found {type(value).__name__}")
    return value


def optional(document: Mapping[str, Any], name: str, kind: type[T]) -> T | None:
    """As `field`, but None where it is absent or null. Raises `TypeError`."""
    return None if document.get(name) is None else field(document, name, kind)


def time_or_none(value: object) -> datetime | None:
    """`value` if it is a time, else None: for a record that cannot be read as a whole."""
    return value if isinstance(value, datetime) else None
