"""`python -m tests.faults.faulty_consumer PLAN LEDGER [OPTION...]`: a consumer with faults.

The product's own composition, with its ports wrapped: what it does is entered in a ledger, its
clock may be off, and its work may be slow. When it first reaches a chosen point, the process sends
itself a signal: no other process could time that so exactly.
"""

import argparse
import asyncio
import os
import signal
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import AsyncExitStack, aclosing, suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path

from botdel.local.processes import ChildProcess
from consumers.main import Parts, connected, work
from consumers.settings import ConsumerSettings
from deletion.adapters.plan_file import read_plan
from deletion.bus import Delivery, Subscription
from deletion.clock import Clock
from deletion.errors import Interrupted
from deletion.job import Change, Job, Status
from deletion.plan import Batch, Step
from deletion.ports import Recorded
from deletion.process.logs import configure
from deletion.process.run import serve
from deletion.process.settings import load
from deletion.process.signals import stop_on_signals, unless_stopped
from tests.faults.supervised import OnLine
from tests.support.factories import unpaced
from tests.support.ledger import LedgerStore, entered, file_ledger
from tests.support.pipeline import Pipeline

BEFORE_RECORD = "before-record"
BEFORE_ACK = "between-record-and-ack"
BEFORE_CLAIM = "between-ack-and-claim"
BEFORE_RUN = "between-claim-and-run"
BETWEEN_BATCHES = "between-two-batches"
BEFORE_COMPLETE = "before-complete"
BEFORE_THIRD_BATCH = "before-the-third-batch"
"""After the checkpoint of the second batch was accepted, and before the next documents go. A run
that resumes behind that batch reaches this point again."""
POINTS = (
    BEFORE_RECORD,
    BEFORE_ACK,
    BEFORE_CLAIM,
    BEFORE_RUN,
    BETWEEN_BATCHES,
    BEFORE_COMPLETE,
)

KILLED = 137
"""The exit code of a process that the bot `killer` has ended."""

SIGNAL_SECONDS = 0.2
"""After these, a signal that the process has sent itself has stopped it."""

Reached = Callable[[str], bool]
"""Reports a point. Returns whether the signal was sent there."""


@dataclass
class FaultyStore(LedgerStore):
    """A job store that reports the points it reaches. A recording takes `pace` seconds longer."""

    reached: Reached
    pace: float

    async def record(self, jobs: Sequence[Job]) -> list[Recorded]:
        self.reached(BEFORE_RECORD)
        await asyncio.sleep(self.pace)
        return await super().record(jobs)

    async def apply(self, change: Change) -> Job:
        if change.after.status is Status.COMPLETE:
            self.reached(BEFORE_COMPLETE)
        job = await super().apply(change)
        if change.before.status is not Status.IN_PROGRESS and self.reached(BEFORE_RUN):
            await asyncio.sleep(SIGNAL_SECONDS)  # the run must not begin before it
        if any(step.deleted for step in job.steps):
            self.reached(BETWEEN_BATCHES)
        return job


@dataclass
class FaultySubscription:
    """A subscription that reports the points it reaches."""

    subscription: Subscription
    reached: Reached

    async def pull(self, limit: int) -> list[Delivery]:
        return await self.subscription.pull(limit)

    async def ack(self, deliveries: Sequence[Delivery]) -> None:
        if deliveries:
            self.reached(BEFORE_ACK)
        await self.subscription.ack(deliveries)
        if deliveries:
            self.reached(BEFORE_CLAIM)

    async def nack(self, deliveries: Sequence[Delivery]) -> None:
        await self.subscription.nack(deliveries)


