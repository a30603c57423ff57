"""Windows of time in which lists are read."""

from bisect import bisect_left, bisect_right
from datetime import datetime, timedelta
from itertools import islice, pairwise
from math import ceil, floor
from random import Random

import pytest

from deletion.adapters.mongo.windows import (
    AHEAD,
    FIRST,
    GROWTH,
    MOST_LOOKS,
    Window,
    backward,
    beginning,
    forward,
)
from deletion.clock import TICK
from deletion.silence import EPOCH
from tests.support.clock import START

DAY = timedelta(days=1)


@pytest.mark.parametrize("before", [None, START - 400 * DAY, START + 9 * DAY, EPOCH + TICK])
def test_windows_backward_cover_all_time_before_a_moment_once(before: datetime | None) -> None:
    windows = list(backward(before, START))
    assert windows[0][1] == (before - TICK if before else START + AHEAD)
    assert windows[-1][0] == EPOCH
    assert all(later[0] - earlier[1] == TICK for later, earlier in pairwise(windows))
    assert all(since <= until for since, until in windows)


@pytest.mark.parametrize("since", [EPOCH, START - 400 * DAY, START, START + AHEAD])
def test_windows_forward_cover_all_time_from_a_moment_once(since: datetime) -> None:
    windows = list(forward(since, START))
    assert (windows[0][0], windows[-1][1]) == (since, START + AHEAD)
    assert all(later[0] - earlier[1] == TICK for earlier, later in pairwise(windows))
    assert all(since <= until for since, until in windows)


def test_the_first_window_is_short_and_each_is_ten_times_as_long_as_the_one_before() -> None:
    for windows in (backward(START - DAY, START), forward(START - 9 * DAY, START)):
        lengths = [until - since for since, until in islice(windows, 3)]
        assert all(abs(length - FIRST * GROWTH**n) <= TICK for n, length in enumerate(lengths))


@pytest.mark.parametrize("apart", [timedelta(minutes=1), DAY], ids=["many", "few"])
@pytest.mark.parametrize("age", [31 * DAY, 5000 * DAY], ids=["a month", "years"])
async def test_the_beginning_is_found_in_few_looks_that_see_few_records(
    age: timedelta, apart: timedelta
) -> None:
    seen: list[int] = []

    async def has_some(window: Window) -> bool:
        """Whether a record is in it; there is one every so often since the first."""
        since, until = ((START - moment) / apart for moment in window)
        seen.append(max(0, floor(min(since, age / apart)) - ceil(until) + 1))
        return seen[-1] > 0

    found = await beginning(has_some, START)
    assert timedelta() <= (START - age) - found <= 0.003 * age
    assert len(seen) <= MOST_LOOKS
    assert max(seen) <= max(1000, 0.01 * age / apart)


def office_hours(now: datetime, days: int, without: int = 0) -> list[datetime]:
    """Times of records of so many days, one every five minutes, by day from Monday to Friday, but
    none of the `without` days before today.
    """
    ages = (timedelta(minutes=minutes) for minutes in range(days * 24 * 60, 0, -5))
    times = (now - age for age in ages if not 1 <= age.days <= without)
    return [at for at in times if at.weekday() < 5 and 7 <= at.hour < 19]


@pytest.mark.parametrize("hours", range(0, 7 * 24, 7))
@pytest.mark.parametrize(("days", "without"), [(3, 0), (30, 0), (30, 14), (180, 0)])
async def test_the_beginning_is_found_beyond_nights_weekends_and_holidays(
    days: int, without: int, hours: int
) -> None:
    now = START + timedelta(hours=hours)
    times, matched = office_hours(now, days, without), [0]

    async def has_some(window: Window) -> bool:
        matched.append(bisect_right(times, window[1]) - bisect_left(times, window[0]))
        return matched[-1] > 0

    found = await beginning(has_some, now)
    assert bisect_left(times, found) == 0, "no record is before it"
    assert len(matched) <= MOST_LOOKS
    assert max(matched) <= max(150, len(times) * (0.75 if without else 1 / 3))


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("count", [3, 10, 20, 50])
async def test_the_beginning_of_few_records_anywhere_in_a_year_is_found_in_few_looks(
    count: int, seed: int
) -> None:
    rng = Random(seed)  # noqa: S311 - no secret
    looks = 0
    times = sorted(START - 365 * DAY * rng.random() for _ in range(count))

    async def has_some(window: Window) -> bool:
        nonlocal looks
        looks += 1
        return bisect_right(times, window[1]) > bisect_left(times, window[0])

    found = await beginning(has_some, START)
    assert timedelta() <= times[0] - found <= 0.01 * (START - times[0])
    assert looks <= MOST_LOOKS == 60


async def test_the_search_ends_whatever_it_sees() -> None:
    looks = 0

    async def has_some(window: Window) -> bool:
        nonlocal looks
        looks += 1
        return looks % 40 == 0

    assert await beginning(has_some, START) < START
    assert looks <= MOST_LOOKS


async def test_the_beginning_of_nothing_is_now() -> None:
    async def has_some(_: Window) -> bool:
        return False

    assert START - 2 * FIRST < await beginning(has_some, START) < START
