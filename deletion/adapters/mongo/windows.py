"""Windows of time, closed at both ends, in which a page of a list is read.

A database that does not push a limit down reads every document that a query matches. So a page is
read in windows, each ten times as long as the one before, until it is full; they match little more
than the page. A database that does push a limit down needs a few more short queries.
"""

from collections.abc import Awaitable, Callable, Iterator
from datetime import datetime, timedelta
from math import log2
from typing import Final

from deletion.clock import TICK
from deletion.silence import EPOCH

Window = tuple[datetime, datetime]
"""Its first and its last moment."""
FIRST: Final = timedelta(minutes=1)
GROWTH: Final = 10
AHEAD: Final = timedelta(days=365)
"""How far the last window goes beyond now: a record may be stamped by a clock that is ahead."""
SLICES: Final = (0.0001, 0.01, 0.1)
"""The lengths of the slices of time in which records are looked for, as shares of their age."""
HasSome = Callable[[Window], Awaitable[bool]]
"""Returns whether a window has records."""
MOST_STEPS: Final = 8
"""The most steps of the search in slices, each of which looks once for each of `SLICES` at most."""
EARLIER: Final = 28
"""The number of windows that cover all time before the result of that search."""
HALVINGS: Final = 8
MOST_LOOKS: Final = MOST_STEPS * len(SLICES) + EARLIER + HALVINGS
"""The most looks for records that `beginning` makes."""


def backward(before: datetime | None, now: datetime) -> Iterator[Window]:
    """Windows from `before`, which is not part of the first, back to 1970; from now by default."""
    until = before - TICK if before else now + AHEAD
    since, length = min(until, now), FIRST
    while until >= EPOCH:
        since = EPOCH if since - EPOCH <= length else since - length
        yield since, until
        until, length = since - TICK, length * GROWTH


def forward(since: datetime, now: datetime) -> Iterator[Window]:
    """Windows from `since` on, up to what a clock that is ahead may have stamped."""
    last, length = now + AHEAD, FIRST
    while since <= last:
        until = last if last - since <= length else since + length
        yield since, until
        since, length = until + TICK, length * GROWTH


async def beginning(has_some: HasSome, now: datetime) -> datetime:
    """Return a time shortly before the oldest record, after at most `MOST_LOOKS` short looks.

    A binary search in slices of time sees few records, but takes a long gap, such as a weekend, for
    the time before all records. So all time before its result is then searched in windows, oldest
    first: a window without records costs next to nothing, and the first window with records does
    not have most of them. That window is then halved a few times.

    No record is before the returned time, unless one is written during the search.
    """
    window = await _search(has_some, now)
    for earlier in _earlier(window[0], now):
        if await has_some(earlier):
            window = earlier
            break
    return await _halved(has_some, window)


async def _search(has_some: HasSome, now: datetime) -> Window:
    """Return the window in which the records begin, unless there is a gap before it, by a binary
    search for the age at `now` of the oldest.
    """
    latest, earliest = 0.0, log2(max((now - EPOCH) / FIRST, 1))
    for _ in range(MOST_STEPS):
        halfway = (latest + earliest) / 2
        if await _has_some_at(FIRST * 2**halfway, has_some, now):
            latest = halfway
        else:
            earliest = halfway
    return now - FIRST * 2**earliest, now - FIRST * 2**latest


async def _has_some_at(age: timedelta, has_some: HasSome, now: datetime) -> bool:
    """Whether there are records of about this age. A short slice of time is enough if there are
    many; longer ones are read only if it is empty.
    """
    for length in SLICES:
        if await has_some((now - age * (1 + length), now - age)):
            return True
    return False


def _earlier(start: datetime, now: datetime) -> Iterator[Window]:
    """`EARLIER` windows from 1970 up to `start`, oldest first. From each to the next, the age at
    `now` shrinks by the same factor.
    """
    since, ratio = EPOCH, ((now - start) / (now - EPOCH)) ** (1 / EARLIER)
    for number in range(1, EARLIER + 1):
        until = now - (now - EPOCH) * ratio**number if number < EARLIER else start
        if since < until:
            yield since, until - TICK
        since = until


async def _halved(has_some: HasSome, window: Window) -> datetime:
    """Return a time in the window before which it has no records, after at most `HALVINGS` looks
    into the earlier half of what is left.
    """
    since, until = window
    for _ in range(HALVINGS):
        halfway = since + (until - since) / 2
        if until - since <= FIRST:
            break
        if await has_some((since, halfway)):
            until = halfway
        else:
            since = halfway
    return since
