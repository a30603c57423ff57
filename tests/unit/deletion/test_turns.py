"""A step keeps to its pace: sizes, pauses and pressure, and nobody is held up for ever."""

import asyncio
from contextlib import suppress
from dataclasses import dataclass, field, replace

import pytest
from pydantic import SecretStr
from structlog.typing import EventDict

from deletion.adapters.http_api.spec import HttpSpec
from deletion.adapters.spec import StepConnections
from deletion.errors import PlanError, PressureUnknown, StoreUnavailable
from deletion.pace import UNPACED, Pace, Pressure
from deletion.plan import Plan
from deletion.pressure import READ_SECONDS, SAMPLE_SECONDS
from deletion.tickets import LONGEST_TURN
from deletion.turns import (
    LONGEST_PAUSE,
    LONGEST_PAUSE_AFTER_FAILURE,
    LONGEST_PAUSE_UNDER_PRESSURE,
    Pacer,
    Pacers,
    Wait,
)
from tests.support.clock import VirtualClock, settle
from tests.support.factories import SERVICE
from tests.support.scripted_step import ScriptedStep

pytestmark = [pytest.mark.virtual_time, pytest.mark.usefixtures("logs")]


@dataclass
class Level:
    """A gauge of what a test says: a value, an error, or no answer at all."""

    value: float | Exception | None = 0.0
    what: str = "replication lag"
    unit: str = "s"
    reads: int = 0

    async def read(self) -> float:
        self.reads += 1
        if isinstance(self.value, Exception):
            raise self.value
        if self.value is None:
            await asyncio.Event().wait()
        assert self.value is not None
        return self.value


