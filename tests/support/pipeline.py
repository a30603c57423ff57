"""A service with data on the real broker and database, and the product's processes around it."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import grpc
from bson import ObjectId
from google.pubsub_v1.services.publisher import PublisherAsyncClient
from google.pubsub_v1.services.publisher.transports import PublisherGrpcAsyncIOTransport
from google.pubsub_v1.services.subscriber import SubscriberAsyncClient
from google.pubsub_v1.services.subscriber.transports import SubscriberGrpcAsyncIOTransport
from google.pubsub_v1.types import PubsubMessage, Subscription
from pymongo import AsyncMongoClient

from botdel.local.processes import ChildProcess
from deletion.adapters.mongo.services import COLLECTION as SERVICES
from deletion.adapters.pubsub.names import Names
from deletion.adapters.pubsub.topology import Topology
from deletion.adapters.unproxied import unproxied
from deletion.events import BotDeletionSubject, RequestPlaced, to_message
from recovery.client import Exit
from tests.support.forked import ForkedProcess

SERVICE = "conversations"
STALE_AFTER = 5
"""Seconds; short, so that a test need not wait long, but not so short that a busy machine, which
may not schedule a process for a second or two, makes a run lose its job.
"""
REST = 0.1
"""Seconds a job rests after its first failure; four times as long after each further one."""
ACK_DEADLINE = 10
"""Seconds; Pub/Sub's minimum. Messages that a killed process had pulled come back after it."""
WITHIN = 90.0
"""Seconds; far longer than anything takes that a test waits for."""
DELETED_WITHIN = 20.0
"""Seconds for the broker to delete the subscriptions of a test."""
TOKEN = "a-token-for-tests-alone"


class Location(NamedTuple):
    """The addresses of a pipeline's servers, and its own project, database and folder."""

    broker: str
    mongo_uri: str
    project: str
    database: str
    folder: Path


@dataclass
class Pipeline:
    """One test's own topic, subscription, jobs and data."""

    broker: str
    mongo_uri: str
    project: str
    database: str
    folder: Path
    client: AsyncMongoClient[dict[str, Any]]
    settings: dict[str, str] = field(default_factory=dict)
    batch_size: int = 10
    pace: str = ""
    """The step's pace as one line of YAML; the default if empty."""

    @property
    def env(self) -> dict[str, str]:
        """The settings of every process of this pipeline."""
        return {
            "PUBSUB_EMULATOR_HOST": self.broker,
            "GOOGLE_CLOUD_PROJECT": self.project,
            "BOTDEL_MONGODB_URI": self.mongo_uri,
            "BOTDEL_MONGODB_DATABASE": self.database,
            "BOTDEL_STALE_AFTER_SECONDS": str(STALE_AFTER),
            "BOTDEL_REST_SECONDS": str(REST),
            "BOTDEL_GATEWAY_TOKENS": TOKEN,
            "BOTDEL_RECOVERY_TOKEN": TOKEN,
            "BOTDEL_RECOVERY_PORT": "0",
            "BOTDEL_LOG_FORMAT": "json",
        } | self.settings

    @property
    def names(self) -> Names:
        return Names(self.project, "bot-deletion")

    @property
    def messages(self) -> Any:
        """The collection the service owns."""
        return self.client[self.database]["messages"]

    @property
    def jobs(self) -> Any:
        """The collection of jobs."""
        return self.client[self.database]["deletion_jobs"]

    @property
    def plan(self) -> Path:
        """The plan file of the service."""
        path = self.folder / "plan.yaml"
        path.write_text(
            f"service: {SERVICE}\n"
            "steps:\n"
            "  - name: messages\n"
            f"    mongo: {{database: {self.database}, collection: messages, field: botId, "
            f"batch_size: {self.batch_size}}}\n" + (f"    pace: {self.pace}\n" if self.pace else "")
        )
        return path

    async def fill(self, *counts: int) -> list[str]:
        """Create a bot for each count, with that many messages; return their ids."""
        bots = [ObjectId() for _ in counts]
        await self.messages.create_index([("botId", 1), ("_id", 1)])
        for bot, count in zip(bots, counts, strict=True):
            await self.messages.insert_many([{"botId": bot, "n": n} for n in range(count)])
        return [str(bot) for bot in bots]

    async def left(self, bot: str) -> int:
        """The number of messages that the bot still has."""
        return int(await self.messages.count_documents({"botId": ObjectId(bot)}))

    def process(
        self, name: str, *module_and_arguments: str, on_line: Callable[[str], None] | None = None
    ) -> ChildProcess:
        """A Python process of this pipeline, not yet started."""
        return ForkedProcess(name, module_and_arguments, env=self.env, on_line=on_line)

    def consumer(self, name: str = "consumer", plan: Path | None = None) -> ChildProcess:
        """`botdel consumer` with the service's plan, or with another one."""
        path = str(plan or self.plan)
        return self.process(name, "botdel.cli", "consumer", "--plan", path, "--port", "0")

    async def job_of(self, bot: str) -> dict[str, Any] | None:
        """The bot's only job, as stored."""
        found = await self.jobs.find({"botId": ObjectId(bot)}).to_list(2)
        assert len(found) <= 1, found
        return found[0] if found else None

    async def status_of(self, bot: str) -> str | None:
        """The status of the bot's only job."""
        job = await self.job_of(bot)
        return str(job["status"]) if job else None

    async def has_status(self, bot: str, status: str) -> bool:
        """Whether the bot's only job has that status."""
        return await self.status_of(bot) == status


