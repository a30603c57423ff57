"""Errors that may pass are tried again, with full jitter; no other error is."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from datetime import timedelta

import pytest

from deletion.clock import Clock
from deletion.errors import BusUnavailable, LeaseLost, StoreUnavailable, TransientError
from deletion.retry import LONGEST_REQUESTED_WAIT, Patience, Retry, pause
from tests.support.clock import START, VirtualClock

pytestmark = pytest.mark.virtual_time


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
        self.now, self.monotonic = clock.now, clock.monotonic
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

    def unless() -> Exception | None:
        return lost if clock.now() - START >= timedelta(hours=1) else None

    with pytest.raises(type(lost)) as caught:
        await Retry(clock, attempts=2).call(flaky, unless=unless)
    assert caught.value is lost
    assert caught.value.__cause__ is flaky.error
    assert flaky.calls > 100


async def test_an_error_that_does_not_pass_is_not_replaced_by_giving_up() -> None:
    with pytest.raises(ValueError, match="broken"):
        await Retry(VirtualClock()).call(
            Flaky(9, ValueError("broken")), unless=lambda: LeaseLost("too long")
        )


async def test_a_very_long_outage_does_not_break_the_back_off() -> None:
    sleeps = Sleeps(VirtualClock())
    flaky = Flaky(2000)
    assert await Retry(sleeps, rng=Highest()).call(flaky, unless=lambda: None) == "answer"
    assert sleeps.asked[-1] == 20


class Patient:
    """A loop over `Patience` of 100 seconds; each attempt takes `seconds`."""

    def __init__(self, seconds: float = 0) -> None:
        self.clock = VirtualClock()
        self.stopping = asyncio.Event()
        self.seconds = seconds
        retry = Retry(self.clock, base=1, cap=8, rng=Highest())
        self.patience = Patience(retry, 100, self.stopping)
        self.attempts = 0

    async def loop(self, flaky: Callable[[], Awaitable[str]]) -> str:
        answer = ""
        async for attempt in self.patience:
            with attempt:
                self.attempts += 1
                await self.clock.sleep(self.seconds)
                answer = await flaky()
        return answer

    @property
    def took(self) -> float:
        return (self.clock.now() - START).total_seconds()


async def test_patience_ends_with_the_time_and_the_last_error_comes_out_as_it_is() -> None:
    patient, flaky = Patient(), Flaky(10**6)
    with pytest.raises(StoreUnavailable) as caught:
        await patient.loop(flaky)
    assert caught.value is flaky.error is patient.patience.error
    assert 100 <= patient.took <= 100 + 8


async def test_patience_does_not_count_attempts() -> None:
    patient = Patient()
    assert await patient.loop(Flaky(12)) == "answer"
    assert patient.attempts == 13


async def test_slow_attempts_use_up_the_same_patience() -> None:
    patient = Patient(seconds=60)
    with pytest.raises(StoreUnavailable):
        await patient.loop(Flaky(99))
    assert patient.attempts == 2


@pytest.mark.proves("bounded-retries")
@pytest.mark.parametrize(("waits", "excused"), [([80], 80), ([50, 50], 100), ([80] * 9, 100)])
async def test_waits_between_retries_are_excused_for_as_long_as_the_patience_itself(
    waits: list[float], excused: float
) -> None:
    """So a run that only ever fails ends, however long it waits for its turn each time."""
    patient = Patient()
    left: list[float] = []

    async def failing() -> str:
        if left:
            patient.clock.pause(left[0])
            patient.patience.extend(left.pop(0))
        raise StoreUnavailable

    for _ in range(2):  # progress renews what is excused
        patient.patience.renew()
        before, left[:] = patient.took, [0, *waits]  # none before the first error
        with pytest.raises(StoreUnavailable):
            await patient.loop(failing)
        longest = 80 + 8
        assert 100 + excused <= patient.took - before < 100 + excused + longest


@pytest.mark.proves("bounded-retries")
async def test_waits_before_the_first_error_are_all_excused() -> None:
    patient = Patient()
    for _ in range(3):
        patient.clock.pause(3600)
        patient.patience.extend(3600)
    with pytest.raises(StoreUnavailable):
        await patient.loop(Flaky(10**6))
    assert patient.took >= 3 * 3600 + 100


async def test_progress_renews_patience_and_shortens_the_wait_again() -> None:
    patient = Patient()
    for _ in range(5):
        with pytest.raises(StoreUnavailable):
            await patient.loop(Flaky(10**6))
        assert patient.patience.error is not None
        patient.patience.renew()
        assert patient.patience.error is None
    assert 500 <= patient.took <= 500 + 5 * 8
    before = patient.took
    await patient.loop(Flaky(3))
    assert patient.took - before == 1 + 2 + 4


async def test_one_failure_alone_is_none_that_is_being_retried() -> None:
    patient, seen = Patient(), list[object]()

    async def flaky() -> str:
        seen.append(patient.patience.error)
        if len(seen) < 4:
            raise StoreUnavailable(f"failure {len(seen)}")
        return "answer"

    async for attempt in patient.patience:
        with attempt:
            await flaky()
    assert [str(error) for error in seen] == ["None", "None", "failure 2", "failure 3"]
    patient.patience.renew()
    await patient.loop(Flaky(1))
    assert patient.patience.error is None


async def test_a_stop_ends_the_wait_and_leaves_the_error_to_be_seen() -> None:
    patient, flaky = Patient(), Flaky(10**6)
    patient.patience = Patience(
        Retry(patient.clock, base=3600, cap=3600, rng=Highest()), 10**6, patient.stopping
    )

    async def stop() -> None:
        await patient.clock.sleep(3605)
        assert patient.patience.error is flaky.error
        flaky.error = ValueError("the next attempt sees that it is to stop")
        patient.stopping.set()

    stopping = asyncio.create_task(stop())
    with pytest.raises(ValueError, match="to stop"):
        await patient.loop(flaky)
    await stopping
    assert patient.took == 3605
    assert isinstance(patient.patience.error, StoreUnavailable), "it was being retried"


@pytest.mark.parametrize("error", [ValueError("v"), LeaseLost("l"), asyncio.CancelledError()])
async def test_patience_is_for_errors_that_may_pass(error: BaseException) -> None:
    patient = Patient()
    with pytest.raises(type(error)):
        await patient.loop(Flaky(99, error))  # type: ignore[arg-type]
    assert (patient.attempts, patient.took) == (1, 0)
    assert patient.patience.error is None


async def test_a_rest_ends_with_the_time_or_with_the_first_event() -> None:
    clock = VirtualClock()
    first, second = asyncio.Event(), asyncio.Event()
    await pause(clock, 10, first, second)
    assert clock.now() == START + timedelta(seconds=10)
    pausing = asyncio.create_task(pause(clock, 3600, first, second))
    await clock.sleep(5)
    second.set()
    await pausing
    assert clock.now() == START + timedelta(seconds=15)
    await pause(clock, 3600, first, second)
    assert clock.now() == START + timedelta(seconds=15), "it was set already"
    assert len(asyncio.all_tasks()) == 1


class Asking(Flaky):
    """Asks, each time, to be left alone for so many seconds."""

    def __init__(self, times: int, seconds: float) -> None:
        super().__init__(times, TransientError("later", retry_after=seconds))


@pytest.mark.proves("retry-after")
@pytest.mark.parametrize(("asked", "wait"), [(30, 30), (0, 0), (3600, LONGEST_REQUESTED_WAIT)])
async def test_a_retry_waits_as_long_as_it_is_asked_to_up_to_a_bound_and_the_jitter_on_top(
    asked: float, wait: float
) -> None:
    clock = VirtualClock()
    sleeps = Sleeps(clock)
    retry = Retry(sleeps, base=1, cap=8, rng=Highest())
    await retry.call(Asking(2, asked))
    assert sleeps.asked == [wait + 1, wait + 2]
    patient = Patient()
    await patient.loop(Asking(2, asked))
    assert patient.took == 2 * wait + 1 + 2
