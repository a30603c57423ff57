"""Checks of what an operator types."""

from enum import StrEnum
from typing import TypeVar

from deletion.errors import ConfigurationError
from deletion.ids import is_object_id

E = TypeVar("E", bound=StrEnum)


def object_id(text: str) -> str:
    """An id in its normal form. Raises `ConfigurationError`."""
    if not is_object_id(text):
        raise ConfigurationError(f"expected 24 hex digits, found {text!r}")
    return text.lower()


def one_of(kind: type[E], option: str, name: str | None) -> E | None:
    """The member `option` names, if it is given. Raises `ConfigurationError`."""
    if name is not None and name not in set(kind):
        raise ConfigurationError(f"{option}: expected one of {', '.join(kind)}, found {name!r}")
    return kind(name) if name else None
