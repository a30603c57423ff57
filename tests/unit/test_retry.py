"""Errors that may pass are tried again, with full jitter; no other error is."""

import random
from datetime import timedelta

import pytest

from deletion.clock import Clock
from deletion.errors import (
    BusUnavailable,
    LeaseLost,
    StoreUnavailable,
    TransientError,
)
from deletion.retry import Retry
from tests.support.fakes import START, VirtualClock


class Flaky:
    """Fails `times` times with `error`, then answers."""

    def __init__(self, times: int, error: Exception | None = None) -> None:
        self.times = times
        self.error = error or StoreUnavailable("away")
        self.calls = 0

    async def __call__(self) -> str:
        self.calls += 1
        if self.calls <= self.times:
            raise self.error
        return "answer"


class Sleeps:
    """A clock that only notes for how long it was asked to sleep."""

    def __init__(self, clock: Clock) -> None:
        self.now = clock.now
        self.asked: list[float] = []

    async def sleep(self, seconds: float) -> None:
        self.asked.append(seconds)


class Highest(random.Random):
    """Draws the upper bound each time."""

    def uniform(self, a: float, b: float) -> float:
        assert a == 0, "full jitter begins at nothing"
        return b


def seeded(seed: int) -> random.Random:
    return random.Random(seed)  # noqa: S311


async def test_an_answer_is_given_at_once() -> None:
    clock, flaky = VirtualClock(), Flaky(0)
    assert await Retry(clock).call(flaky) == "answer"
    assert (flaky.calls, clock.now()) == (1, START)


@pytest.mark.parametrize("error", [TransientError("t"), StoreUnavailable("s"), BusUnavailable("b")])
async def test_what_may_pass_is_tried_again_until_it_has(error: Exception) -> None:
    flaky = Flaky(5, error)
    assert await Retry(VirtualClock(), attempts=6).call(flaky) == "answer"
    assert flaky.calls == 6


async def test_the_last_error_comes_out_as_it_is_once_the_attempts_are_used_up() -> None:
    flaky = Flaky(99)
    with pytest.raises(StoreUnavailable) as caught:
        await Retry(VirtualClock(), attempts=4).call(flaky)
    assert caught.value is flaky.error
    assert flaky.calls == 4


@pytest.mark.parametrize("error", [ValueError("v"), LeaseLost("l"), ConnectionError("c")])
async def test_no_other_error_is_tried_again(error: Exception) -> None:
    clock, flaky = VirtualClock(), Flaky(99, error)
    with pytest.raises(type(error)):
        await Retry(clock).call(flaky)
    assert (flaky.calls, clock.now()) == (1, START)


async def test_the_ceiling_doubles_from_the_base_up_to_the_cap() -> None:
    sleeps = Sleeps(VirtualClock())
    retry = Retry(sleeps, attempts=9, base=0.5, cap=20, rng=Highest())
    await retry.call(Flaky(8))
    assert sleeps.asked == [0.5, 1, 2, 4, 8, 16, 20, 20]


async def test_waits_are_spread_over_everything_between_nothing_and_the_ceiling() -> None:
    sleeps = Sleeps(VirtualClock())
    retry = Retry(sleeps, attempts=2, base=8, cap=20, rng=seeded(1))
    for _ in range(400):
        await retry.call(Flaky(1))
    assert len(sleeps.asked) == 400
    assert all(0 <= wait <= 8 for wait in sleeps.asked)
    for quarter in range(4):
        share = sum(quarter * 2 <= wait < quarter * 2 + 2 for wait in sleeps.asked)
        assert 60 <= share <= 140, f"quarter {quarter} got {share} of 400"


async def test_equal_seeds_wait_equally_long() -> None:
    first, second = Sleeps(VirtualClock()), Sleeps(VirtualClock())
    for sleeps in (first, second):
        await Retry(sleeps, rng=seeded(7)).call(Flaky(5))
    assert first.asked == second.asked
    assert len(set(first.asked)) == 5


@pytest.mark.parametrize("lost", [LeaseLost("too long"), StoreUnavailable("too long")])
async def test_who_gives_up_decides_how_long_it_goes_on_and_with_which_error(
    lost: Exception,
) -> None:
    clock, flaky = VirtualClock(), Flaky(10**9)

    def give_up() -> Exception | None:
        return lost if clock.now() - START >= timedelta(hours=1) else None

    with pytest.raises(type(lost)) as caught:
        await Retry(clock, attempts=2).call(flaky, give_up=give_up)
    assert caught.value is lost
    assert caught.value.__cause__ is flaky.error
    assert flaky.calls > 100


async def test_an_error_that_does_not_pass_is_not_replaced_by_giving_up() -> None:
    with pytest.raises(ValueError, match="broken"):
        await Retry(VirtualClock()).call(
            Flaky(9, ValueError("broken")), give_up=lambda: LeaseLost("too long")
        )


async def test_a_very_long_outage_does_not_break_the_back_off() -> None:
    sleeps = Sleeps(VirtualClock())
    flaky = Flaky(2000)
    assert await Retry(sleeps, rng=Highest()).call(flaky, give_up=lambda: None) == "answer"
    assert sleeps.asked[-1] == 20
