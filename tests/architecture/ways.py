"""The paths of docs/architecture.md, driven over parts in memory, and the functions on them."""

import asyncio
import sys
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from types import FrameType
from typing import Final

import httpx
from prometheus_client import CollectorRegistry
from pydantic import SecretStr

from consumers.intake import Outcome
from consumers.main import Parts, compose
from consumers.metrics import Metrics
from consumers.settings import ConsumerSettings
from deletion.breaker import LocalBreakerStore
from deletion.bus import Message
from deletion.errors import PermanentError
from deletion.gate import Gates
from deletion.job import Status
from deletion.message_spans import MessageSpans, TracedSubscription
from deletion.plan import Plan
from deletion.process.settings import load
from deletion.process.tokens import BearerTokens
from deletion.retry import Retry
from deletion.tracing import Tracer
from gateway import app as gateway
from recovery import app as recovery
from recovery.client import recover
from recovery.starting import Sweeps
from recovery.sweeper import Sweeper
from tests.support.alerts import RecordedAlerts
from tests.support.clock import VirtualClock, until
from tests.support.factories import BOT, SERVICE, items
from tests.support.fleet import Fleet
from tests.support.memory_bus import MemoryBus
from tests.support.memory_stores import MemorySweepStore
from tests.support.paths import ROOT
from tests.support.scripted_step import ScriptedStep
from tests.support.scripted_stores import ScriptedDeadLetters, ScriptedStore

TOKEN: Final = SecretStr("a-token-that-is-long-enough")
TOPIC: Final = "projects/any/topics/bot-deletion"
SUBSCRIPTION: Final = f"projects/any/subscriptions/bot-deletion.{SERVICE}"
STAND_INS: Final = {
    "GroupingPublisher": "MemoryBus",
    "MongoDeadLetterStore": "ScriptedDeadLetters",
    "MongoJobStore": "ScriptedStore",
    "MongoSweepStore": "MemorySweepStore",
    "PullSubscription": "MemorySubscription",
    "Recorder": "ScriptedStore",
    "Step": "ScriptedStep",
    "WebhookAlerts": "RecordedAlerts",
}
"""Which part in memory stands for an adapter, or for a step of any kind."""


def driven(file: str, function: str) -> str:
    """The function of a file, or that of its stand-in, as `passed` names it."""
    owner, _, name = function.rpartition(".")
    return f"{STAND_INS[owner]}.{name}" if owner in STAND_INS else f"{file}:{function}"


@contextmanager
def passed() -> Iterator[list[str]]:
    """The functions of this project that are called in the block, each where it is called first."""
    found: dict[str, None] = {}

    def note(frame: FrameType, event: str, _: object) -> None:
        code = frame.f_code
        if event == "call" and code.co_filename.startswith(f"{ROOT}/"):
            function = code.co_qualname.rpartition("<locals>.")[2]
            is_stand_in = function.rpartition(".")[0] in STAND_INS.values()
            file = code.co_filename.removeprefix(f"{ROOT}/")
            found.setdefault(function if is_stand_in else f"{file}:{function}")

    names: list[str] = []
    sys.setprofile(note)
    try:
        yield names
    finally:
        sys.setprofile(None)
        names += found


