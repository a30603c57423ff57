"""A value that is kept for a while."""

import asyncio

import pytest

from deletion.kept import Kept
from tests.support.clock import VirtualClock

pytestmark = pytest.mark.virtual_time


class Reading:
    """Returns 1, 2, 3 …, a second after it is asked; `fails` once if it is set."""

    def __init__(self) -> None:
        self.clock = VirtualClock()
        self.reads = 0
        self.fails = False
        self.kept = Kept(self._read, 10.0, self.clock.monotonic)

    async def _read(self) -> int:
        self.reads += 1
        await self.clock.sleep(1)
        if self.fails:
            self.fails = False
            raise OSError("away")
        return self.reads


async def test_it_is_read_again_when_it_is_old() -> None:
    reading = Reading()
    assert await reading.kept.get() == 1
    await reading.clock.sleep(9.9)
    assert await reading.kept.get() == 1
    await reading.clock.sleep(0.1)
    assert await reading.kept.get() == 2


async def test_callers_at_the_same_time_share_one_reading() -> None:
    reading = Reading()
    assert await asyncio.gather(*(reading.kept.get() for _ in range(5))) == [1] * 5
    assert reading.reads == 1


async def test_an_error_is_raised_and_not_kept() -> None:
    reading = Reading()
    reading.fails = True
    with pytest.raises(OSError, match="away"):
        await reading.kept.get()
    assert await reading.kept.get() == 2


async def test_what_is_forgotten_is_read_again() -> None:
    reading = Reading()
    assert await reading.kept.get() == 1
    reading.kept.forget()
    assert await reading.kept.get() == 2
