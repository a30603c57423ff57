"""`python -m tests.faults.consumer_at POINT SIGNAL PLAN`: a consumer that gets a signal there.

The product's own composition, with one of its ports wrapped: at the chosen point of the first
deletion the process sends itself a real signal, which is as exact as no other process could be.
"""

import os
import signal
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from botdel.run import run
from consumers.main import Parts, connected, work
from consumers.settings import ConsumerSettings
from deletion.adapters.logs import configure
from deletion.adapters.plan_file import read_plan
from deletion.adapters.settings import load
from deletion.bus import Delivery, Subscription
from deletion.job import Change, Job, Status
from deletion.ports import JobStore, Recorded

BEFORE_RECORD = "before-record"
BEFORE_ACK = "between-record-and-ack"
BEFORE_RUN = "between-ack-and-run"
BETWEEN_BATCHES = "between-two-batches"
BEFORE_COMPLETE = "before-complete"
POINTS = (BEFORE_RECORD, BEFORE_ACK, BEFORE_RUN, BETWEEN_BATCHES, BEFORE_COMPLETE)

Reached = Callable[[str], None]


@dataclass
class SignalledStore:
    """A job store that tells when a point is reached."""

    store: JobStore
    reached: Reached

    async def record(self, jobs: Sequence[Job]) -> list[Recorded]:
        self.reached(BEFORE_RECORD)
        return await self.store.record(jobs)

    async def apply(self, change: Change) -> Job:
        if change.after.status is Status.COMPLETE:
            self.reached(BEFORE_COMPLETE)
        job = await self.store.apply(change)
        if any(step.deleted for step in job.steps):
            self.reached(BETWEEN_BATCHES)
        return job

    async def ping(self) -> None:
        await self.store.ping()

    def new_id(self) -> str:
        return self.store.new_id()

    async def get(self, job_id: str) -> Job | None:
        return await self.store.get(job_id)

    async def walk(
        self, status: Status, *, modified_before: datetime | None, after: str | None, limit: int
    ) -> list[Job]:
        return await self.store.walk(
            status, modified_before=modified_before, after=after, limit=limit
        )

    async def count(self, status: Status) -> int:
        return await self.store.count(status)

    async def find(
        self,
        *,
        service: str | None = None,
        bot_id: str | None = None,
        status: Status | None = None,
        limit: int,
    ) -> list[Job]:
        return await self.store.find(service=service, bot_id=bot_id, status=status, limit=limit)


@dataclass
class SignalledSubscription:
    """A subscription that tells when a point is reached."""

    subscription: Subscription
    reached: Reached

    async def pull(self, limit: int) -> list[Delivery]:
        return await self.subscription.pull(limit)

    async def ack(self, deliveries: Sequence[Delivery]) -> None:
        if deliveries:
            self.reached(BEFORE_ACK)
        await self.subscription.ack(deliveries)
        if deliveries:
            self.reached(BEFORE_RUN)

    async def nack(self, deliveries: Sequence[Delivery]) -> None:
        await self.subscription.nack(deliveries)


def signalling(parts: Parts, point: str, number: signal.Signals) -> Parts:
    """The parts, with a signal to this process when `point` is reached for the first time."""
    sent: list[str] = []

    def reached(here: str) -> None:
        if here == point and not sent:
            sent.append(here)
            os.kill(os.getpid(), number)

    return replace(
        parts,
        store=SignalledStore(parts.store, reached),
        subscription=SignalledSubscription(parts.subscription, reached),
    )


async def consume(point: str, number: signal.Signals, plan: Path) -> None:
    """What `botdel consumer` does, over the wrapped parts."""
    settings = load(ConsumerSettings, consumer_port=0)
    configure(settings.log_format)
    async with connected(settings, read_plan(plan)) as parts:
        await work(settings, signalling(parts, point, number))


if __name__ == "__main__":
    run(consume(sys.argv[1], signal.Signals[sys.argv[2]], Path(sys.argv[3])))
