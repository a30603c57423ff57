"""Charts as lists of shapes; the templates draw them as SVG."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import cycle
from typing import Final

from console.deletions import Deletion
from console.overview import Hour
from console.status import ServiceStatus

BARS: Final = (24, 120)
"""Width of a bar with its gap, and height of the scale, in units of the drawing."""
LINE: Final = (180, 640)
"""Where the time line begins, and its length."""


@dataclass(frozen=True, slots=True)
class Bar:
    """One hour."""

    x: int
    y: float
    height: float
    hour: Hour


def bars(hours: Sequence[Hour]) -> list[Bar]:
    """A bar for each hour, with its height on the scale, but at least one unit."""
    width, full = BARS
    top = ticks(most_of(hours))[-1]
    heights = [max(full * hour.completed / top, 1.0) for hour in hours]
    return [
        Bar(at * width, round(full - height, 1), round(height, 1), hour)
        for at, (height, hour) in enumerate(zip(heights, hours, strict=True))
    ]


def most_of(hours: Sequence[Hour]) -> int:
    """The number of jobs in the hour that completed the most."""
    return max((hour.completed for hour in hours), default=0)


def ticks(most: int) -> list[int]:
    """The numbers of a scale up to `most`: 0, the end, and half of it if that is a whole number.

    The end is the lowest of 1, 2, 5, 10, 20, 50, … that is not below `most`.
    """
    end, factors = 1, cycle((2, 2.5, 2))
    while end < most:
        end = int(end * next(factors))
    return [0, end] if end % 2 else [0, end // 2, end]


@dataclass(frozen=True, slots=True)
class Tick:
    """A number of the scale, and its height in the drawing."""

    y: float
    number: int


def scale(hours: Sequence[Hour]) -> list[Tick]:
    """The numbers beside the bars."""
    found = ticks(most_of(hours))
    return [Tick(round(BARS[1] * (1 - each / found[-1]), 1), each) for each in found]


@dataclass(frozen=True, slots=True)
class Row:
    """One service on the time line: its mark stands at `x`."""

    y: int
    x: float
    status: ServiceStatus


@dataclass(frozen=True, slots=True)
class TimeLine:
    """From the receipt of a request to its end, or to now while it is open."""

    rows: Sequence[Row]
    begin: datetime
    end: datetime
    deadline_x: float | None


def time_line(deletion: Deletion, now: datetime) -> TimeLine:
    """A row for each service, with the time at which its current state began."""
    request = deletion.request
    begin = request.received_at
    end = max(request.settled_at or now, begin)
    length = (end - begin).total_seconds() or 1.0

    def x(moment: datetime) -> float:
        part = (moment - begin).total_seconds() / length
        return round(LINE[0] + LINE[1] * min(max(part, 0.0), 1.0), 1)

    rows = [Row(26 + 24 * at, x(each.since), each) for at, each in enumerate(deletion.services)]
    deadline = x(request.deadline) if request.deadline < end else None
    return TimeLine(rows, begin, end, deadline)
