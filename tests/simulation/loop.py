"""An event loop whose time passes only when nothing else can happen, and always in one order."""

import asyncio
from collections.abc import Coroutine, Generator
from contextvars import Context, ContextVar
from datetime import datetime, timedelta
from itertools import count
from typing import Any, Protocol, TypeVar

from deletion.clock import truncated
from tests.support.clock import START

T = TypeVar("T")


class NothingLeft(AssertionError):
    """Every task waits for another, and no time is waited for: it would hang for ever."""


class Host(Protocol):
    """A process: it owns the tasks that are made in its name."""

    name: str

    def adopt(self, task: "asyncio.Task[Any]") -> None: ...

    def kill(self) -> None: ...


HOST: ContextVar[Host | None] = ContextVar("HOST", default=None)
"""In whose name the current task runs; the tasks it makes inherit that."""


class VirtualLoop(asyncio.BaseEventLoop):
    """No sockets, no threads: a loop that would wait jumps to the next timer instead."""

    def __init__(self) -> None:
        super().__init__()
        self._now = 0.0
        self._numbers = count(1)
        self._selector = self
        self.set_task_factory(self._make)
        self.set_exception_handler(lambda _loop, _context: None)  # a killed process says nothing

    def time(self) -> float:
        """Seconds since the loop was made."""
        return self._now

    def select(self, timeout: float | None) -> list[object]:
        """What a selector is asked when nothing is ready: here the time passes."""
        if timeout is None:
            raise NothingLeft("every task waits for another one")
        self._now += timeout
        return []

    def _process_events(self, _events: list[object]) -> None: ...

    def _write_to_self(self) -> None: ...

    def _make(
        self,
        _loop: asyncio.AbstractEventLoop,
        coroutine: Coroutine[Any, Any, T] | Generator[Any, None, T],
        context: Context | None = None,
    ) -> "asyncio.Task[T]":
        task: _Task[T] = _Task(next(self._numbers), coroutine, loop=self, context=context)
        host = HOST.get() if context is None else context.get(HOST)
        if host:
            host.adopt(task)
        return task


class _Task(asyncio.Task[T]):
    """A task that hashes by its number, so that a set of tasks has the same order in each run."""

    def __init__(self, number: int, coroutine: Any, **options: Any) -> None:
        self._number = number
        super().__init__(coroutine, **options)

    def __hash__(self) -> int:
        return self._number


def run(main: Coroutine[Any, Any, T]) -> T:
    """What `main` answers, in as many virtual seconds as it takes."""
    loop = VirtualLoop()
    try:
        return loop.run_until_complete(main)
    finally:
        loop.close()


def now(skew: float = 0) -> datetime:
    """The time of the running loop as a clock shows it that is `skew` seconds ahead."""
    seconds = asyncio.get_running_loop().time() + skew
    return truncated(START + timedelta(seconds=seconds))


class LoopClock:
    """`deletion.clock.Clock` over the running loop, which is never wrong."""

    def now(self) -> datetime:
        """See the port."""
        return now()

    def monotonic(self) -> float:
        """See the port."""
        return asyncio.get_running_loop().time()

    async def sleep(self, seconds: float) -> None:
        """See the port."""
        await asyncio.sleep(seconds)
