"""Makes the faults of a schedule happen, and puts right again what they broke."""

import asyncio
import os
import random
import signal
from collections import Counter, defaultdict
from collections.abc import Callable
from typing import Final

from botdel.local.server import LocalServer
from tests.faults.callers import Callers
from tests.faults.schedule import BROKER, DATABASE, Fault, Kind, Schedule
from tests.faults.stage import Stage, create_topology
from tests.faults.verdict import recorded, unrecorded

DELAY_BY: Final = 0.2
"""Seconds."""
QUIET_WITHIN: Final = 180.0
"""Seconds until nothing is outstanding; ack deadlines and back-off take tens of them."""
ACKS_WITHIN: Final = 8.0
"""Seconds after which the product gives up an ack (`BOUNDED_RETRY` of the adapter)."""

Tell = Callable[[str], None]


class NotQuiet(Exception):
    """Something is outstanding, for so long that the verdict will have to tell."""


class Injector:
    """One fault at a time for each target. `injected` counts what happened, by kind and target."""

    def __init__(self, stage: Stage, callers: Callers, tell: Tell) -> None:
        self.injected: Counter[tuple[Kind, str]] = Counter()
        self._stage = stage
        self._callers = callers
        self._tell = tell
        self._turn: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._servers: dict[str, LocalServer] = {BROKER: stage.broker, DATABASE: stage.mongo}

    async def run(self, schedule: Schedule) -> None:
        """All faults in their order; returns when everything is right again."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        under_way: list[asyncio.Task[None]] = []
        async with asyncio.TaskGroup() as group:
            for fault in schedule.faults:
                await asyncio.sleep(began + fault.at - loop.time())
                if (fault.kind, fault.target) == (Kind.KILL, BROKER):
                    waited_from = loop.time()
                    await asyncio.gather(*under_way)
                    await self._inflict(fault)
                    began += loop.time() - waited_from
                else:
                    under_way.append(group.create_task(self._inflict(fault)))

    async def _inflict(self, fault: Fault) -> None:
        how = {
            Kind.KILL: self._end,
            Kind.TERMINATE: self._end,
            Kind.PAUSE: self._pause,
            Kind.DUPLICATE: self._publish,
            Kind.POISON: self._publish,
        }
        async with self._turn[fault.target]:
            self._tell(str(fault))
            try:
                await how.get(fault.kind, self._disconnect)(fault)
            except NotQuiet as reason:
                self._tell(f"left out: {reason}")
            else:
                self.injected[fault.kind, fault.target] += 1

    async def _end(self, fault: Fault) -> None:
        if fault.target == BROKER:
            await self._restart_broker(fault)
        elif fault.target == DATABASE:
            await self._restart_database(fault)
        else:
            number = signal.SIGKILL if fault.kind is Kind.KILL else signal.SIGTERM
            process = self._stage.processes[fault.target]
            await process.end(number, down_for=fault.seconds, skew=fault.skew)

    async def _publish(self, fault: Fault) -> None:
        rng = random.Random(f"{self._callers.seed} {fault.at}")  # noqa: S311
        if fault.kind is Kind.POISON:
            await self._callers.publish_poison(rng)
        else:
            known = await recorded(self._stage, self._callers)
            await self._callers.repeat(known, rng)  # a copy of a lost one would hide the loss

    async def _pause(self, fault: Fault) -> None:
        self._signal(fault.target, signal.SIGSTOP)
        try:
            await asyncio.sleep(fault.seconds)
        finally:
            self._signal(fault.target, signal.SIGCONT)

    def _signal(self, target: str, number: signal.Signals) -> None:
        if target in self._stage.processes:
            self._stage.processes[target].signal(number)
        elif pid := self._servers[target].pid:
            os.kill(pid, number)

    async def _restart_database(self, fault: Fault) -> None:
        await self._stage.mongo.kill()
        await asyncio.sleep(fault.seconds)
        await self._stage.mongo.start()

    async def _restart_broker(self, fault: Fault) -> None:
        """At any moment, where it keeps what it has confirmed, as Pub/Sub does."""
        if self._stage.broker.keeps:
            await self._stage.broker.kill()
            await asyncio.sleep(fault.seconds)
            await self._stage.broker.start()
        else:
            await self._restart_emulator(fault)

    async def _restart_emulator(self, fault: Fault) -> None:
        """Only while it holds nothing that counts.

        Pub/Sub keeps a confirmed message until it is acked, for days; the emulator forgets it
        when it ends. So nobody calls, and every accepted event has a job or is a dead letter in
        every service, before it is killed. What it may still hold harms nobody: copies of
        recorded events.

        It also counts from 1 again, so that an ack from before would be one of a new message:
        these get the time to be given up first.

        The topology is put back before the product can reach the broker: the product would do
        so as well, but with ack deadlines of a minute.
        """
        proxy = self._stage.proxies[BROKER]
        async with self._callers.paused():
            await self._quiet()
            proxy.outage()
            await self._stage.broker.kill()
            await asyncio.sleep(max(fault.seconds, ACKS_WITHIN))
            await self._stage.broker.start()
            await create_topology(self._stage.direct)
            proxy.heal()

    async def _quiet(self) -> None:
        try:
            async with asyncio.timeout(QUIET_WITHIN):
                while outstanding := await unrecorded(  # noqa: ASYNC110
                    self._stage, self._callers
                ):
                    await asyncio.sleep(0.5)
        except TimeoutError:
            listed = "\n".join(outstanding)
            raise NotQuiet(f"not recorded in {QUIET_WITHIN:g} s:\n{listed}") from None

    async def _disconnect(self, fault: Fault) -> None:
        proxy = self._stage.proxies[fault.target]
        match fault.kind:
            case Kind.CUT:
                proxy.cut()
            case Kind.DELAY:
                proxy.delay(DELAY_BY)
            case Kind.LOSE_ANSWER:
                proxy.lose_answers()
            case Kind.OUTAGE:
                proxy.outage()
        await asyncio.sleep(fault.seconds)
        proxy.heal()
