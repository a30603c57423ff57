"""Where the fault suite plays: servers behind proxies, two services, every process there is."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final
from uuid import uuid4

from google.pubsub_v1.types import DeadLetterPolicy, Subscription

from botdel.local.database import EmbeddedMongo
from botdel.local.processes import ChildProcess, free_port
from botdel.local.server import LocalBroker
from deletion.adapters.pubsub.wanted import MAX_DELIVERY_ATTEMPTS
from tests.faults.data import OWNED, SERVICES, Data
from tests.faults.schedule import BROKER, DATABASE, GATEWAY, RECOVERY, STALE_AFTER, Schedule
from tests.faults.supervised import GRACE, OnLine, Supervised
from tests.support.forked import ForkedProcess
from tests.support.pipeline import ACK_DEADLINE, Location, Pipeline, pipeline_at, pubsub
from tests.support.proxy import Proxy

PACE: Final = 0.4
"""Seconds each batch, and each recording, takes longer, so that faults find them under way."""
SETTINGS: Final = {
    "BOTDEL_STALE_AFTER_SECONDS": str(STALE_AFTER),
    "BOTDEL_REST_SECONDS": "0",  # attempts are many here, and each would rest for longer
    "BOTDEL_RETRY_SECONDS": "20",
    "BOTDEL_MAX_ATTEMPTS": "50",  # so many that faults alone exhaust few jobs, if any
    "BOTDEL_SHUTDOWN_GRACE_SECONDS": str(GRACE),
}
DATABASE_SECONDS: Final = 60.0
"""Bound of a database call by the suite itself; longer than any fault lasts."""


@dataclass
class Stage:
    """Everything of one run. The suite's own clients go directly, the product's through proxies."""

    direct: Pipeline
    product: Pipeline
    broker: LocalBroker
    mongo: EmbeddedMongo
    proxies: Mapping[str, Proxy]
    urls: Mapping[str, str]
    processes: dict[str, Supervised] = field(default_factory=dict)

    @property
    def ledger(self) -> Path:
        """Where every consumer enters what it does."""
        return self.direct.folder / "ledger.jsonl"

    @property
    def data(self) -> Data:
        """What the services own."""
        return Data(self.direct.client[self.direct.database])


@asynccontextmanager
async def staged(schedule: Schedule, folder: Path, broker: LocalBroker) -> AsyncIterator[Stage]:
    """Servers, proxies, topology and processes; everything is stopped at the end."""
    async with AsyncExitStack() as stack:
        stage = await _servers(stack, folder, broker)
        await create_topology(stage.direct)
        for name, url in stage.urls.items():
            stage.processes[name] = _served(stage, name, url)
        for name, skew in schedule.skews.items():
            stage.processes[name] = _consumer(stage, name, skew)
        processes = stage.processes.values()
        stack.push_async_callback(_all, [process.stop for process in processes])
        await _all([process.start for process in processes])
        yield stage


async def _servers(stack: AsyncExitStack, folder: Path, broker: LocalBroker) -> Stage:
    """The stage before anybody is on it."""
    await stack.enter_async_context(broker)
    mongo = await stack.enter_async_context(EmbeddedMongo(folder / "mongodb"))
    to_broker = await stack.enter_async_context(Proxy(broker.port))
    to_database = await stack.enter_async_context(Proxy(mongo.port))
    name = uuid4().hex[:16]
    location = Location(broker.host, mongo.uri, f"test-{name}", f"test_{name}", folder)
    direct = await stack.enter_async_context(
        pipeline_at(location, settings=SETTINGS, answer_seconds=DATABASE_SECONDS)
    )
    product = replace(
        direct,
        broker=f"127.0.0.1:{to_broker.port}",
        mongo_uri=mongo.uri.replace(f":{mongo.port}/", f":{to_database.port}/"),
    )
    urls = {name: f"http://127.0.0.1:{free_port()}" for name in (GATEWAY, RECOVERY)}
    return Stage(direct, product, broker, mongo, {BROKER: to_broker, DATABASE: to_database}, urls)


async def create_topology(pipeline: Pipeline) -> None:
    """As the product would, but with ack deadlines that a test can wait for, and no back-off.

    With a retry policy the emulator loses messages for good that are nacked while connections are
    cut (62 of 3,534, without one none of 5,001), which Pub/Sub does not.
    """
    names = pipeline.names
    dead_letters = DeadLetterPolicy(
        dead_letter_topic=names.dead_letter_topic, max_delivery_attempts=MAX_DELIVERY_ATTEMPTS
    )
    keeper = Subscription(name=names.dead_letter_subscription, topic=names.dead_letter_topic)
    wanted = [keeper] + [
        Subscription(
            name=names.subscription(service),
            topic=names.topic,
            dead_letter_policy=dead_letters,
        )
        for service in SERVICES
    ]
    async with pubsub(pipeline) as (publisher, subscriber):
        for topic in (names.topic, names.dead_letter_topic):
            await publisher.create_topic(name=topic)
        for subscription in wanted:
            subscription.ack_deadline_seconds = ACK_DEADLINE
            await subscriber.create_subscription(subscription)


async def _all(calls: Sequence[Callable[[], Awaitable[None]]]) -> None:
    """Every call to its end, then the first error there was."""
    for outcome in await asyncio.gather(*(call() for call in calls), return_exceptions=True):
        if outcome is not None:
            raise outcome


def _served(stage: Stage, command: str, url: str) -> Supervised:
    """Gateway or recovery, on the same port after each start."""
    port = url.rpartition(":")[-1]

    def make(_: float, on_line: OnLine) -> ChildProcess:
        return _process(stage, command, on_line, "botdel.cli", command, "--port", port)

    return Supervised(command, make, 0.0, stage.direct.folder / f"{command}.log")


def _consumer(stage: Stage, name: str, skew: float) -> Supervised:
    owned = next(owned for owned in OWNED if name.startswith(owned.service))
    plan = stage.direct.folder / f"{owned.service}.yaml"
    plan.write_text(owned.plan(stage.direct.database))

    def make(skew: float, on_line: OnLine) -> ChildProcess:
        paces = (f"--pace={PACE}", f"--record-pace={PACE}")
        options = (str(plan), str(stage.ledger), f"--skew={skew:.3f}", *paces)
        return _process(stage, name, on_line, "tests.faults.faulty_consumer", *options)

    return Supervised(name, make, skew, stage.direct.folder / f"{name}.log")


def _process(stage: Stage, name: str, on_line: OnLine, *arguments: str) -> ChildProcess:
    return ForkedProcess(name, arguments, env=stage.product.env, on_line=on_line)
