"""Windows of time in which a list is read a page at a time, closed at both ends.

A database that pushes no limit down reads every document that a query matches. So a list is read in
windows, each ten times as long as the one before, until the page is full, which matches little more
than the page. A database that does push it down needs a few short queries more.
"""

from collections.abc import Awaitable, Callable, Iterator
from datetime import datetime, timedelta
from math import log2
from typing import Final

from deletion.clock import TICK
from deletion.silence import EPOCH

Window = tuple[datetime, datetime]
"""The first and the last moment of it."""
FIRST: Final = timedelta(minutes=1)
GROWTH: Final = 10
AHEAD: Final = timedelta(days=365)
"""A record may be stamped by a clock that is ahead."""
SLICES: Final = (0.0001, 0.01, 0.1)
"""How long the slices of time are in which records are looked for, as a share of their age."""


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
    """A time before which there are probably no records, found by halving in a few short queries.

    It supposes that there is no long gap between records. If there is, some may be before it, so
    what is before it has to be read too.
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
    """Whether there are records of about this age. Many are found in a short slice of time, and a
    longer one is looked at only if there are few.
    """
    for length in SLICES:
        if await has_some((now - age * (1 + length), now - age)):
            return True
    return False
