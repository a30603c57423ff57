"""The ledger of a recovery process: its parts side by side, until the process is asked to stop."""

import asyncio
import random
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

from deletion.alerts import Alerts
from deletion.bus import Delivery, Publisher, Subscription
from deletion.clock import Clock
from deletion.errors import Interrupted, Unregistered
from deletion.events import completed, to_message
from deletion.ledger import CoverageStore, EventLetters, RequestStore, ServiceStore
from deletion.message_spans import MessageSpans
from deletion.process.signals import unless_stopped
from deletion.request import Chore, DeletionRequest, LedgerPolicy
from deletion.skew import Check, unchecked
from deletion.tracing import Tracer
from recovery.ledger.due_requests import DueRequests
from recovery.ledger.intake import Intake
from recovery.ledger.metrics import LedgerMetrics, PartName
from recovery.ledger.notify import Notify
from recovery.ledger.owing import Owing, Subscribed
from recovery.ledger.part import Part, Work
from recovery.ledger.republish import Republish
from recovery.ledger.settle import Settle, Settlement
from recovery.ledger.uncalled import Uncalled
from recovery.ledger.walk import PAGE
from recovery.ledger.warn import Warn
from recovery.pull_loop import PullLoop

EVERY: Final = {
    PartName.SETTLE: 1.0,
    PartName.REPUBLISH: 1800.0,
    PartName.WARN: 60.0,
    PartName.ANNOUNCE: 5.0,
    PartName.CALL: 5.0,
}
"""Seconds between two passes of a part. What this process settles, it announces at once."""
PULL_LIMIT: Final = 100
"""Messages in memory at a time."""
MAX_PAUSE_SECONDS: Final = 10.0
"""The longest pause between two pulls that fail; short, because the first service may register at
any time."""
CALLS_AT_ONCE: Final = 16
"""Callbacks under way at a time. They are claimed together, so that no claim ends before its
call."""

ANNOUNCEMENTS_PER_SECOND, CALLS_PER_SECOND = 100, 20
"""Bounds for each process, so that a backlog does not flood its receivers."""

Receiver = Callable[[DeletionRequest], Awaitable[None]]
"""Posts a settled request, within bounded time; raises unless the receiver confirms it."""


@dataclass(frozen=True, slots=True)
class Stores:
    """What the ledger reads and writes."""

    requests: RequestStore
    services: ServiceStore
    coverage: CoverageStore
    letters: EventLetters


@dataclass(frozen=True, slots=True)
class Topics:
    """The ledger's subscription, and the publishers of the topic of requests and of the topic of
    completed deletions. `subscribed` lists the services with a subscription on the former.
    """

    subscription: Subscription
    requests: Publisher
    completed: Publisher
    subscribed: Subscribed


