"""Checks of values from the command line."""

from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum
from typing import TypeVar

from deletion.errors import ConfigurationError
from deletion.ids import is_object_id, is_uuid

E = TypeVar("E", bound=StrEnum)


def object_id(text: str, name: str) -> str:
    """Return the id in lower case.

    Raises `ConfigurationError`, which names the option or argument `name`, unless it is 24 hex
    digits.
    """
    if not is_object_id(text):
        raise ConfigurationError(f"{name}: expected 24 hex digits, found {text!r}")
    return text.lower()


def event_id(text: str) -> str:
    """Return the id in lower case. Raises `ConfigurationError` unless it is a UUID."""
    if not is_uuid(text):
        raise ConfigurationError(f"EVENT_ID: expected a UUID, found {text!r}")
    return text.lower()


def said(option: str, text: str) -> str:
    """Return the text of an option. Raises `ConfigurationError`, which names it, if it is blank."""
    if not text.strip():
        raise ConfigurationError(f"{option}: expected text, found none")
    return text.strip()


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


def ids_or_filters(
    ids: Sequence[str], filters: Mapping[str, str | None], limit: int | None, *, everything: bool
) -> list[str]:
    """Return the ids of the records that a command acts on, empty if `filters` choose them.

    Raises `ConfigurationError` for an invalid id, for both ids and filters, for neither, and for a
    limit with ids. `filters` maps each option to its value; --all counts as a filter.
    """
    options = ", ".join(filters)
    if bool(ids) == (everything or any(filters.values())):
        raise ConfigurationError(f"expected either ids, or at least one of {options} or --all")
    if ids and limit:
        raise ConfigurationError(f"--limit works with {options} or --all, not ids")
    return [object_id(each, "ID") for each in ids]