class World:
    """Gateway, consumer and recovery of one service, whose bot has five items.

    With `is_saga` that step can be undone, and another one is the point of no return. With a
    `tracer` all of them record spans.
    """

    def __init__(self, *, is_saga: bool = False, tracer: Tracer | None = None) -> None:
        self.clock = VirtualClock()
        self.bus = MemoryBus(self.clock)
        self.store = ScriptedStore(self.clock)
        self.dead_letters = ScriptedDeadLetters()
        self.alerts = RecordedAlerts()
        self.step = ScriptedStep("first", items([BOT], 5), self.clock)
        last, undo = (ScriptedStep(name, {}, self.clock) for name in ("last", "first"))
        self._plan = (
            Plan(SERVICE, (self.step, last), "last", {"first": undo})
            if is_saga
            else Plan(SERVICE, (self.step,))
        )
        self._subscription = self.bus.subscribe()
        self._tracer = tracer

    async def place(self) -> None:
        """Ask for the deletion of the bot."""
        app = gateway.create_app(
            self.bus,
            BearerTokens([TOKEN]),
            registry=CollectorRegistry(),
            ready=_ready,
            tracer=self._tracer,
            spans=self._spans(TOPIC),
        )
        async with httpx.AsyncClient(
            transport=httpx.ASGITransport(app),
            base_url="http://gateway",
            headers={"Authorization": f"Bearer {TOKEN.get_secret_value()}"},
        ) as http:
            key = {"Idempotency-Key": "4711"}
            (await http.delete(f"/v1/bots/{BOT}", headers=key)).raise_for_status()

    async def sweep(self) -> None:
        """Run the cron client against recovery, a day later."""
        self.clock.pause(timedelta(days=1).total_seconds())
        app = recovery.create_app(
            self._sweeps(),
            BearerTokens([TOKEN]),
            registry=CollectorRegistry(),
            ready=_ready,
            tracer=self._tracer,
        )
        transport = httpx.ASGITransport(app)
        url = "http://recovery"
        assert not await recover(
            url, TOKEN, wait=True, timeout_seconds=60, clock=self.clock, transport=transport
        )

    async def consume(self, condition: Callable[[], bool]) -> None:
        """Run the consumer until `condition` holds."""
        stopping = asyncio.Event()
        metrics = Metrics(SERVICE, ["first", "last"], list(Outcome))
        consumer = compose(self._settings(), self._parts(), metrics, stopping)
        consuming = asyncio.create_task(consumer.consume(grace=20))
        await until(condition)
        stopping.set()
        await consuming

    def is_now(self, status: Status) -> bool:
        """Whether the only job has `status`."""
        return [job.status for job in self.store.jobs.values()] == [status]

    @property
    def is_acked(self) -> bool:
        """Whether nothing waits on the subscription."""
        return not self._subscription.unacked

    def _settings(self) -> ConsumerSettings:
        return load(ConsumerSettings, GOOGLE_CLOUD_PROJECT="any", mongodb_uri="mongodb://localhost")

    def _spans(self, path: str) -> MessageSpans | None:
        return MessageSpans(self._tracer, path) if self._tracer else None

    def _parts(self) -> Parts:
        spans = self._spans(SUBSCRIPTION)
        pulling = self._subscription
        return Parts(
            plan=self._plan,
            store=self.store,
            dead_letters=self.dead_letters,
            subscription=TracedSubscription(pulling, spans) if spans else pulling,
            alerts=self.alerts,
            clock=self.clock,
            attached=_ready,
            gates=Gates(LocalBreakerStore(self.clock), self.clock),
            tracer=self._tracer,
            spans=spans,
        )

    def _sweeps(self) -> Sweeps:
        lease, retry, store = self._settings().lease, Retry(self.clock), MemorySweepStore()
        sweeper = Sweeper(
            jobs=self.store,
            sweeps=store,
            clock=self.clock,
            policy=lease,
            retry=retry,
            page_size=10,
            alerts=self.alerts,
            stale_share=0.5,
            waiting_after=timedelta(days=1),
            tracer=self._tracer,
        )
        return Sweeps(
            store,
            sweeper,
            self.clock,
            retry,
            silent_after=lease.stale_after,
            ended=lambda _: None,
            prepare=_nothing,
            tracer=self._tracer,
        )


async def _ready() -> str | None:
    return None


async def _nothing() -> None:
    pass


async def a_delete() -> list[str]:
    """A bot is deleted."""
    world = World()
    with passed() as names:
        await world.place()
        await world.consume(lambda: world.is_now(Status.COMPLETE))
    return names


async def a_resumption() -> list[str]:
    """A job failed in the middle, and a sweep resumes it."""
    world = World()
    world.step.script.extend([None, PermanentError("a step broke")])
    await world.place()
    await world.consume(lambda: world.is_now(Status.FAILED))
    with passed() as names:
        await world.sweep()
        await world.consume(lambda: world.is_now(Status.COMPLETE))
    return names


async def a_poison_message() -> list[str]:
    """A message is no event."""
    world = World()
    with passed() as names:
        world.bus.put(Message(b"\xff", {}))
        await world.consume(lambda: world.is_acked)
    return names


async def a_rollback() -> list[str]:
    """Its first step is refused."""
    world = World(is_saga=True)
    world.step.script.append(PermanentError("refused"))
    await world.place()
    with passed() as names:
        await world.consume(lambda: world.is_now(Status.COMPENSATED))
    return names


async def a_parked_call() -> list[str]:
    """An API is down for a while, and then answers."""
    fleet = Fleet(1, 4, lambda _, seconds: 503 if seconds < 30 else 200)
    with passed() as names:
        async with fleet.running():
            await until(lambda: fleet.statuses()[Status.COMPLETE] == len(fleet.bots))
    return names


WAYS: Final[Mapping[str, Callable[[], Awaitable[list[str]]]]] = {
    "The path of a DELETE": a_delete,
    "The path of a resumption": a_resumption,
    "The path of a poison message": a_poison_message,
    "The path of a saga that is rolled back": a_rollback,
    "The path of a parked call": a_parked_call,
}
