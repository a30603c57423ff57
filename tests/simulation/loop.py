"""The event loop of the simulation: virtual time, and tasks that die with their process."""

import asyncio
from collections.abc import Coroutine, Generator
from contextvars import Context, ContextVar
from typing import Any, Protocol, TypeVar

from tests.support.clock import VirtualLoop

T = TypeVar("T")


class Host(Protocol):
    """A process: it owns the tasks that are made in its name."""

    name: str

    def adopt(self, task: "asyncio.Task[Any]") -> None: ...

    def kill(self) -> None: ...


HOST: ContextVar[Host | None] = ContextVar("HOST", default=None)
"""In whose name the current task runs; the tasks it makes inherit that."""


class HostedLoop(VirtualLoop):
    """A virtual loop whose tasks are adopted by their hosts."""

    def __init__(self) -> None:
        super().__init__()
        self.set_exception_handler(lambda _loop, _context: None)  # a killed process says nothing

    def make_task(
        self,
        loop: asyncio.AbstractEventLoop,
        coroutine: Coroutine[Any, Any, T] | Generator[Any, None, T],
        context: Context | None = None,
    ) -> "asyncio.Task[T]":
        """See `VirtualLoop`."""
        task = super().make_task(loop, coroutine, context)
        host = HOST.get() if context is None else context.get(HOST)
        if host:
            host.adopt(task)
        return task


def run(main: Coroutine[Any, Any, T]) -> T:
    """What `main` answers, in as many virtual seconds as it takes."""
    loop = HostedLoop()
    try:
        return loop.run_until_complete(main)
    finally:
        loop.close()
