"""Whatever a subscription loses is deleted in the end, and nobody has to act."""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pytest
from google.pubsub_v1.types import Subscription

from botdel.local.broker.journal import Journal
from botdel.local.broker.server import Server, steady_clock
from deletion.adapters.pubsub.seeking import seek
from deletion.adapters.pubsub.subscription import PullSubscription
from tests.support.pipeline import (
    SERVICE,
    WITHIN,
    Location,
    Pipeline,
    create_topology,
    pipeline_at,
    publish,
    pubsub,
    register,
    request_placed,
    until,
    with_topology,
)
from tests.support.recovering import (
    SETTINGS,
    recorded,
    recovering,
    settled,
    swept_until_settled,
)

MESSAGES = 3
"""Documents of each bot."""
HASTY = SETTINGS | {"BOTDEL_MISSING_AFTER_MINUTES": "0.02"}
"""A request is found missing after 1.2 s."""


@pytest.fixture
async def pipeline(location: Location) -> AsyncIterator[Pipeline]:
    async with pipeline_at(location, settings=HASTY) as pipeline, with_topology(pipeline):
        await register(pipeline)
        yield pipeline


async def purge(pipeline: Pipeline) -> None:
    """Lose every message of the service's subscription: seek it to the future."""
    async with pubsub(pipeline) as (_, subscriber):
        path = pipeline.names.subscription(SERVICE)
        await seek(subscriber, path, datetime.now(UTC) + timedelta(seconds=2))


async def all_gone(pipeline: Pipeline, bots: list[str]) -> bool:
    return sum([await pipeline.left(bot) for bot in bots]) == 0


@pytest.mark.proves("nothing-missing")
async def test_a_subscription_that_is_purged_under_load_loses_no_deletion(
    pipeline: Pipeline,
) -> None:
    bots = await pipeline.fill(*[MESSAGES] * 40)
    events = [request_placed(bot) for bot in bots]
    async with recovering(pipeline) as recovery:
        await publish(pipeline, *events[:20])
        await recorded(pipeline, 20)
        await purge(pipeline)
        async with pipeline.consumer():
            await asyncio.gather(publish(pipeline, *events[20:]), purge(pipeline))
            await recorded(pipeline, 40)
            await asyncio.sleep(2.5)  # until the time that the subscription was sought to
            await swept_until_settled(pipeline, recovery, 40)
        metrics = (await recovery.http.get("/metrics")).text
    assert await all_gone(pipeline, bots)
    [republished] = [
        float(line.split()[-1])
        for line in metrics.splitlines()
        if line.startswith("botdel_ledger_republished_total{")
    ]
    assert 20 <= republished <= 40
    assert await pipeline.jobs.count_documents({}) == 40, "each request is one job"


@pytest.mark.proves("nothing-missing")
async def test_a_subscription_that_is_deleted_and_made_again_loses_no_deletion(
    pipeline: Pipeline,
) -> None:
    bots = await pipeline.fill(*[MESSAGES] * 20)
    events = [request_placed(bot) for bot in bots]
    path, topic = pipeline.names.subscription(SERVICE), pipeline.names.topic
    async with recovering(pipeline) as recovery, pubsub(pipeline) as (_, subscriber):
        await publish(pipeline, *events[:10])
        await subscriber.delete_subscription(subscription=path)
        await publish(pipeline, *events[10:15])
        await subscriber.create_subscription(Subscription(name=path, topic=topic))
        await purge(pipeline)  # nothing that the topic keeps may help
        await asyncio.sleep(2.5)  # until the time that the subscription was sought to
        async with pipeline.consumer():
            await publish(pipeline, *events[15:])
            await recorded(pipeline, 20)
            await swept_until_settled(pipeline, recovery, 20)
    assert await all_gone(pipeline, bots)


@dataclass
class Away:
    """A clock that a test can move on."""

    clock: Callable[[], float] = field(default_factory=steady_clock)
    skipped: float = 0.0
    """Seconds."""

    def __call__(self) -> float:
        return self.clock() + self.skipped


@pytest.fixture
def away() -> Away:
    return Away()


@pytest.fixture
async def calendar(away: Away, location: Location) -> AsyncIterator[Pipeline]:
    """As `pipeline`, on a broker whose days pass when the test says so."""
    server = Server(Journal(None), away)
    port = await server.start("127.0.0.1:0")
    try:
        other = location._replace(broker=f"127.0.0.1:{port}")
        async with pipeline_at(other, settings=HASTY) as pipeline:
            await create_topology(pipeline)
            await register(pipeline)
            yield pipeline
    finally:
        await server.stop(0.0)


@pytest.mark.proves("nothing-missing")
async def test_a_service_that_is_away_beyond_the_retention_loses_no_deletion(
    calendar: Pipeline, away: Away
) -> None:
    pipeline = calendar
    bots = await pipeline.fill(*[MESSAGES] * 10)
    async with recovering(pipeline) as recovery:
        await publish(pipeline, *map(request_placed, bots))
        await recorded(pipeline, 10)
        await recorded(pipeline, 10)
        away.skipped = timedelta(days=32).total_seconds()
        await until(lambda: nothing_kept(pipeline))
        async with pipeline.consumer():
            await swept_until_settled(pipeline, recovery, 10)
    assert await all_gone(pipeline, bots)


async def nothing_kept(pipeline: Pipeline) -> bool:
    """Whether the subscription keeps no message, not even acked ones that a seek would bring back.

    A pull that finds nothing waits for a message, so a seek back to the beginning comes first.
    """
    async with pubsub(pipeline) as (_, subscriber):
        path = pipeline.names.subscription(SERVICE)
        await seek(subscriber, path, datetime.now(UTC) - timedelta(days=1))
        return not await PullSubscription(subscriber, path).pull(1)


@pytest.mark.proves("announced")
async def test_a_killed_recovery_settles_and_announces_every_request(pipeline: Pipeline) -> None:
    bots = await pipeline.fill(*[MESSAGES] * 60)
    path = f"projects/{pipeline.project}/subscriptions/observer"
    completed = Subscription(name=path, topic=pipeline.names.completed_topic)
    async with pubsub(pipeline) as (_, subscriber), pipeline.consumer():
        await subscriber.create_subscription(completed)
        for first in range(0, 60, 20):
            async with recovering(pipeline) as recovery:
                await publish(pipeline, *map(request_placed, bots[first : first + 20]))
                await asyncio.sleep(0.5)  # it may be anywhere when it is killed
                recovery.process.kill()
                await recovery.process.wait(WITHIN)
        async with recovering(pipeline):
            await until(lambda: settled(pipeline, 60))
        observer, announced = PullSubscription(subscriber, path), set[str]()

        async def all_announced() -> bool:
            deliveries = await observer.pull(100)
            announced.update(each.message.attributes["bot_id"] for each in deliveries)
            await observer.ack(deliveries)
            return announced == set(bots)

        await until(all_announced)
    assert await all_gone(pipeline, bots)
