"""A window of due times to read: a read costs what its range matches, whatever its limit.

Servers differ in whether they stop an index scan at the limit, so the range that is read has two
bounds. When the earliest record is due is not known. The window therefore begins in 1970, and its
end moves: onward until a read finds records, and back to the last of them when there are more than
one read returns: docs/decisions/0020.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from deletion.clock import TICK
from deletion.silence import EPOCH

NARROWEST, WIDEST = timedelta(milliseconds=100), timedelta(days=36_500)
"""Bounds of the width of a window."""
LEAP: Final = 0.9
"""After an empty read, the end of the window moves on by this share of the time left until now."""


@dataclass(frozen=True, slots=True)
class DueWindow:
    """A range of times to read, bounds included. Its end moves on by `width` before each read.

    `due` are the times of a page, the earliest first.
    """

    start: datetime = EPOCH
    end: datetime = EPOCH
    width: timedelta = NARROWEST

    def moved_on(self, by: timedelta, now: datetime) -> "DueWindow":
        """The window with its end later by `by`, but not after `now`."""
        return replace(self, end=min(now, self.end + by))

    def widened(self) -> "DueWindow":
        """The window after a read that returned everything in it."""
        return replace(self, width=min(WIDEST, self.width * 2))

    def shrunk_to(self, due: Sequence[datetime]) -> "DueWindow":
        """The window that ends with the last of a full page, and is as wide as the page."""
        first, last = self._span(due)
        return replace(self, end=last, width=max(NARROWEST, last - first))

    def past(self, due: Sequence[datetime], *, is_largest: bool) -> "DueWindow":
        """The window that begins with the last of a full page of which nothing can be done.

        Other records may be due in the same millisecond. It is skipped only if it fills the largest
        page that can be read.
        """
        first, last = self._span(due)
        start = last + TICK if first == last and is_largest else last
        return replace(self, start=start, end=start)

    def leap(self, now: datetime) -> timedelta:
        """How far to move the end after an empty read: the first may be due at any time."""
        return max(self.width, (now - self.end) * LEAP)

    def _span(self, due: Sequence[datetime]) -> tuple[datetime, datetime]:
        """The first and the last time of a page; the end for both if it has none."""
        return (due[0], due[-1]) if due else (self.end, self.end)
