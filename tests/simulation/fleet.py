"""The processes of an installation, each started again whenever it has ended."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine
from functools import partial
from typing import Any

from deletion.errors import BotDeletionError
from tests.simulation.installation import Recovery, consume
from tests.simulation.process import GRACE, Process, Unexpected
from tests.simulation.schedule import POLLS, Action, Decide, Decision, rng
from tests.simulation.world import World

RESTART_WITHIN = 10.0
"""Seconds."""
Main = Callable[[Process], Coroutine[Any, Any, None]]


class Fleet:
    """Consumers and recovery over one world; `meddle` does what a decision asks of others."""

    def __init__(self, world: World, decide: Decide, meddle: Callable[[Action], None]) -> None:
        self._world = world
        self._decide = decide
        self._meddle = meddle
        self._running: dict[str, Process] = {}
        self._recoveries: dict[str, Recovery] = {}
        self._calls: dict[str, Counter[str]] = {}
        self._keepers: list[asyncio.Task[None]] = []
        self._retired: set[str] = set()
        self._is_calm = False
        self._is_over = False
        self.quiet_at = 0.0  # when the last fault is over
        self.awaits = 0

    def start(self) -> None:
        """All of them, and the cron job."""
        scenario = self._world.scenario
        for service in self._world.services:
            for number in range(1, scenario.consumers + 1):
                self.add(service, number)
        for number in range(1, scenario.recoveries + 1):
            self._keep(self._supervise(f"recovery-{number}", self._recover))
        self._keep(self._cron())

    def add(self, service: str, number: int) -> None:
        """Another replica of the consumer of `service`."""
        main = partial(consume, world=self._world, service=service)
        self._keep(self._supervise(f"{service}-{number}", main))

    def terminate(self, name: str) -> None:
        """SIGTERM; it is started again."""
        self._running[name].terminate()

    def kill(self, name: str) -> None:
        """SIGKILL; it is started again."""
        self._running[name].kill()

    def retire(self, name: str) -> None:
        """It is not started again once it has ended."""
        self._retired.add(name)

    def process(self, name: str) -> Process:
        """A new process; what it calls is counted on from the last one of that name."""
        calls = self._calls.setdefault(name, Counter())
        calls["start"] += 1
        numbers = rng(name, calls["start"], self._world.seed)
        self._running[name] = Process(name, numbers, self._decision, calls, self._meddle)
        return self._running[name]

    def sweep(self) -> None:
        """Ask every recovery process for a sweep, all at once."""
        for name in self._recoveries:
            self._sweep(name)

    async def expecting(self, work: Awaitable[object]) -> None:
        """Wait for an answer, or for an error that a caller is to expect."""
        try:
            await work
        except (BotDeletionError, Unexpected):
            return
        except Exception as error:  # noqa: BLE001 - recorded
            self._world.broken.append(f"unexpected {error!r}")

    def calm_down(self) -> None:
        """No more faults from here on, and every clock is right again."""
        self._is_calm = True
        self.awaits = 0  # a clock that is off keeps jobs waiting for as long as it is
        for process in self._running.values():
            process.skew = 0.0

    async def stop(self) -> None:
        """SIGTERM to all; returns when the last has ended."""
        self._is_over = True
        for process in self._running.values():
            process.terminate()
        await asyncio.wait(self._keepers)

    def _decision(self, process: str, call: str, nth: int) -> Decision | None:
        self.awaits += call not in POLLS
        decision = None if self._is_calm else self._decide(process, call, nth)
        if decision:
            self._world.decisions.append(decision)
            over = asyncio.get_running_loop().time() + decision.seconds
            self.quiet_at = max(self.quiet_at, over)
        return decision

    def _keep(self, work: Coroutine[Any, Any, None]) -> None:
        self._keepers.append(asyncio.create_task(work))

    async def _supervise(self, name: str, main: Main) -> None:
        while not self._is_over and name not in self._retired:
            process = self.process(name)
            error = await process.run(main(process))
            if process.is_overdue:
                self._world.broken.append(f"{name} did not end within {GRACE:g} s")
            if error and not isinstance(error, Unexpected):
                self._world.broken.append(f"{name} ended with {error!r}")
            if not self._is_over and name not in self._retired:
                await asyncio.sleep(process.rng.uniform(0, RESTART_WITHIN))

    async def _recover(self, process: Process) -> None:
        recovery = self._recoveries[process.name] = Recovery(process, self._world)
        await recovery.run()

    async def _cron(self) -> None:
        while not self._is_over:
            await asyncio.sleep(self._world.scenario.sweep_every)
            self._sweep(self._world.rng.choice(list(self._recoveries)))

    def _sweep(self, name: str) -> None:
        process, recovery = self._running[name], self._recoveries[name]
        if not process.dead:
            process.spawn(self.expecting(recovery.sweeps.start()))
