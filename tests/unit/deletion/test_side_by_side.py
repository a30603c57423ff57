"""Calls side by side: never more than so many at a time, and none that nobody waits for."""

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial

import pytest

from deletion.side_by_side import side_by_side

pytestmark = pytest.mark.virtual_time


class Calls:
    """Calls that take a second, and remember how many there were at a time."""

    def __init__(self) -> None:
        self.begun = self.ended = self.most = 0

    def of(self, *seconds: float) -> list[Callable[[], Awaitable[float]]]:
        return [partial(self._call, each) for each in seconds]

    async def _call(self, seconds: float) -> float:
        self.begun += 1
        self.most = max(self.most, self.begun - self.ended)
        await asyncio.sleep(abs(seconds))
        self.ended += 1
        if seconds < 0:
            raise ValueError("negative")
        return seconds


async def test_the_results_are_in_the_order_of_the_calls() -> None:
    assert await side_by_side(Calls().of(3, 1, 2), 3) == [3, 1, 2]
    assert await side_by_side(Calls().of(), 3) == []


async def test_a_few_are_made_at_a_time() -> None:
    calls = Calls()
    await side_by_side(calls.of(*[1.0] * 10), 4)
    assert (calls.begun, calls.most) == (10, 4)


async def test_after_an_error_the_others_are_given_up() -> None:
    calls = Calls()
    with pytest.raises(ValueError, match="negative"):
        await side_by_side(calls.of(9, -1, 9, 9, 9), 2)
    await asyncio.sleep(100)
    assert (calls.begun, calls.ended) == (2, 1)


async def test_when_nobody_waits_any_longer_all_are_given_up() -> None:
    calls = Calls()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(1.5):
            await side_by_side(calls.of(*[1.0] * 10), 2)
    await asyncio.sleep(100)
    assert (calls.begun, calls.ended) == (4, 2)
