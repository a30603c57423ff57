"""What an operator does to many records: retry jobs, replay or discard dead letters.

The rules are the same for all of them. Each record that was chosen, by its id or by filters, is
either done or refused with a reason; so are an id that no record has, and a record that cannot be
read. A limit counts what is done, so that what is refused each time does not use it up.
"""

import asyncio
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol, TypeVar

from deletion.errors import BotDeletionError, TransientError, with_type
from deletion.ports import Unreadable


class Record(Protocol):
    """A job or a dead letter."""

    @property
    def id(self) -> str:
        """24 hex digits."""


MOST_ERRORS: Final = 20
"""So many records in a row that end with an error end an action: its cause is none of them."""

R = TypeVar("R", bound=Record)
R_contra = TypeVar("R_contra", bound=Record, contravariant=True)


@dataclass(frozen=True, slots=True)
class Unknown:
    """An id that no record has."""

    id: str


@dataclass(frozen=True, slots=True)
class Tally:
    """The outcome of each record, by its id: those that are done, and why others are refused."""

    done: list[str] = field(default_factory=list)
    refused: dict[str, str] = field(default_factory=dict)


Attempt = Callable[[R], Awaitable[str | None]]
"""Acts on one record. Returns why it refuses, or None."""


async def unwatched(_: Sequence[object]) -> None:
    """Records nothing: for a dry run, and where nobody keeps a record."""


class Act(Protocol[R_contra]):
    """What is done to a record. As an `Attempt`, `refusal` is its dry run."""

    async def __call__(self, record: R_contra, /) -> str | None:
        """Act on the record. Returns why it is refused, or None."""

    async def refusal(self, record: R_contra, /) -> str | None:
        """Return why the record is refused, or None. Changes nothing."""


def attempt_of(act: Act[R], *, dry_run: bool) -> Attempt[R]:
    """Return what acts on one record, or its dry run."""
    return act.refusal if dry_run else act


async def by_ids(
    ids: Iterable[str], get: Callable[[str], Awaitable[R | Unreadable | None]]
) -> AsyncIterator[Sequence[R | Unreadable | Unknown]]:
    """Yield a page for each id. An id that is given twice counts once."""
    for each in dict.fromkeys(ids):
        yield [await get(each) or Unknown(each)]


async def act_on(
    pages: AsyncIterator[Sequence[R | Unreadable | Unknown]],
    attempt: Attempt[R],
    tally: Tally,
    *,
    limit: int | None = None,
    before: Callable[[Sequence[R]], Awaitable[None]] = unwatched,
    progress: Callable[[], None] = lambda: None,
) -> None:
    """Act on the records of `pages` until `limit` are done, on those of a page side by side.

    Awaits `before` with the records that it is about to act on, at least once for each page. An
    error of one record is its refusal. Calls `progress` after each page. Raises the first
    `TransientError` of a page, and `BotDeletionError` after `MOST_ERRORS` errors in a row, because
    the next records would meet them too; `tally` then has what was done by then. Raises what
    `before` raises, and acts on none of these records.
    """
    most, errors = sys.maxsize if limit is None else limit, list[Exception]()
    async for page in pages:
        tally.refused.update(
            {each.id: why_not_read(each) for each in page if isinstance(each, Unreadable | Unknown)}
        )
        records = [each for each in page if not isinstance(each, Unreadable | Unknown)]
        if not records:
            await before(records)
        while records and (left := most - len(tally.done)):
            await before(records[:left])
            of_group = await _side_by_side(records[:left], attempt, tally)
            errors = [*errors, *of_group] if len(of_group) == len(records[:left]) else []
            _check_errors(errors)
            records = records[left:]
        progress()
        if len(tally.done) == most:
            return


def why_not_read(record: Unreadable | Unknown) -> str:
    """Return why the record cannot be read, and what to do about it."""
    if isinstance(record, Unknown):
        return "there is no record with this id"
    return (
        f"it cannot be read: {record.reason}; if a later version wrote it, use the botdel of that "
        "version, otherwise its record in MongoDB is damaged"
    )


def _check_errors(in_a_row: Sequence[Exception]) -> None:
    if len(in_a_row) >= MOST_ERRORS:
        raise BotDeletionError(
            f"{len(in_a_row)} records in a row ended with an error, the last one: "
            f"{with_type(in_a_row[-1])}"
        ) from in_a_row[-1]


async def _side_by_side(
    records: Sequence[R], attempt: Attempt[R], tally: Tally
) -> Sequence[Exception]:
    """Act on the records, and return the errors that refuse them."""
    answers = await asyncio.gather(*map(attempt, records), return_exceptions=True)
    ends, errors = list[BaseException](), list[Exception]()
    for record, answer in zip(records, answers, strict=True):
        if answer is None:
            tally.done.append(record.id)
        elif isinstance(answer, str):
            tally.refused[record.id] = answer
        elif isinstance(answer, Exception) and not isinstance(answer, TransientError):
            tally.refused[record.id] = with_type(answer)
            errors.append(answer)
        else:
            ends.append(answer)
    if ends:
        raise ends[0]
    return errors
