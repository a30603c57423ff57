"""Checks of values from the command line."""

from collections.abc import Iterable
from enum import StrEnum
from typing import TypeVar

from deletion.errors import ConfigurationError
from deletion.ids import is_object_id

E = TypeVar("E", bound=StrEnum)


def object_id(text: str) -> str:
    """Return the id in lower case. Raises `ConfigurationError` unless it is 24 hex digits."""
    if not is_object_id(text):
        raise ConfigurationError(f"expected 24 hex digits, found {text!r}")
    return text.lower()


def one_of(allowed: Iterable[E], option: str, name: str | None) -> E | None:
    """Return the one of `allowed` called `name`, or None without a name.

    Raises `ConfigurationError`, which names `option`, for any other name.
    """
    if name is None:
        return None
    members = {str(each): each for each in allowed}
    if name not in members:
        raise ConfigurationError(f"{option}: expected one of {', '.join(members)}, found {name!r}")
    return members[name]
