"""A process that can be killed, stopped and delayed at each of its awaits.

Everything a process does to the world goes through a port, and every call of a port through
`Process.reach`, which asks the schedule for a fault. A killed process reaches nothing any more,
whatever its `finally` blocks try.
"""

import asyncio
import random
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from contextvars import Context
from datetime import timedelta
from typing import Any, TypeVar

from deletion.errors import Parked, PermanentError
from tests.simulation.loop import HOST
from tests.simulation.schedule import CLOCK, Action, Decide, Decision
from tests.support.clock import now
from tests.support.killed import Killed

T = TypeVar("T")
LATENCY = 0.02
"""Seconds that a call takes at most when nothing is wrong."""
SENT_ANYWAY = 0.5
"""The probability that a cancelled call takes effect all the same."""
ON_THE_WIRE = (0.0, 0.1, 1.0, 10.0)
"""Seconds until a cancelled call takes effect."""
GRACE = 25.0
"""Seconds from SIGTERM to SIGKILL."""
DELAYING = (Action.DELAY, Action.LATE, Action.PAUSE, Action.SKEW)
"""After one of these a process may need longer than `GRACE` to end."""
NOTHING = Decision("", "", 0, Action.DELAY)


class Unexpected(Exception):
    """An error that no port documents."""


class Process:
    """One process, from its start to its end. `calls` counts over all processes of that name.

    `meddle` does what a decision asks of the world outside.
    """

    def __init__(
        self,
        name: str,
        rng: random.Random,
        decide: Decide,
        calls: Counter[str],
        meddle: Callable[[Action], None],
    ) -> None:
        self.name = name
        self.id = f"{name}#{calls['start']}"
        self.rng = rng
        self.stopping = asyncio.Event()
        self.dead = False
        self.is_delayed = False
        self.is_overdue = False
        self.skew = 0.0
        self.was_skewed = False
        self._decide = decide
        self._calls = calls
        self._meddle = meddle
        self._running = asyncio.Event()
        self._running.set()
        self._tasks: set[asyncio.Task[Any]] = set()

    def adopt(self, task: "asyncio.Task[Any]") -> None:
        """Cancel `task` when this process is killed."""
        self._tasks.add(task)
        if self.dead:
            task.cancel()
        task.add_done_callback(self._tasks.discard)

    def spawn(self, work: Coroutine[Any, Any, T]) -> "asyncio.Task[T]":
        """Run `work` inside this process."""
        token = HOST.set(self)
        try:
            return asyncio.create_task(work)
        finally:
            HOST.reset(token)

    async def run(self, main: Coroutine[Any, Any, None]) -> BaseException | None:
        """Run until `main` ends or the process is killed; return an error that nobody caught."""
        task = self.spawn(main)
        await asyncio.wait({task})
        while True:
            self.kill()
            if not self._tasks:
                break
            await asyncio.wait(self._tasks, timeout=1)
        if task.cancelled() or isinstance(task.exception(), Killed):
            return None
        return task.exception()

    def kill(self) -> None:
        """SIGKILL: from now on it reaches nothing."""
        self.dead = True
        self._running.set()
        current = asyncio.current_task()
        for task in list(self._tasks):
            if task is not current:
                task.cancel()

    def terminate(self) -> None:
        """SIGTERM, and SIGKILL once the grace period is over."""
        if not self.stopping.is_set():
            self.stopping.set()
            asyncio.get_running_loop().call_later(GRACE, self._end_of_grace)

    def _end_of_grace(self) -> None:
        if not self.dead:
            self.is_overdue = not self.is_delayed
            self.kill()

    def pause(self, seconds: float) -> None:
        """SIGSTOP, and SIGCONT `seconds` later."""
        self._running.clear()
        asyncio.get_running_loop().call_later(seconds, self._running.set)

    async def reach(
        self, call: str, effect: Callable[[], Awaitable[T]], error: type[Exception]
    ) -> T:
        """Make a call of the product, with the fault that the schedule has for this await."""
        await self._held()
        self._calls[call] += 1
        decision = self._decide(self.name, call, self._calls[call]) or NOTHING
        if decision is not NOTHING:
            self.is_delayed = self.is_delayed or decision.action in DELAYING
            await self._before(decision, error)
        if decision.action is Action.STRAY:
            _run_outside(effect, decision.seconds)
            raise error("not answered, but under way")
        try:
            await self._travel(call, effect)
            answer = await effect()
        finally:
            await self._held()
        if decision is not NOTHING:
            await self._after(decision, error)
        return answer

    async def _before(self, decision: Decision, error: type[Exception]) -> None:
        match decision.action:
            case Action.DELAY:
                await asyncio.sleep(decision.seconds)
            case Action.OUTAGE:
                raise error("lost on the way")
            case Action.BREAK:
                raise Unexpected("an error that no port documents")
            case Action.PARK:
                raise Parked(now() + timedelta(seconds=decision.seconds), "the circuit is open")
            case Action.KILL:
                self.kill()
            case Action.TERMINATE:
                self.terminate()
            case Action.PAUSE:
                self.pause(decision.seconds)
            case Action.SKEW:
                self.skew += decision.seconds
                self.was_skewed = True
            case (
                Action.LATE | Action.LOSE_ANSWER | Action.KILL_AFTER | Action.REFUSE | Action.STRAY
            ):
                return
            case outside:
                self._meddle(outside)
        await self._held()

    async def _after(self, decision: Decision, error: type[Exception]) -> None:
        match decision.action:
            case Action.LATE:
                await asyncio.sleep(decision.seconds)
            case Action.LOSE_ANSWER:
                raise error("the answer was lost")
            case Action.REFUSE:
                raise PermanentError("refused for good")
            case Action.KILL_AFTER:
                self.kill()
        await self._held()

    async def _travel(self, call: str, effect: Callable[[], Awaitable[object]]) -> None:
        """Wait for as long as the call takes. Cancelled meanwhile, it may take effect anyway."""
        if call == CLOCK:
            return
        try:
            await asyncio.sleep(self.rng.random() * LATENCY)
        except asyncio.CancelledError:
            if not call.startswith("step.") and self.rng.random() < SENT_ANYWAY:
                _run_outside(effect, self.rng.choice(ON_THE_WIRE))
            raise

    async def _held(self) -> None:
        """Wait while stopped. Raises `Killed` once killed."""
        if not self._running.is_set():
            await self._running.wait()
        if self.dead:
            raise Killed(self.name)


def _run_outside(effect: Callable[[], Awaitable[object]], seconds: float) -> None:
    async def late() -> None:
        await asyncio.sleep(seconds)
        with suppress(Exception):
            await effect()

    asyncio.get_running_loop().create_task(late(), context=Context())
