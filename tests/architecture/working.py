"""What each process does with Pub/Sub: its own code, over a Pub/Sub and a MongoDB of a test.

`WORK` has a function for each account. It raises `TopologyMissing` for the first right that the
account lacks.
"""

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from types import SimpleNamespace
from typing import Any, Final, cast
from unittest.mock import patch

import botdel.topology
import consumers.main
import gateway.main
import recovery.main
from console.publishing import replaying
from consumers.settings import ConsumerSettings
from deletion.adapters.plan_source import PlanSource
from deletion.adapters.pubsub.publisher import GroupingPublisher
from deletion.adapters.pubsub.readiness import TopicProbe
from deletion.adapters.pubsub.subscription import PullSubscription
from deletion.bus import Delivery, Message, Subscription
from deletion.clock import SystemClock
from deletion.errors import TopologyMissing
from deletion.plan import Plan
from deletion.process.bus import Bus, connected_bus
from deletion.process.settings import PubSubSettings
from deletion.process.store_settings import TopologySettings
from gateway.settings import GatewaySettings
from recovery.settings import RecoverySettings
from tests.architecture.permitted import MayOnly
from tests.architecture.terraform_site import NAMES, PROJECT, SERVICES
from tests.support.deployed import SECRETS, settings_of
from tests.support.memory_requests import MemoryServiceStore

Work = Callable[[MayOnly], Awaitable[None]]
ENVIRONMENT: Final = {**SECRETS, "GOOGLE_CLOUD_PROJECT": PROJECT}


class Clients(nullcontext["Clients"]):
    """Of a database that has everything."""

    def __init__(self, *_: object, **__: object) -> None:
        super().__init__(self)

    def get(self) -> dict[str, None]:
        return defaultdict(lambda: None)


@contextmanager
def over(pubsub: MayOnly) -> Iterator[None]:
    """Let processes connect to `pubsub`, which is no emulator."""

    async def close() -> None:
        """It is none of a network."""

    made = SimpleNamespace(
        is_emulated=False, publisher=lambda: pubsub, subscriber=lambda: pubsub, close=close
    )
    with patch("deletion.process.bus.PubSub", lambda _: made):
        yield


async def nothing(*_: object, **__: object) -> None:
    """In place of what MongoDB does."""


def given(command: str) -> Any:
    return settings_of(command, ENVIRONMENT)


async def pulled(subscription: Subscription) -> None:
    await subscription.pull(1)
    now = SystemClock().now()
    await subscription.ack([Delivery(Message(b"event", {}), "1", "1", 1, now)])


async def published(bus: Bus, topic: str = NAMES.topic) -> None:
    await GroupingPublisher(bus.publisher, topic).publish(Message(b"event", {}))


async def work_of_gateway(pubsub: MayOnly) -> None:
    settings: GatewaySettings = given("gateway")
    with over(pubsub):
        async with connected_bus(settings) as bus:
            probe = TopicProbe(bus.publisher, NAMES.topic, emulated=False)
            await gateway.main._look_for_topic(bus.topology, probe, emulated=False)
            if not await probe():
                raise TopologyMissing("an idle gateway is ready without a topic")
            await published(bus)


@dataclass(frozen=True)
class Source:
    """Of a plan without steps that need anything."""

    service: str

    def build(self, _: object) -> Plan:
        return cast("Plan", SimpleNamespace(service=self.service, steps=()))


async def work_of_consumer(service: str, pubsub: MayOnly) -> None:
    settings: ConsumerSettings = given("consumer")
    mongo: dict[str, Any] = {"connected_clients": Clients, "prepare": nothing}
    for name in ("MongoBreakerStore", "MongoJobStore", "MongoDeadLetterStore"):
        mongo[name] = lambda *_, **__: None
    with over(pubsub), patch.multiple(consumers.main, **mongo):
        source = cast("PlanSource", Source(service))
        async with consumers.main.connected(settings, source) as parts:
            if problem := await parts.attached():
                raise TopologyMissing(problem)
            await pulled(parts.subscription)


class Ending:
    """A part of recovery that stops the process as soon as everything has started."""

    async def consume(self, stopping: asyncio.Event) -> None:
        stopping.set()

    async def run(self, _: asyncio.Event) -> None:
        """End at once."""

    async def close(self, _: float) -> None:
        """Nothing is under way."""


async def work_of_recovery(pubsub: MayOnly) -> None:
    settings: RecoverySettings = given("recovery")
    parts: dict[str, Any] = {
        "serving": lambda *_, **__: nullcontext(),
        "create_app": lambda *_, **__: None,
        "ledger_of": lambda *_, **__: nullcontext(Ending()),
        "MongoJobStore": lambda *_, **__: None,
    }
    parts |= {name: lambda *_, **__: Ending() for name in ("_dead_letters", "_sweeps")}
    parts |= {name: lambda *_, **__: None for name in ("_ready", "_gauges")}
    client = cast("Any", Clients().get())
    with over(pubsub), patch.multiple(recovery.main, **parts):
        async with connected_bus(settings) as bus:
            stopping = asyncio.Event()
            await recovery.main._serve(settings, client, bus, cast("Any", None), None, stopping)
            for path in (NAMES.dead_letter_subscription, NAMES.ledger_subscription):
                await pulled(PullSubscription(bus.subscriber, path))
            await bus.topology.services()  # before it publishes again what a service lacks
            await published(bus)
            await published(bus, NAMES.completed_topic)


async def work_of_console(pubsub: MayOnly) -> None:
    settings: PubSubSettings = given("console")
    with over(pubsub):
        async with replaying(settings) as pubsub_of_replays:
            for service in SERVICES:
                await pubsub_of_replays.check_attached(service)
            await pubsub_of_replays.publisher.publish(Message(b"event", {}))


async def work_of_topology(services: Sequence[str], pubsub: MayOnly) -> None:
    settings: TopologySettings = given("topology")
    recorded = MemoryServiceStore()
    mongo: dict[str, Any] = {"connected_clients": Clients, "MongoServiceStore": lambda *_: recorded}
    for call in ("prepare_indexes", "apply_retention", "owing_services", "register_services"):
        mongo[call] = nothing
    plans = [cast("PlanSource", Source(service)) for service in services]
    with over(pubsub), patch.multiple(botdel.topology, **mongo):
        assert await botdel.topology.apply(settings, plans, only_services=bool(plans)) == 0


def _of_services() -> Iterator[tuple[str, Work]]:
    for service in SERVICES:
        yield f"consumer-{service}", partial(work_of_consumer, service)
        yield f"topology-{service}", partial(work_of_topology, [service])


WORK: Final[dict[str, Work]] = {
    "gateway": work_of_gateway,
    "recovery": work_of_recovery,
    "console": work_of_console,
    "topology": partial(work_of_topology, []),
    **dict(_of_services()),
}
