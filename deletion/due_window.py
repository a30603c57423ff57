"""A window of due times to read, because a read costs what its range matches, not what it returns.

Servers differ in whether they stop an index scan at the limit, so the range that is read has two
bounds. When the earliest record is due is not known. The window therefore begins in 1970, and its
end moves: onward until a read finds records, and back to the last of them when there are more than
one read returns: docs/decisions/0020.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final, Generic, TypeVar

from deletion.clock import TICK
from deletion.silence import EPOCH, LATEST

T = TypeVar("T")
MOST_CAUTIOUS: Final = 65_536
"""After failed reads, the end moves on by no less than this part of a normal step: 1/65536, about
a second of a day.
"""

NARROWEST, WIDEST = timedelta(milliseconds=100), timedelta(days=36_500)
"""Bounds of the width of a window."""
LEAP: Final = 0.9
"""As long as every read was empty, the end of the window moves on by this share of the time left
until now."""


@dataclass(frozen=True, slots=True)
class DueWindow:
    """A range of times to read, bounds included. Its end moves on before each read: by `width`, or
    by `leap` after an empty one.

    The parameter `due` of its methods holds the times of a page, the earliest first.
    """

    start: datetime = EPOCH
    end: datetime = EPOCH
    width: timedelta = NARROWEST
    is_lost: bool = True
    """Whether every read was empty, so that the first record may be due at any time."""

    def moved_on(self, by: timedelta, now: datetime) -> "DueWindow":
        """The window with its end later by `by`, but not after `now`."""
        return replace(self, end=min(now, self.end + by))

    def widened(self, *, found: bool) -> "DueWindow":
        """The window after a read that returned everything in it, and `found` some."""
        is_lost = self.is_lost and not found
        return replace(self, width=min(WIDEST, self.width * 2), is_lost=is_lost)

    def shrunk_to(self, due: Sequence[datetime]) -> "DueWindow":
        """The window that ends with the last of a full page, and is as wide as the page."""
        first, last = self._span(due)
        return replace(self, end=last, width=max(NARROWEST, last - first), is_lost=False)

    def past(self, due: Sequence[datetime], *, is_largest: bool) -> "DueWindow":
        """The window that begins with the last of a full page with which nothing can be done.

        Other records may be due in the same millisecond. It is skipped only if it fills the largest
        page that can be read.
        """
        first, last = self._span(due)
        start = last + TICK if first == last and is_largest else last
        return replace(self, start=start, end=start)

    def leap(self, now: datetime) -> timedelta:
        """How far to move the end after an empty read. Once a record was found, the next one is
        near: others have done what was before it, and a leap would match most of the backlog.
        """
        return max(self.width, (now - self.end) * LEAP) if self.is_lost else self.width

    def _span(self, due: Sequence[datetime]) -> tuple[datetime, datetime]:
        """The first and the last time of a page; the end of the window for both if it is empty."""
        return (due[0], due[-1]) if due else (self.end, self.end)


class Earliest(Generic[T]):
    """Reads the earliest of many records, at a cost that does not grow with how many there are.

    `read` takes the two bounds of a range of times, both included, and a limit, and returns the
    records in it, the earliest first. `time_of` returns the time of a record, or None if it cannot
    be read. The window is kept from one read to the next.
    """

    def __init__(
        self,
        read: Callable[[datetime, datetime, int], Awaitable[Sequence[T]]],
        time_of: Callable[[T], datetime | None],
    ) -> None:
        self._read = read
        self._time_of = time_of
        self._window = DueWindow()
        self._caution = 1

    async def read(
        self,
        since: datetime,
        now: datetime,
        limit: int,
        *,
        is_new: Callable[[T], bool] = lambda _record: True,
        beyond_now: bool = False,
        fewest: int = 1,
    ) -> list[T]:
        """Return the earliest records from `since` on, at most `limit`.

        The range grows until `fewest` of the records in it are new, or it has reached `now`. With
        `beyond_now` it then extends beyond `now`. Raises what `read` raises; after that, the next
        read begins with a narrow window and moves on in smaller steps, because this one may have
        matched more than the database can read in time.
        """
        step = self._window.width
        while True:
            window = self._window.moved_on(step, now)
            is_last = window.end >= now
            end = LATEST if is_last and beyond_now else window.end
            found = await self._tried(since, end, limit)
            is_full = len(found) >= limit
            self._window = self._after(window, found, is_full=is_full, is_last=is_last)
            if is_full or is_last or sum(map(is_new, found)) >= fewest:
                return list(found)
            step = self._window.width if found else self._window.leap(now) / self._caution

    async def _tried(self, since: datetime, end: datetime, limit: int) -> Sequence[T]:
        """Read. If that fails, the window goes back to where the last read ended, or to the
        beginning if even a narrow step from there failed.
        """
        before, self._window = self._window, DueWindow()
        caution, self._caution = self._caution, min(MOST_CAUTIOUS, self._caution * 4)
        if before.width > NARROWEST:
            self._window = DueWindow(end=before.end)
        found = await self._read(since, end, limit)
        self._caution = 1 if found else max(1, caution // 2)
        return found

    def _after(
        self, window: DueWindow, found: Sequence[T], *, is_full: bool, is_last: bool
    ) -> DueWindow:
        """The window after a read. One that has reached `now` keeps its width: nobody knows how
        many records will be due by the next read.
        """
        if is_full:
            return window.shrunk_to([at for each in found if (at := self._time_of(each))])
        return window if is_last else window.widened(found=bool(found))
