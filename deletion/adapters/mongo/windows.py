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


async def beginning(has_some: Callable[[Window], Awaitable[bool]], now: datetime) -> datetime:
    """Return a time before which there are probably no records, by a binary search with a few short
    queries.

    The search assumes that there is no long gap between records. If there is one, records may exist
    before the returned time, so that range has to be read too.
    """
    latest, earliest = 0.0, log2(max((now - EPOCH) / FIRST, 1))
    while earliest - latest > log2(1 + SLICES[0]):
        halfway = (latest + earliest) / 2
        if await _has_some_at(FIRST * 2**halfway, has_some, now):
            latest = halfway
        else:
            earliest = halfway
    return now - FIRST * 2**earliest


async def _has_some_at(
    age: timedelta, has_some: Callable[[Window], Awaitable[bool]], now: datetime
) -> bool:
    """Whether there are records of about this age. A short slice of time is enough if there are
    many; longer ones are read only if it is empty.
    """
    for length in SLICES:
        if await has_some((now - age * (1 + length), now - age)):
            return True
    return False
