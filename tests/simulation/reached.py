"""Ports as a process reaches them: each of their calls is an await of the schedule."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from inspect import iscoroutinefunction
from typing import TypeVar, cast

from deletion.errors import TransientError
from deletion.plan import Batch, Plan, Step
from tests.simulation.holds import Holds
from tests.simulation.process import Process
from tests.simulation.schedule import CLOCK
from tests.support.clock import VirtualClock, now

T = TypeVar("T")


class _Reached:
    """A port as a process reaches it."""

    def __init__(self, process: Process, name: str, port: object, error: type[Exception]) -> None:
        self._process = process
        self._name = name
        self._port = port
        self._error = error

    def __getattr__(self, method: str) -> object:
        call = getattr(self._port, method)
        if not iscoroutinefunction(call):
            return call

        def reach(*args: object, **options: object) -> Awaitable[object]:
            effect = partial(call, *args, **options)
            return self._process.reach(f"{self._name}.{method}", effect, self._error)

        setattr(self, method, reach)
        return reach


def reached(process: Process, name: str, port: T, error: type[Exception]) -> T:
    """`port`, each call of which is an await of the schedule; what is lost there is an `error`."""
    return cast("T", _Reached(process, name, port, error))


class ProcessClock(VirtualClock):
    """The clock of one process: it may be wrong, and a sleep is an await of the schedule."""

    def __init__(self, process: Process) -> None:
        super().__init__()
        self._process = process

    def now(self) -> datetime:
        """See the port."""
        return now(self._process.skew)

    async def sleep(self, seconds: float) -> None:
        """See the port."""
        await self._process.reach(CLOCK, partial(asyncio.sleep, seconds), TransientError)


@dataclass
class _ReachedStep:
    process: Process
    service: str
    step: Step
    holds: Holds
    is_undo: bool = False

    @property
    def name(self) -> str:
        return self.step.name

    async def delete(self, bot_id: str, cursor: str | None) -> AsyncGenerator[Batch, None]:
        async with aclosing(self.step.delete(bot_id, cursor)) as batches:
            run = (self.process.id, self.service, bot_id)
            while True:
                if not self.process.was_skewed:  # who has lost the time cannot know how long it was
                    self.holds.asks(run)
                batch = await self._reach("delete", partial(anext, batches, None))
                if batch is None:
                    return
                self.holds.got()
                yield batch

    async def is_empty(self, bot_id: str) -> bool:
        return await self._reach("is_empty", partial(self.step.is_empty, bot_id))

    async def _reach(self, call: str, effect: Callable[[], Awaitable[T]]) -> T:
        kind = "step.undo" if self.is_undo else "step"
        return await self.process.reach(f"{kind}.{call}", effect, TransientError)


def reached_plan(process: Process, plan: Plan, holds: Holds) -> Plan:
    """The plan as a process reaches what it deletes."""
    reach = partial(_ReachedStep, process, plan.service, holds=holds)
    undo = {name: reach(step=step, is_undo=True) for name, step in plan.compensations.items()}
    steps = tuple(reach(step=step) for step in plan.steps)
    return replace(plan, steps=steps, compensations=undo)
