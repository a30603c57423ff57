"""What a page is asked for by its address: filters, and where the page of a list begins."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from http import HTTPStatus
from typing import Final, Generic, TypeVar
from urllib.parse import urlencode

from fastapi import Request

from console.cursor import as_cursor, as_position
from console.lists import Position
from console.pages.render import PART
from deletion.ids import is_object_id, is_service_name, is_uuid
from deletion.process.problems import Problem

E = TypeVar("E", bound=StrEnum)
T = TypeVar("T")

LISTED: Final = 50
"""Records on one page of a list."""
MOST_CHARACTERS: Final = 200
MOST_DIGITS: Final = 6
BEYOND: Final = "beyond"
"""The query parameter that says where a page of a list begins."""
EXPECTED: Final = "expected what the link to a page has"


class Order(StrEnum):
    """In which order a list is shown."""

    NEWEST = "newest"
    OLDEST = "oldest"


@dataclass(frozen=True, slots=True)
class Places:
    """The links of a page: back to the first one, and to the next."""

    first: str | None
    next: str | None


class Paged(Generic[T]):
    """A page of a list of which one record more than `LISTED` was asked for, and the links to the
    next page and back to the first one.
    """

    def __init__(
        self, request: Request, found: Sequence[T], where: Callable[[T], Position | str | None]
    ) -> None:
        self.rows = found[:LISTED]
        self.first = link(request, **{BEYOND: None}) if given(request, BEYOND) else None
        ends = [place for each in self.rows if (place := where(each))]
        has_more = len(found) > LISTED and ends
        self.next = link(request, **{BEYOND: _text(ends[-1])}) if has_more else None


def given(request: Request, name: str) -> str | None:
    """The text of a filter; None if it is not given or empty."""
    return request.query_params.get(name, "").strip() or None


def one_of(kind: type[E], request: Request, name: str) -> E | None:
    """The filter as one of `kind`. Raises a 422 problem for any other text."""
    text = given(request, name)
    if text is None:
        return None
    try:
        return kind(text)
    except ValueError:
        raise wrong(name, f"expected one of {', '.join(kind)}") from None


def object_id(request: Request, name: str) -> str | None:
    """The filter as an id. Raises a 422 problem for anything but 24 hex digits."""
    text = given(request, name)
    if text and not is_object_id(text):
        raise wrong(name, "expected 24 hex digits")
    return text and text.lower()


def service(request: Request) -> str | None:
    """The filter `service`. Raises a 422 problem for what is no name of a service."""
    text = given(request, "service")
    if text and not is_service_name(text):
        raise wrong("service", "expected the name of a service")
    return text


def letter_service(request: Request) -> str | None:
    """The filter `service` of dead letters, which may come from what is no service of today."""
    return any_text(request, "service")


def any_text(request: Request, name: str) -> str | None:
    """A filter of any text. Raises a 422 problem for a long one."""
    found = given(request, name)
    if found and len(found) > MOST_CHARACTERS:
        raise wrong(name, f"expected at most {MOST_CHARACTERS} characters")
    return found


def count(request: Request, name: str) -> int:
    """How many records of a whole are passed over; 0 unless given. Raises a 422 problem."""
    found = given(request, name)
    if found is None:
        return 0
    if not (found.isdecimal() and found.isascii() and len(found) <= MOST_DIGITS):
        raise wrong(name, "expected a number")
    return int(found)


def position(request: Request, is_id: Callable[[str], bool]) -> Position | None:
    """Where the page begins; None for the first. Raises a 422 problem for what is no position, or
    one of a record that `is_id` does not know.
    """
    text = given(request, BEYOND)
    if text is None:
        return None
    try:
        found = as_position(text)
    except ValueError:
        raise wrong(BEYOND, EXPECTED) from None
    if not is_id(found[1]):
        raise wrong(BEYOND, EXPECTED)
    return found


def _text(where: Position | str) -> str:
    """The position as `position` reads it, or the id that it consists of."""
    return where if isinstance(where, str) else as_cursor(where)


def same(request: Request, path: str, *names: str) -> str:
    """The address of `path` with the filters `names` of this page."""
    kept = {name: found for name in names if (found := given(request, name))}
    return f"{path}?{urlencode(kept)}" if kept else path


def link(request: Request, **changes: str | None) -> str:
    """The address of this page with other filters; None leaves one out."""
    kept = {name: text for name, text in request.query_params.items() if text and name != PART}
    asked = {name: text for name, text in (kept | changes).items() if text is not None}
    path: str = request.scope["path"]
    return f"{path}?{urlencode(asked)}" if asked else path


def record_id(text: str) -> str:
    """The id of a record in a path. Raises a 404 problem for what cannot be one."""
    if not is_object_id(text):
        raise Problem(HTTPStatus.NOT_FOUND, "there is no such record")
    return text.lower()


def event_id(text: str) -> str:
    """The id of an event in a path. Raises a 404 problem for what cannot be one."""
    if not is_uuid(text):
        raise Problem(HTTPStatus.NOT_FOUND, "there is no such request")
    return text.lower()


def wrong(name: str, expected: str) -> Problem:
    """The 422 problem of a filter that makes no sense."""
    return Problem(HTTPStatus.UNPROCESSABLE_ENTITY, f"{name}: {expected}")
