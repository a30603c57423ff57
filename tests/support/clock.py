"""Virtual time: an event loop in which time passes only when nothing else can happen; its clock."""

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine, Generator
from contextvars import Context
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any, Final, TypeVar

from deletion.clock import truncated

START: Final = datetime(2025, 3, 30, 1, 59, 59, 250_000, UTC)
HORIZON: Final = timedelta(days=30)
TURNS: Final = 100_000
"""How many turns the loop may make while no time passes; one more raises."""
T = TypeVar("T")


class NothingLeft(AssertionError):
    """Every task waits for another, and none waits for a time: this would hang for ever."""


class VirtualLoop(asyncio.BaseEventLoop):
    """No sockets, no threads: a loop that would wait jumps to the next timer instead.

    Tasks run in the same order each time. What never ends is found at once: a hang raises
    `NothingLeft`, and waiting past `HORIZON` or turning without waiting an `AssertionError`.
    """

    def __init__(self) -> None:
        super().__init__()
        self._now = 0.0
        self._turns = 0
        self._numbers = count(1)
        self._settling: deque[asyncio.Future[None]] = deque()
        self._selector = self
        self.set_task_factory(self.make_task)

    def time(self) -> float:
        """Seconds since the loop was made."""
        return self._now

    def pass_time(self, seconds: float) -> None:
        """Let time pass without running anything."""
        self._now += seconds

    def settled(self) -> asyncio.Future[None]:
        """Done once every task is waiting."""
        future = self.create_future()
        self._settling.append(future)
        return future

    def select(self, timeout: float | None) -> list[object]:
        """Called before each turn, in place of a selector: lets time pass if nothing is ready."""
        self._turns = (self._turns + 1) % TURNS
        assert self._turns, f"it goes round and round, and no time passes: {self._tasks()}"
        if timeout == 0:
            return []
        if self._settling:
            if not (waiting := self._settling.popleft()).done():
                waiting.set_result(None)
            return []
        if timeout is None:
            raise NothingLeft(f"every task waits for another one: {self._tasks()}")
        self._turns = 0
        self._now += timeout
        if self._now > HORIZON.total_seconds():
            raise AssertionError(f"virtual time ran past its horizon: {self._tasks()}")
        return []

    def make_task(
        self,
        _loop: asyncio.AbstractEventLoop,
        coroutine: Coroutine[Any, Any, T] | Generator[Any, None, T],
        context: Context | None = None,
    ) -> asyncio.Task[T]:
        """The task factory."""
        return _Task(next(self._numbers), coroutine, loop=self, context=context)

    def _tasks(self) -> str:
        """The line at which each task waits."""
        frames = [frame for task in asyncio.all_tasks(self) for frame in task.get_stack()]
        return ", ".join(f"{frame.f_code.co_qualname}:{frame.f_lineno}" for frame in frames)

    def _process_events(self, _events: list[object]) -> None: ...

    def _write_to_self(self) -> None: ...


class _Task(asyncio.Task[T]):
    """A task that hashes by its number, so that a set of tasks has the same order in each run."""

    def __init__(self, number: int, coroutine: Any, **options: Any) -> None:
        self._number = number
        super().__init__(coroutine, **options)

    def __hash__(self) -> int:
        return self._number


def now(skew: float = 0) -> datetime:
    """The time of the running loop, on a clock that is `skew` seconds ahead."""
    return truncated(START + timedelta(seconds=_time() + skew))


class VirtualClock:
    """`deletion.clock.Clock` over the running `VirtualLoop`, ahead of it by `skew` seconds."""

    def __init__(self) -> None:
        self.skew = 0.0

    def now(self) -> datetime:
        """See the port."""
        return now(self.skew)

    def set(self, by: timedelta) -> None:
        """Set the clock, without letting time pass."""
        self.skew += by.total_seconds()

    def monotonic(self) -> float:
        """See the port."""
        return _time()

    async def sleep(self, seconds: float) -> None:
        """See the port."""
        await asyncio.sleep(seconds)

    def pause(self, seconds: float) -> None:
        """Let time pass without waking anybody, as when a suspended process continues."""
        _loop().pass_time(seconds)


def _loop() -> VirtualLoop:
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualLoop), "a test with a virtual clock needs the mark virtual_time"
    return loop


def _time() -> float:
    """Zero before the loop runs: parts read their clock when they are made."""
    try:
        return _loop().time()
    except RuntimeError:
        return 0.0


async def settle() -> None:
    """Return once every other task is waiting."""
    await _loop().settled()


async def until(condition: Callable[[], bool], within: float = 3600) -> None:
    """Let virtual time pass until `condition` holds; fail after `within` virtual seconds."""
    deadline = _time() + within
    while not condition():
        assert _time() < deadline, f"not within {within:g} virtual seconds"
        await asyncio.sleep(0.05)
