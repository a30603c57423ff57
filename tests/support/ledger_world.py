"""The request ledger over parts in memory, with faults at any await of its ports."""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, TypeVar, cast

from prometheus_client import CollectorRegistry

from deletion.bus import Message, Publisher
from deletion.dead_letter import DeadLetterStatus, Reason
from deletion.errors import BusUnavailable, StoreUnavailable
from deletion.events import BotDeletionSubject, DeletionCompleted, decode, to_message
from deletion.job import Job
from deletion.message_spans import MessageSpans, TracedSubscription
from deletion.request import DeletionRequest, LedgerPolicy
from deletion.skew import Check, unchecked
from deletion.tracing import Tracer
from recovery.ledger.metrics import LedgerMetrics, PartName
from recovery.ledger.running import EVERY, Ledger, Stores, Topics
from tests.support.alerts import RecordedAlerts
from tests.support.clock import VirtualClock
from tests.support.factories import a_letter, new_job, placed
from tests.support.memory_bus import MemoryBus
from tests.support.memory_requests import (
    MemoryCoverageStore,
    MemoryRequestStore,
    MemoryServiceStore,
)
from tests.support.memory_stores import MemoryDeadLetterStore, MemoryJobStore

T = TypeVar("T")
POLICY = LedgerPolicy(deadline=timedelta(hours=8), missing_after=timedelta(hours=1))
Fault = Callable[[str, bool], Awaitable[None]]
"""Awaited before each call of a port and after it (True), with its name; it may raise."""


async def no_fault(call: str, is_done: bool) -> None:
    """Let everything pass."""


class Faulty:
    """Stands before `target`: each call passes through `fault`."""

    def __init__(self, target: object, fault: Callable[[], Fault]) -> None:
        self._target = target
        self._fault = fault

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._target, name)
        if not asyncio.iscoroutinefunction(found):
            return found

        async def called(*args: Any, **options: Any) -> Any:
            await self._fault()(name, False)
            answer = await found(*args, **options)
            await self._fault()(name, True)
            return answer

        return called


@dataclass
class Announcements:
    """The topic of completions. It keeps the ids of the requests that were announced."""

    ids: list[str] = field(default_factory=list)
    down: bool = False

    async def publish(self, message: Message) -> None:
        if self.down:
            raise BusUnavailable("the topic is down")
        event = decode(message.data).event
        assert isinstance(event, DeletionCompleted)
        self.ids.append(event.request_id)


@dataclass
class Called:
    """The receiver of callbacks. It keeps the ids of the events that it was told of."""

    ids: list[str] = field(default_factory=list)
    failing: Callable[[DeletionRequest], Awaitable[None]] | None = None
    tries: int = 0

    async def call(self, request: DeletionRequest) -> None:
        self.tries += 1
        if self.failing:
            await self.failing(request)
        self.ids.append(request.id)


SUBSCRIPTION = "projects/any/subscriptions/bot-deletion.ledger"


