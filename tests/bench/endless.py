"""A deletion that goes on until it is stopped, and a consumer all of whose slots it takes.

`python -m tests.bench.endless PLAN` is that consumer: as the product composes it, with the endless
step behind those of the plan.
"""

import asyncio
import sys
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from consumers.main import run
from consumers.settings import ConsumerSettings
from deletion.adapters.plan_file import PlanFile, read_plan
from deletion.adapters.spec import StepConnections
from deletion.pace import UNPACED
from deletion.plan import Batch, Plan
from deletion.process.logs import configure
from deletion.process.run import serve
from deletion.process.settings import load

SLOTS: Final = 8
"""As a consumer has by default."""


@dataclass
class EndlessStep:
    """A batch of nothing, ten times a second."""

    name: str
    running: int = 0
    all_run: asyncio.Event = field(default_factory=asyncio.Event)

    async def delete(self, bot_id: str, cursor: str | None) -> AsyncGenerator[Batch, None]:
        self.running += 1
        if self.running == SLOTS:
            self.all_run.set()
        while True:
            await asyncio.sleep(0.1)
            yield Batch(0, cursor)

    async def is_empty(self, bot_id: str) -> bool:
        return False


@dataclass(frozen=True)
class Endless:
    """The plan of a file, with the endless step behind its own."""

    file: PlanFile

    @property
    def service(self) -> str:
        return self.file.service

    def build(self, connections: StepConnections) -> Plan:
        plan = self.file.build(connections)
        endless = EndlessStep("endless")
        paces = {**plan.paces, endless.name: UNPACED}  # it is to take all slots
        return replace(plan, steps=(*plan.steps, endless), paces=paces)


async def main(plan: Path) -> None:
    settings = load(ConsumerSettings, consumer_port=0)
    configure(settings.log_format)
    await run(settings, Endless(read_plan(plan)))


if __name__ == "__main__":
    serve(main(Path(sys.argv[1])))