class Ledger:
    """Records, settles, republishes, warns, announces and calls back, each in its own loop, so that
    none waits for another.

    `prepare` builds or requires the indexes, and checks that the database takes writes. No part
    does anything while `check` raises: with a wrong clock it would warn of what is not late, and
    put off for years what is missing. Without a `receiver` nobody is called back, and
    calls that have been due for a day are forgotten. `every` has the seconds between two passes of
    each part. With `spans` what is done with messages has spans, with a `tracer` the parts have.
    """

    def __init__(
        self,
        stores: Stores,
        topics: Topics,
        alerts: Alerts,
        clock: Clock,
        rng: random.Random,
        *,
        policy: LedgerPolicy,
        metrics: LedgerMetrics,
        prepare: Callable[[], Awaitable[None]],
        receiver: Receiver | None = None,
        check: Check = unchecked,
        every: Mapping[PartName, float] = EVERY,
        spans: MessageSpans | None = None,
        tracer: Tracer | None = None,
    ) -> None:
        self._stores = stores
        self._topics = topics
        self._alerts = alerts
        self._clock = clock
        self._rng = rng
        self._metrics = metrics
        self._receiver = receiver
        self._check = check
        self._every = every
        self._tracer = tracer
        self._settlement = Settlement(stores.requests, clock, metrics, self._settled)
        self._prepare = prepare
        self._owing = Owing(stores.services, topics.subscribed, clock)
        self._intake = Intake(
            topics.subscription,
            stores.requests,
            self._owing,
            stores.coverage,
            self._settlement,
            clock,
            policy=policy,
            metrics=metrics,
            spans=spans,
        )
        self._pulls = self._pull_loop()
        self._parts = {name: self._part(name, work) for name, work in self._work().items()}

    @property
    def problem(self) -> str | None:
        """Why no requests are recorded, and since when; None while the last pull worked.

        None too while no service is registered, or one with a subscription is not: the log says so,
        and deletions go on.
        """
        return None if isinstance(self._pulls.failure, Unregistered) else self._pulls.problem

    def republish(self) -> None:
        """Check for missing jobs now, as in every sweep."""
        self._parts[PartName.REPUBLISH].wake()

    async def run(self, stopping: asyncio.Event) -> None:
        """Run all parts until `stopping`; each ends at a safe point. Survives every outage."""
        parts = (part.run(stopping) for part in self._parts.values())
        await asyncio.gather(self._pulls.consume(stopping), *parts)

    async def _ready(self) -> None:
        await self._prepare()
        await self._check()
        await self._owing.services()

    async def _take(self, deliveries: Sequence[Delivery]) -> None:
        await self._check()
        await self._intake.take(deliveries)

    def _pull_loop(self) -> PullLoop:
        return PullLoop(
            self._topics.subscription,
            self._take,
            self._clock,
            prepare=self._ready,
            metrics=self._metrics,
            limit=PULL_LIMIT,
            longest_pause=MAX_PAUSE_SECONDS,
            event="requests not recorded yet",
            symptom="no requests recorded since",
        )

    def _part(self, name: PartName, work: Work) -> Part:
        async def checked(stopping: asyncio.Event) -> int:
            try:
                await unless_stopped(self._check(), stopping)
            except Interrupted:
                return 0
            return await work(stopping)

        every, tracer = self._every[name], self._tracer
        return Part(name, checked, every, self._clock, self._metrics, self._rng, tracer)

    def _work(self) -> dict[PartName, Work]:
        coverage, clock, metrics = self._stores.coverage, self._clock, self._metrics
        republish = Republish(
            self._due(Chore.REPUBLISH),
            coverage,
            self._stores.letters,
            self._settlement,
            self._topics.requests,
            self._alerts,
            clock,
            metrics,
        )
        work: dict[PartName, Work] = {
            PartName.SETTLE: Settle(coverage, self._settlement, clock, metrics),
            PartName.REPUBLISH: republish,
            PartName.WARN: Warn(
                self._due(Chore.WARN), coverage, self._settlement, self._alerts, clock
            ),
            PartName.ANNOUNCE: self._announcing(),
        }
        if self._receiver:
            work[PartName.CALL] = self._calling(self._receiver)
        else:
            work[PartName.CALL] = Uncalled(self._due(Chore.CALL), clock)
        return work

    def _announcing(self) -> Notify:
        async def announce(request: DeletionRequest) -> None:
            event = to_message(completed(request, self._clock.now()), request.traceparent)
            await self._topics.completed.publish(event)

        def announced(request: DeletionRequest) -> DeletionRequest:
            return request.announced(self._clock.now() if self._receiver else None)

        then = partial(self._wake, PartName.CALL)
        due = self._due(Chore.ANNOUNCE)
        return Notify(
            due,
            announce,
            announced,
            at_once=PAGE,
            per_second=ANNOUNCEMENTS_PER_SECOND,
            clock=self._clock,
            then=then,
        )

    def _calling(self, receiver: Receiver) -> Notify:
        def nothing() -> None: ...

        due = self._due(Chore.CALL)
        return Notify(
            due,
            receiver,
            DeletionRequest.called,
            at_once=CALLS_AT_ONCE,
            per_second=CALLS_PER_SECOND,
            clock=self._clock,
            then=nothing,
        )

    def _due(self, chore: Chore) -> DueRequests:
        return DueRequests(chore, self._stores.requests, self._clock, self._metrics)

    def _settled(self) -> None:
        self._wake(PartName.ANNOUNCE)

    def _wake(self, name: PartName) -> None:
        if name in self._parts:
            self._parts[name].wake()