@asynccontextmanager
async def pipeline_at(
    location: Location,
    *,
    settings: Mapping[str, str] | None = None,
    answer_seconds: float = 30,
    **others: Any,
) -> AsyncIterator[Pipeline]:
    """Yield a pipeline there; `others` are its remaining fields. No server has to run yet.

    Each database call of its client ends within `answer_seconds`.
    """
    client: AsyncMongoClient[dict[str, Any]] = AsyncMongoClient(
        location.mongo_uri, timeoutMS=int(answer_seconds * 1000), tz_aware=True
    )
    async with client:
        yield Pipeline(*location, client, dict(settings or {}), **others)


async def listening(process: ChildProcess) -> str:
    """Wait until a process of the product listens; return its URL."""
    line = await process.wait_for_line(lambda line: '"listening"' in line, WITHIN)
    return line.split('"url": "')[1].split('"')[0]


async def is_ready(url: str) -> bool:
    """Whether the process at `url` says that it is ready."""
    async with unproxied(timeout=WITHIN) as http:
        return (await http.get(f"{url}/readyz")).is_success


async def until(condition: Callable[[], Awaitable[bool]], within: float = WITHIN) -> None:
    """Return once `condition` holds; raises TimeoutError after `within` seconds."""
    async with asyncio.timeout(within):
        while not await condition():  # noqa: ASYNC110
            await asyncio.sleep(0.05)


def request_placed(bot: str) -> BotDeletionSubject:
    """A new event for the bot."""
    now = datetime.now(UTC)
    return BotDeletionSubject(str(uuid.uuid4()), now, bot, RequestPlaced(now))


async def create_topology(pipeline: Pipeline) -> None:
    """Create the topology as the product would, but with the shortest ack deadline."""
    async with pubsub(pipeline) as (publisher, subscriber):
        topology = Topology(publisher, subscriber, pipeline.names, emulated=True)
        await topology.apply()
        await subscriber.create_subscription(
            Subscription(
                name=pipeline.names.subscription(SERVICE),
                topic=pipeline.names.topic,
                ack_deadline_seconds=ACK_DEADLINE,
            )
        )


@asynccontextmanager
async def with_topology(pipeline: Pipeline) -> AsyncIterator[None]:
    """The topology of the pipeline, and in the end no subscription in its project: each costs the
    emulator CPU time while it exists.
    """
    await create_topology(pipeline)
    yield
    async with asyncio.timeout(DELETED_WITHIN), pubsub(pipeline) as (_, subscriber):
        async for each in await subscriber.list_subscriptions(
            project=f"projects/{pipeline.project}"
        ):
            await subscriber.delete_subscription(subscription=each.name)


async def register(pipeline: Pipeline) -> None:
    """Register the service, as `botdel topology apply` does; a consumer does so at its start."""
    services = pipeline.client[pipeline.database][SERVICES]
    await services.insert_one({"_id": SERVICE, "registeredAt": datetime.now(UTC)})


async def publish(pipeline: Pipeline, *subjects: BotDeletionSubject) -> None:
    """Publish events and wait until the broker has confirmed them."""
    async with pubsub(pipeline) as (publisher, _):
        messages = [to_message(subject) for subject in subjects]
        await publisher.publish(
            topic=pipeline.names.topic,
            messages=[PubsubMessage(data=m.data, attributes=m.attributes) for m in messages],
        )


@asynccontextmanager
async def pubsub(
    pipeline: Pipeline,
) -> AsyncIterator[tuple[PublisherAsyncClient, SubscriberAsyncClient]]:
    """Clients of this pipeline's broker, independent of this process's environment."""
    async with grpc.aio.insecure_channel(pipeline.broker) as channel:
        yield (
            PublisherAsyncClient(transport=PublisherGrpcAsyncIOTransport(channel=channel)),
            SubscriberAsyncClient(transport=SubscriberGrpcAsyncIOTransport(channel=channel)),
        )


async def sweep(pipeline: Pipeline, url: str) -> int:
    """Run the cron client against recovery at `url`, again if a busy database makes recovery look
    unready; return its last exit code.
    """
    argv = ("botdel.cli", "recover", "--url", url, "--wait")
    for _ in range(3):
        async with pipeline.process("cron", *argv) as cron:
            code = await cron.wait(WITHIN)
        if code != Exit.UNHEALTHY:
            break
        await asyncio.sleep(1)  # the database gets time to catch up
    return code


THOUSAND = 1000


async def publish_raw(pipeline: Pipeline, *bodies: bytes, **attributes: str) -> None:
    """Publish bytes that are not an event."""
    async with pubsub(pipeline) as (publisher, _):
        for first in range(0, len(bodies), THOUSAND):
            messages = [
                PubsubMessage(data=body, attributes=attributes)
                for body in bodies[first : first + THOUSAND]
            ]
            await publisher.publish(topic=pipeline.names.topic, messages=messages)


async def letters(pipeline: Pipeline) -> list[dict[str, Any]]:
    found = pipeline.client[pipeline.database]["dead_letters"].find({})
    return await found.to_list(2 * THOUSAND)