@dataclass
class World:
    """A pacer of one step, and what it told."""

    pace: Pace
    size: int = 100
    clock: VirtualClock = field(default_factory=VirtualClock)
    stopping: asyncio.Event = field(default_factory=asyncio.Event)
    waits: list[Wait] = field(default_factory=list)
    unread: list[str] = field(default_factory=list)
    began: list[tuple[str, float]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.step = ScriptedStep("messages", {}, self.clock, batch_size=self.size)
        self.pacer = Pacer(
            self.step,
            self.pace,
            self.clock,
            self.stopping,
            on_wait=lambda _step, _wait: None,
            on_unread=self.unread.append,
        )

    async def on_wait(self, wait: Wait) -> None:
        self.waits.append(wait)

    async def batch(self, seconds: float, *, of: str = "", deleted: int | None = None) -> None:
        """A batch that takes so long, and is full unless `deleted` is given."""
        async with self.pacer.turn(self.on_wait) as turn:
            self.began.append((of, self.clock.monotonic()))
            await self.clock.sleep(seconds)
            turn.deleted = turn.size if deleted is None else deleted

    @property
    def waited(self) -> float:
        return sum(wait.seconds for wait in self.waits)

    @property
    def times(self) -> list[float]:
        """When each batch began."""
        return [round(at, 3) for _, at in self.began]


# --- the share of the time


@pytest.mark.proves("share-of-time")
@pytest.mark.parametrize(("share", "pause"), [(0.5, 2.0), (0.1, 18.0), (0.01, 198.0)])
async def test_after_a_batch_the_step_pauses_so_that_its_share_is_kept(
    share: float, pause: float
) -> None:
    world = World(Pace(busy_share=share))
    for _ in range(3):
        await world.batch(2)
    assert world.times == [0, 2 + pause, 2 * (2 + pause)]
    assert {wait.kind for wait in world.waits} == {"busy_share"}
    assert world.waits[0].why == f"busy share {share * 100:g} %"
    assert world.waited == pytest.approx(2 * pause)


async def test_what_was_rested_meanwhile_is_not_rested_again() -> None:
    world = World(Pace(busy_share=0.5))
    await world.batch(10)
    await world.clock.sleep(7)
    await world.batch(10)
    assert world.times == [0, 20]
    await world.clock.sleep(100)
    await world.batch(10)
    assert world.times[-1] == 130


@pytest.mark.proves("share-of-time")
async def test_runs_share_the_time_first_come_first_served() -> None:
    """Four slots at 10 % each would be 40 %."""
    world = World(Pace(busy_share=0.1))
    await asyncio.gather(*(world.batch(1, of=name) for name in "abcd"))
    assert world.began == [("a", 0), ("b", 10), ("c", 20), ("d", 30)]


async def test_a_full_share_has_no_pause_and_no_queue() -> None:
    world = World(Pace(busy_share=1))
    await asyncio.gather(*(world.batch(5, of=name) for name in "abcd"))
    await world.batch(5)
    assert world.times == [0, 0, 0, 0, 5]
    assert not world.waits


async def test_however_long_a_batch_took_the_pause_has_an_end() -> None:
    world = World(Pace(busy_share=0.001))
    await world.batch(30)
    await world.batch(1)
    assert world.times == [0, 30 + LONGEST_PAUSE]


@pytest.mark.proves("held-back")
async def test_a_stop_ends_every_wait_at_once() -> None:
    world = World(Pace(busy_share=0.01))
    running = asyncio.create_task(world.batch(0))
    await settle()
    world.pacer._latest_took = 5.0  # a pause of 495 s is due
    waiting = [asyncio.create_task(world.batch(0)) for _ in range(3)]
    await settle()
    assert not any(task.done() for task in waiting)
    world.stopping.set()
    await asyncio.gather(running, *waiting)
    assert world.clock.monotonic() == 0


async def test_a_stop_ends_the_wait_for_a_batch_that_goes_on() -> None:
    world = World(Pace(busy_share=0.5))
    running = asyncio.create_task(world.batch(3600))
    await settle()
    waiting = asyncio.create_task(world.batch(0))
    await settle()
    world.stopping.set()
    await waiting
    assert not running.done()
    assert world.clock.monotonic() == 0
    running.cancel()


@pytest.mark.proves("held-back")
@pytest.mark.parametrize("cancelled", [0, 1, 2])
async def test_a_cancelled_run_holds_nobody_up(cancelled: int) -> None:
    """Whether it pauses at the front or waits behind it."""
    world = World(Pace(busy_share=0.1))
    await world.batch(1)
    waiting = [asyncio.create_task(world.batch(1, of=name)) for name in "abc"]
    await world.clock.sleep(3)
    waiting[cancelled].cancel()
    with suppress(asyncio.CancelledError):
        await waiting[cancelled]
    others = [task for task in waiting if not task.cancelled()]
    assert len(others) == 2
    await asyncio.gather(*others)
    assert [at for _, at in world.began] == [0, 10, 20]
    assert not world.pacer._queue


@pytest.mark.proves("held-back")
async def test_a_run_that_comes_at_the_moment_when_the_front_is_left_reports_its_wait() -> None:
    """Another run has been called to the front, but has not got there yet."""
    world = World(Pace(busy_share=0.5))
    async with world.pacer.turn(world.on_wait):
        first = asyncio.create_task(world.batch(1, of="first"))
        await world.clock.sleep(1)
    await world.batch(1, of="second")
    await first
    assert world.began == [("first", 2), ("second", 4)]
    assert world.waited == (1 + 1) + (2 + 1), "each in the queue, and at the front"


@pytest.mark.proves("held-back")
async def test_a_batch_that_hangs_holds_the_others_up_for_a_minute_at_most() -> None:
    world = World(Pace(busy_share=0.5))
    hanging = asyncio.create_task(world.batch(3600, of="hanging"))
    await world.clock.sleep(1)
    await world.batch(1, of="next")
    assert world.began == [("hanging", 0), ("next", LONGEST_TURN)]
    await asyncio.gather(hanging, world.batch(1))
    assert not world.pacer._queue


@pytest.mark.proves("share-of-time")
async def test_an_error_in_a_batch_is_followed_by_a_pause_and_frees_the_place() -> None:
    world = World(Pace(busy_share=0.5))
    await cut_off(world)
    assert world.step.batch_size == 10, "it was cut off: the next one is smaller"
    await world.batch(1)
    assert world.times == [20]


@pytest.mark.proves("bounded-retries")
async def test_after_a_batch_that_failed_the_pause_is_a_minute_at_most() -> None:
    """Its run retries within a bounded time, and others wait behind it."""
    world = World(Pace(busy_share=0.01))
    await cut_off(world)
    await world.batch(10)
    await world.batch(1)
    first = 10 + LONGEST_PAUSE_AFTER_FAILURE
    assert world.times == [first, first + 10 + LONGEST_PAUSE]


async def cut_off(world: World) -> None:
    """A batch that the server does not answer for 10 s."""
    with suppress(StoreUnavailable):
        async with world.pacer.turn(world.on_wait):
            await world.clock.sleep(10)
            raise StoreUnavailable


# --- the size of a batch


@pytest.mark.proves("share-of-time")
async def test_the_size_follows_the_time_that_batches_take() -> None:
    """An item takes 1 ms here, so 100 of them are on target, and later 4 ms."""
    world = World(Pace(target_ms=100, min_batch=10, busy_share=1), size=1000)
    assert world.step.batch_size == 10, "it begins small"
    sizes = [await one(world, 0.001) for _ in range(7)]
    assert sizes == [10, 20, 40, 80, 100, 100, 100]
    assert [await one(world, 0.004) for _ in range(4)] == [100, 25, 25, 25]


async def one(world: World, seconds_each: float) -> int:
    size = world.step.batch_size
    await world.batch(size * seconds_each)
    return size


@pytest.mark.parametrize(("seconds", "size"), [(0.0, 300), (10.0, 20)])
async def test_the_size_stays_within_its_bounds(seconds: float, size: int) -> None:
    world = World(Pace(min_batch=20, max_batch=300, busy_share=1), size=50)
    for _ in range(8):
        await world.batch(seconds)
    assert world.step.batch_size == size


async def test_without_a_bound_the_size_of_the_step_is_the_largest() -> None:
    world = World(Pace(busy_share=1), size=50)
    for _ in range(8):
        await world.batch(0)
    assert world.step.batch_size == 50


async def test_a_batch_that_was_not_full_makes_the_next_no_larger() -> None:
    world = World(Pace(busy_share=1), size=1000)
    for _ in range(20):
        await world.batch(0.001, deleted=3)
    assert world.step.batch_size == 10
    await world.batch(0.001)
    await world.batch(1, deleted=3)
    assert world.step.batch_size == 10, "but it may make it smaller"


async def test_a_step_smaller_than_the_smallest_batch_stays_as_it_is() -> None:
    world = World(Pace(), size=3)
    await world.batch(0.001)
    assert world.step.batch_size == 3


async def test_without_a_target_the_size_stays() -> None:
    world = World(UNPACED, size=1000)
    for seconds in (0, 10, 0):
        await world.batch(seconds)
    assert world.step.batch_size == 1000


# --- the pressure


def pressed(level: Level, **values: float) -> World:
    return World(Pace(busy_share=values.pop("share", 0.5), pressure=Pressure(level, 10, 20)))


@pytest.mark.proves("pressure")
@pytest.mark.parametrize(("value", "pause"), [(0, 1), (10, 1), (15, 11), (19.99, 20.99)])
async def test_pressure_makes_the_pauses_longer(value: float, pause: float) -> None:
    world = pressed(Level(value))
    await world.batch(1)
    await world.batch(1)
    assert world.times[1] - world.times[0] - 1 == pytest.approx(pause, abs=0.05)
    if value > 10:
        assert {(wait.kind, wait.why) for wait in world.waits} == {
            ("pressure", f"replication lag {value:g} s")
        }


@pytest.mark.proves("pressure")
async def test_above_the_limit_it_waits_until_the_pressure_is_gone() -> None:
    level = Level(0)
    world = pressed(level, share=1)
    await world.batch(1)
    level.value = 30.0
    await world.clock.sleep(SAMPLE_SECONDS)
    waiting = asyncio.create_task(world.batch(1))
    await world.clock.sleep(22)
    assert len(world.began) == 1
    level.value = 5.0
    await waiting
    assert world.times[1] <= 1 + SAMPLE_SECONDS + 22 + SAMPLE_SECONDS
    assert world.waited == pytest.approx(world.times[1] - 1 - SAMPLE_SECONDS)


@pytest.mark.proves("held-back")
async def test_never_less_than_the_smallest_batch_a_minute() -> None:
    """So a job always ends, whatever a gauge says."""
    world = pressed(Level(1e9), share=1)
    world.step.batch_size = 100
    for _ in range(4):
        await world.batch(1)
        assert world.step.batch_size <= 20
    gaps = [after - before for before, after in zip(world.times, world.times[1:], strict=False)]
    assert gaps == [1 + LONGEST_PAUSE_UNDER_PRESSURE] * 3


async def test_the_gauge_is_read_every_few_seconds_at_most() -> None:
    level = Level(0)
    world = pressed(level, share=1)
    for _ in range(100):
        await world.batch(0.1)
    assert level.reads == 2, "in ten seconds"


@pytest.mark.proves("pressure")
@pytest.mark.parametrize(
    ("error", "said"),
    [
        (PressureUnknown("the gauge answered 503"), "the gauge answered 503"),
        (RuntimeError("secret"), "unexpected RuntimeError"),
    ],
)
async def test_what_cannot_be_read_is_said_once_and_the_normal_pace_goes_on(
    error: Exception, said: str, logs: list[EventDict]
) -> None:
    level = Level(30.0)
    world = pressed(level)
    assert world.pacer._reader
    world.pacer._reader._sample._value = 30.0
    level.value = error
    for _ in range(4):
        await world.batch(5)
    assert world.times == [0, 10, 20, 30]
    assert len(world.unread) == level.reads > 1
    assert [log["reason"] for log in logs if log["log_level"] == "warning"] == [said]
    level.value = 0.0
    await world.batch(5)
    told = [log["log_level"] for log in logs if log["event"].startswith("pressure")]
    assert told == ["warning", "info"], "that it can be read again is no warning"


@pytest.mark.proves("pressure")
async def test_a_gauge_that_does_not_answer_holds_nobody_up() -> None:
    world = pressed(Level(None))
    await world.batch(1)
    assert world.clock.monotonic() == READ_SECONDS + 1
    assert world.unread == ["messages"]


# --- a plan's pacers


async def test_each_step_has_a_pace_of_its_own() -> None:
    clock, told = VirtualClock(), list[tuple[str, str]]()
    steps = [ScriptedStep(name, {}, clock) for name in ("slow", "fast", "default")]
    plan = Plan(SERVICE, tuple(steps), paces={"slow": Pace(busy_share=0.1), "fast": UNPACED})
    pacers = Pacers(
        plan,
        clock,
        asyncio.Event(),
        on_wait=lambda step, wait: told.append((step, wait.why)),
    )
    took: dict[str, float] = {}

    async def ignored(_: Wait) -> None:
        return None

    for step in steps:
        began = clock.monotonic()
        for _ in range(2):
            async with pacers.of(step).turn(ignored):
                await clock.sleep(1)
        took[step.name] = clock.monotonic() - began
    assert took == {"slow": 11, "fast": 2, "default": 3}, "the default is gentle"
    assert set(told) == {("slow", "busy share 10 %"), ("default", "busy share 50 %")}


async def test_an_api_is_not_paced_unless_its_plan_says_so() -> None:
    """Runs that wait for a slow one would hold the slots of other work."""

    url = "https://api.test/bots/{bot_id}"
    api = HttpSpec(url=SecretStr(url)).build(
        "api", StepConnections(lambda _: pytest.fail("no database"))
    )
    data = ScriptedStep("data", {}, VirtualClock())
    assert [Plan(SERVICE, (api, data)).pace(step) for step in (api, data)] == [UNPACED, Pace()]
    paced = Plan(SERVICE, (api, data), paces={"api": Pace(busy_share=0.1)})
    assert paced.pace(api) == Pace(busy_share=0.1)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"target_ms": 0}, "target_ms"),
        ({"min_batch": 0}, "min_batch"),
        ({"max_batch": 9}, "max_batch"),
        ({"busy_share": 0}, "busy_share"),
        ({"busy_share": 1.1}, "busy_share"),
    ],
)
def test_a_wrong_pace_is_named(values: dict[str, float], said: str) -> None:
    with pytest.raises(PlanError, match=said):
        replace(Pace(), **values)  # type: ignore[arg-type]


def test_limits_of_a_pressure_in_the_wrong_order_are_refused() -> None:
    with pytest.raises(PlanError, match="slow_above"):
        Pressure(Level(), 20, 20)


def test_a_pace_of_no_step_is_refused() -> None:
    step = ScriptedStep("messages", {}, VirtualClock())
    with pytest.raises(PlanError, match="massages"):
        Plan(SERVICE, (step,), paces={"massages": Pace()})