class LedgerWorld:
    """An installation with `services`, whose consumers are the test. An empty pull takes
    `pull_wait` seconds: a longer one makes idle days cheaper.
    """

    def __init__(
        self, *services: str, policy: LedgerPolicy = POLICY, pull_wait: float = 3.0
    ) -> None:
        self.policy = policy
        self.clock = VirtualClock()
        self.journal: list[str] = []
        self.topic = MemoryBus(self.clock, self.journal)
        self.jobs = MemoryJobStore(self.clock.now)
        self.letters = MemoryDeadLetterStore()
        self.requests = MemoryRequestStore()
        self.services = MemoryServiceStore()
        self.subscription = self.topic.subscribe(pull_wait=pull_wait)
        self.announced = Announcements()
        self.called = Called()
        self.alerts = RecordedAlerts()
        self.fault: Fault = no_fault
        self.down = False
        self.names = services
        self.subscribed: list[str] = []
        """The services that have a subscription on the topic."""
        self.listed = 0

    async def register(self, *services: str) -> None:
        await self.services.register(services or self.names, self.clock.now())

    def replica(
        self,
        *,
        calls_back: bool = True,
        every: Mapping[PartName, float] = EVERY,
        seed: int = 7,
        check: Check = unchecked,
        tracer: Tracer | None = None,
    ) -> "Replica":
        """A process of recovery, not yet running. `check` compares its clock."""
        spans = MessageSpans(tracer, SUBSCRIPTION) if tracer else None
        pulling = self._faulty(self.subscription)
        registry, requests = CollectorRegistry(), self.requests.replica()
        stores = Stores(
            self._faulty(requests),
            self._faulty(self.services),
            self._faulty(MemoryCoverageStore(self.jobs)),
            self._faulty(self.letters),
        )
        topics = Topics(
            TracedSubscription(pulling, spans) if spans else pulling,
            self._faulty(cast("Publisher", self.topic)),
            self._faulty(cast("Publisher", self.announced)),
            self._subscribed,
        )

        async def prepare() -> None:
            if self.down:
                raise StoreUnavailable("the database is down")

        ledger = Ledger(
            stores,
            topics,
            self.alerts,
            self.clock,
            random.Random(seed),  # noqa: S311
            policy=self.policy,
            metrics=LedgerMetrics(registry),
            prepare=prepare,
            receiver=self._faulty(self.called).call if calls_back else None,
            check=check,
            every=every,
            spans=spans,
            tracer=tracer,
        )
        return Replica(ledger, registry, requests)

    def _faulty(self, target: T) -> T:
        return cast("T", Faulty(target, lambda: self._fault))

    async def _subscribed(self) -> list[str]:
        await self._fault("subscribed", False)
        self.listed += 1
        return self.subscribed

    async def _fault(self, call: str, is_done: bool) -> None:
        if self.down and call not in {"publish", "pull", "ack", "call", "subscribed"}:
            raise StoreUnavailable("the database is down")
        await self.fault(call, is_done)

    async def place(self, subject: BotDeletionSubject | None = None, **attributes: str) -> str:
        """Publish a request as the gateway does. Returns its event's id."""
        subject = subject or placed(timestamp=self.clock.now())
        message = to_message(subject, attributes.pop("traceparent", None))
        await self.topic.publish(Message(message.data, {**message.attributes, **attributes}))
        return subject.event_id

    async def job(self, event_id: str, service: str, bot_id: str | None = None) -> Job:
        """Record and claim the job of a service, as its consumer does."""
        bot = bot_id or self.requests.requests[event_id].bot_id
        job = new_job(service=service, bot_id=bot, event_ids=(event_id,), finished_at=None)
        await self.jobs.record([job])
        return job

    async def complete(self, job: Job) -> None:
        """The end of the job's run."""
        await self.jobs.apply(self.jobs.jobs[job.id].complete(self.clock.now()))

    async def done(self, event_id: str, *services: str) -> None:
        """Each service records its job and completes it."""
        for service in services:
            await self.complete(await self.job(event_id, service))

    async def quarantine(
        self, event_id: str, service: str, status: DeadLetterStatus = DeadLetterStatus.NEW
    ) -> str:
        """The service's consumer quarantines the event, and an operator sets the status."""
        letter = a_letter(
            service=service,
            attributes={"event_id": event_id},
            reason=Reason.UNDELIVERED,
            id=self.letters.new_id(),
        )
        [recorded] = await self.letters.record([letter])
        await self.letters.mark(recorded, status)
        return recorded.id

    def republished(self) -> Iterator[tuple[str, str]]:
        """Event and service of each message that is addressed to one service."""
        for message in self.topic.published:
            if "service" in message.attributes:
                yield message.attributes["event_id"], message.attributes["service"]


@dataclass
class Replica:
    """One process of recovery."""

    ledger: Ledger
    registry: CollectorRegistry
    requests: Any
    """Its store, so that a test can break it."""
    stopping: asyncio.Event = field(default_factory=asyncio.Event)

    def metric(self, name: str, **labels: str) -> float:
        value = self.registry.get_sample_value(f"botdel_ledger_{name}", labels)
        return value or 0.0

    @asynccontextmanager
    async def running(self) -> AsyncIterator["Replica"]:
        """Run it inside the block, and stop it then."""
        running = asyncio.create_task(self.ledger.run(self.stopping))
        try:
            yield self
        finally:
            self.stopping.set()
            await running
