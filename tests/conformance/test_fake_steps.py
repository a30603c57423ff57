"""The steps that tests use in place of real ones pass the suite of the real ones."""

from collections import defaultdict, deque
from dataclasses import dataclass, field
from itertools import count

import pytest

from deletion.clock import SystemClock
from deletion.errors import TransientError
from deletion.plan import Step
from deletion.testing import Faults, StepConformance
from tests.support.ledger import Entry, Ledger, LedgerStep
from tests.support.scripted_step import Action, ScriptedStep

CLOCK = SystemClock()


@dataclass
class Faulty(ScriptedStep):
    """Each batch and each read-back is a call."""

    at_each: Faults = field(default_factory=Faults)

    async def _act(self, script: deque[Action]) -> None:
        with self.at_each.call():
            await super()._act(script)


class TestScriptedStep(StepConformance):
    @pytest.fixture(autouse=True)
    def _data(self) -> None:
        self.data: defaultdict[str, list[int]] = defaultdict(list)
        self.numbers = count()

    def step(self) -> Step:
        return ScriptedStep("items", self.data, CLOCK, batch_size=self.batch_size)

    def faulty_step(self, faults: Faults) -> Step:
        return Faulty("items", self.data, CLOCK, batch_size=self.batch_size, at_each=faults)

    def fault(self) -> Exception:
        return TransientError("injected by a test")

    async def plant(self, bot_id: str, number: int) -> None:
        self.data[bot_id] += [next(self.numbers) for _ in range(number)]

    async def count(self, bot_id: str) -> int:
        return len(self.data[bot_id])


class TestScriptedStepThatTellsItsLast(TestScriptedStep):
    def step(self) -> Step:
        step = ScriptedStep("items", self.data, CLOCK, batch_size=self.batch_size)
        step.tells_last = True
        return step


class TestLedgerStep(TestScriptedStep):
    """A step is as good when its batches are entered."""

    def step(self) -> Step:
        return self.entered(super().step())

    def faulty_step(self, faults: Faults) -> Step:
        return self.entered(super().faulty_step(faults))

    def entered(self, step: Step) -> Step:
        entries: list[Entry] = []
        return LedgerStep(step, Ledger(entries.append))
