"""Broker and database go away and come back: the same processes go on."""

from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import httpx
import pytest

from botdel.local.broker_choice import choose_broker
from botdel.local.database import EmbeddedMongo
from botdel.local.server import LocalBroker
from deletion.adapters.pubsub.subscription import PULL_SECONDS
from deletion.adapters.unproxied import unproxied
from tests.support.pipeline import (
    TOKEN,
    WITHIN,
    Location,
    Pipeline,
    create_topology,
    listening,
    pipeline_at,
    publish,
    request_placed,
    sweep,
    until,
)
from tests.support.polling import SLACK, frozen


@pytest.fixture
async def own_broker() -> AsyncIterator[LocalBroker]:
    """One that may be killed."""
    async with choose_broker().broker as broker:
        yield broker


@pytest.fixture
async def own_mongo(tmp_path: Path) -> AsyncIterator[EmbeddedMongo]:
    """One that may be killed."""
    async with EmbeddedMongo(tmp_path / "mongodb") as mongo:
        yield mongo


@pytest.fixture
async def fragile(
    own_broker: LocalBroker,
    own_mongo: EmbeddedMongo,
    project: str,
    database_name: str,
    tmp_path: Path,
) -> AsyncIterator[Pipeline]:
    """A pipeline on servers of its own."""
    location = Location(own_broker.host, own_mongo.uri, project, database_name, tmp_path)
    async with pipeline_at(location) as pipeline:
        await create_topology(pipeline)
        yield pipeline


@pytest.mark.proves("servers-away")
async def test_a_restarted_emulator_that_forgot_everything_is_set_up_again_and_used(
    fragile: Pipeline, own_broker: LocalBroker
) -> None:
    first, second = await fragile.fill(30, 30)
    gateway = fragile.process("gateway", "botdel.cli", "gateway", "--port", "0")
    async with gateway, fragile.consumer() as consumer:
        url, probe = await listening(gateway), await listening(consumer)
        async with unproxied(headers={"Authorization": f"Bearer {TOKEN}"}, timeout=WITHIN) as http:
            assert (await http.delete(f"{url}/v1/bots/{first}")).status_code == 202
            await until(lambda: fragile.has_status(first, "complete"))

            await own_broker.kill()
            await until(lambda: _is_ready(http, probe, ready=False))
            await own_broker.restart()
            await until(lambda: _is_ready(http, probe, ready=True))

            answer = await http.delete(f"{url}/v1/bots/{second}", timeout=30)
            assert answer.status_code == 202
            await until(lambda: fragile.has_status(second, "complete"))
        assert consumer.running
    assert await fragile.left(second) == 0


@pytest.mark.proves("servers-away")
async def test_a_deletion_goes_on_after_the_database_was_killed_in_the_middle_of_it(
    fragile: Pipeline, own_mongo: EmbeddedMongo
) -> None:
    fragile.batch_size = 5
    bot, other = await fragile.fill(600, 50)
    recovery = fragile.process("recovery", "botdel.cli", "recovery", "--port", "0")
    async with fragile.consumer() as consumer, recovery:
        url = await listening(recovery)
        await listening(consumer)
        await publish(fragile, request_placed(bot))

        async def under_way() -> bool:
            job = await fragile.job_of(bot)
            return bool(job and job["steps"][0]["deleted"])

        await until(under_way)
        await own_mongo.kill()
        await own_mongo.restart()
        assert await fragile.status_of(bot) != "complete", "it was too quick to be interrupted"

        async def complete() -> bool:
            if await fragile.status_of(bot) == "complete":
                return True
            await sweep(fragile, url)
            return False

        await until(complete)
        assert consumer.running
    assert await fragile.left(bot) == 0
    assert await fragile.left(other) == 50


@pytest.mark.proves("servers-away")
async def test_events_that_arrive_while_the_database_is_away_are_handled_when_it_is_back(
    fragile: Pipeline, own_mongo: EmbeddedMongo
) -> None:
    bots = await fragile.fill(5, 5, 5)
    async with fragile.consumer() as consumer, unproxied(timeout=WITHIN) as http:
        probe = await listening(consumer)
        await until(lambda: _is_ready(http, probe, ready=True))
        await own_mongo.kill()
        await publish(fragile, *(request_placed(bot) for bot in bots))
        await until(lambda: _is_ready(http, probe, ready=False))
        await own_mongo.restart()
        await until(lambda: _all_complete(fragile, bots))
        assert consumer.running


@pytest.mark.proves("hand-over")
async def test_a_database_that_hangs_does_not_hold_a_terminated_consumer_beyond_its_grace(
    fragile: Pipeline, own_mongo: EmbeddedMongo
) -> None:
    fragile.batch_size = 5
    fragile.settings["BOTDEL_SHUTDOWN_GRACE_SECONDS"] = "4"
    (bot,) = await fragile.fill(600)
    async with fragile.consumer() as consumer:
        await listening(consumer)
        await publish(fragile, request_placed(bot))

        async def under_way() -> bool:
            job = await fragile.job_of(bot)
            return bool(job and job["steps"][0]["deleted"])

        await until(under_way)
        async with frozen(own_mongo.pid):
            consumer.terminate()
            assert await consumer.wait(within=4 + PULL_SECONDS + SLACK) == 0


async def _all_complete(pipeline: Pipeline, bots: Sequence[str]) -> bool:
    return all([await pipeline.has_status(bot, "complete") for bot in bots])


async def _is_ready(http: httpx.AsyncClient, url: str, *, ready: bool) -> bool:
    answer = await http.get(f"{url}/readyz")
    return (answer.status_code == 200) is ready
