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
NEAREST: Final = timedelta(hours=1)
LONGEST_GAP: Final = timedelta(days=365)
"""After a longer gap, all records before it are read at once."""
MOST_GAPS: Final = 16
"""The most gaps before which records are looked for."""


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
    """Return a time before which there are probably no records, with some short queries.

    A binary search takes a long gap, such as a weekend, for the time before all records. So records
    are looked for before what it finds, and if there are some, it begins again there. Records may
    exist before the returned time nevertheless, so that range has to be read too.
    """
    start = await _search(has_some, now)
    for _ in range(MOST_GAPS):
        older = await _some_before(start, has_some)
        if older is None:
            break
        start = min(older, await _search(has_some, older))
    return start


async def _some_before(start: datetime, has_some: HasSome) -> datetime | None:
    """The beginning of a window before `start` that has records, or None if there are none."""
    for window in _nearby(start):
        if await has_some(window):
            return window[0]
    return None


def _nearby(start: datetime) -> Iterator[Window]:
    """Windows from before `start` back to 1970, each a quarter as long as all after it together, so
    that the first that has records does not have most of them.
    """
    since, length = start, NEAREST
    while since > EPOCH:
        until = since - TICK
        is_far = start - since > LONGEST_GAP or since - EPOCH <= length
        since = EPOCH if is_far else since - length
        yield since, until
        length = max(NEAREST, (start - since) / 4)


async def _search(has_some: HasSome, now: datetime) -> datetime:
    """Return a time before which there are no records, unless there is a gap, by a binary search
    for the age at `now` of the oldest.
    """
    latest, earliest = 0.0, log2(max((now - EPOCH) / FIRST, 1))
    while earliest - latest > log2(1 + SLICES[0]):
        halfway = (latest + earliest) / 2
        if await _has_some_at(FIRST * 2**halfway, has_some, now):
            latest = halfway
        else:
            earliest = halfway
    return now - FIRST * 2**earliest


async def _has_some_at(age: timedelta, has_some: HasSome, now: datetime) -> bool:
    """Whether there are records of about this age. A short slice of time is enough if there are
    many; longer ones are read only if it is empty.
    """
    for length in SLICES:
        if await has_some((now - age * (1 + length), now - age)):
            return True
    return False