@dataclass
class FaultyStep:
    """A step that reports the point before its third batch. Each batch takes `pace` seconds longer.

    A run for the bot `killer` ends the process at once, in a way that no code can catch.
    """

    step: Step
    pace: float
    reached: Reached
    killer: str | None = None

    @property
    def name(self) -> str:
        return self.step.name

    async def delete(self, bot_id: str, cursor: str | None) -> AsyncGenerator[Batch, None]:
        if bot_id == self.killer:
            os._exit(KILLED)
        gone = 0 if cursor is None else 2  # a test resumes only a run that ended at this point
        async with aclosing(self.step.delete(bot_id, cursor)) as batches:
            while True:
                if gone == 2:
                    self.reached(BEFORE_THIRD_BATCH)
                if (batch := await anext(batches, None)) is None:
                    return
                await asyncio.sleep(self.pace)
                yield batch
                gone += 1

    async def is_empty(self, bot_id: str) -> bool:
        return await self.step.is_empty(bot_id)


@dataclass(frozen=True)
class SkewedClock:
    """A clock that is `off`."""

    clock: Clock
    off: timedelta

    def now(self) -> datetime:
        return self.clock.now() + self.off

    def monotonic(self) -> float:
        return self.clock.monotonic()

    async def sleep(self, seconds: float) -> None:
        await self.clock.sleep(seconds)


def signalling(point: str | None, number: str) -> Reached:
    """Send the signal to this process when `point` is reached for the first time."""
    sent: list[str] = []

    def reached(here: str) -> bool:
        if here != point or sent:
            return False
        sent.append(here)
        os.kill(os.getpid(), signal.Signals[number])
        return True

    return reached


def faulty(parts: Parts, options: argparse.Namespace) -> Parts:
    """The parts, wrapped as the options ask for."""
    ledger = file_ledger(options.ledger)
    reached = signalling(options.at, options.signal)
    plan = entered(parts.plan, ledger)
    steps = tuple(FaultyStep(step, options.pace, reached, options.killer) for step in plan.steps)
    return replace(
        parts,
        plan=unpaced(plan.service, *steps),
        store=FaultyStore(parts.store, ledger, reached, options.record_pace),
        subscription=FaultySubscription(parts.subscription, reached),
        clock=SkewedClock(parts.clock, timedelta(seconds=options.skew)),
    )


async def consume(options: argparse.Namespace) -> None:
    """What `botdel consumer` does, over the wrapped parts."""
    settings = load(ConsumerSettings, consumer_port=0)
    configure(settings.log_format)
    with stop_on_signals() as stopping:
        async with AsyncExitStack() as stack:
            connecting = stack.enter_async_context(connected(settings, read_plan(options.plan)))
            with suppress(Interrupted):
                parts = await unless_stopped(connecting, stopping)
                await work(settings, faulty(parts, options), stopping)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="faulty_consumer", description="Times are in seconds.")
    seconds = partial(parser.add_argument, type=float, default=0.0)
    parser.add_argument("plan", type=Path)
    parser.add_argument("ledger", type=Path, help="the file that each event is appended to")
    seconds("--skew", help="how far the clock is ahead")
    seconds("--pace", help="how much longer each batch takes")
    seconds("--record-pace", help="how much longer each recording takes")
    parser.add_argument("--killer", help="the bot whose deletion ends the process")
    parser.add_argument(
        "--at", choices=(*POINTS, BEFORE_THIRD_BATCH), help="the point at which --signal is sent"
    )
    parser.add_argument("--signal", default="SIGKILL", help="its name")
    return parser.parse_args()


def ledger_of(pipeline: Pipeline) -> Path:
    """The file all faulty consumers of the pipeline append to."""
    return pipeline.folder / "ledger.jsonl"


def faulty_consumer(
    pipeline: Pipeline, name: str, *options: str, on_line: OnLine | None = None
) -> ChildProcess:
    """The process, with the plan of the pipeline; not started yet."""
    module, ledger = "tests.faults.faulty_consumer", ledger_of(pipeline)
    arguments = (module, str(pipeline.plan), str(ledger), *options)
    return pipeline.process(name, *arguments, on_line=on_line)


if __name__ == "__main__":
    serve(consume(_options()))
