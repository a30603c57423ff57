"""Recovery while its broker or its database is away: at once, in time, and without a restart."""

import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest

from botdel.local.broker_choice import choose_broker
from botdel.local.database import EmbeddedMongo
from botdel.local.processes import free_port
from botdel.local.server import LocalBroker
from deletion.job import Status
from recovery.sweeper import INTERRUPTED
from tests.support.pipeline import WITHIN, Location, Pipeline, pipeline_at, pubsub, until
from tests.support.polling import SLACK, frozen
from tests.support.recovering import (
    GRACE,
    HOUR,
    SETTINGS,
    SWEEPS,
    Recovery,
    job,
    recovering,
    seed,
)

AT_ONCE = 5.0
"""Seconds; on an idle machine an answer takes milliseconds."""
MANY = 200
"""Jobs, in pages of four: a sweep of them takes seconds."""
IN_TIME = 12.0
"""Seconds; the process itself gives the database five."""


@dataclass
class World:
    """A broker and a database of this test's own, to be stopped at will."""

    broker: LocalBroker
    mongo: EmbeddedMongo
    pipeline: Pipeline


@pytest.fixture
async def world(project: str, tmp_path: Path) -> AsyncIterator[World]:
    """Neither is started yet."""
    broker = choose_broker(free_port()).broker
    mongo = EmbeddedMongo(tmp_path / "mongodb", free_port())
    location = Location(broker.host, mongo.uri, project, "recovery", tmp_path)
    async with pipeline_at(location, settings=SETTINGS) as pipeline:
        yield World(broker, mongo, pipeline)
    await broker.stop()
    await mongo.stop()


async def refused(recovery: Recovery) -> None:
    """A start is answered in time, with a problem that says when to come back."""
    begun = time.monotonic()
    answer = await recovery.http.post(SWEEPS)
    assert time.monotonic() - begun < IN_TIME
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
    assert answer.headers["content-type"] == "application/problem+json"


async def test_it_starts_before_anything_answers_and_becomes_ready_by_itself(
    world: World,
) -> None:
    async with recovering(world.pipeline) as recovery:
        assert (await recovery.http.get("/healthz")).text == "ok"
        assert not await recovery.is_ready()
        await refused(recovery)
        await world.broker.start()
        await world.mongo.start()
        await until(recovery.is_ready)
        await seed(world.pipeline, [job(Status.FAILED, silent=HOUR)])
        sweep = await recovery.ended(await recovery.started())
        assert sweep["status"] == "complete"


@pytest.mark.proves("recovery-at-once")
async def test_a_sweep_needs_no_pubsub_and_readiness_says_that_dead_letters_do(
    world: World,
) -> None:
    await world.broker.start()
    await world.mongo.start()
    await seed(world.pipeline, [job(Status.FAILED, silent=HOUR) for _ in range(10)])
    async with recovering(world.pipeline) as recovery:
        await until(recovery.is_ready)
        await world.broker.kill()
        begun = time.monotonic()
        sweep_id = await recovery.started()
        assert time.monotonic() - begun < AT_ONCE
        sweep = await recovery.ended(sweep_id)
        assert (sweep["status"], sweep["resumed"]) == ("complete", 10)
        assert not await until_unready(recovery)
        await world.broker.start()
        await until(recovery.is_ready)


async def until_unready(recovery: Recovery) -> bool:
    """Readiness is remembered for a second: wait until it tells of the outage."""

    async def unready() -> bool:
        return not await recovery.is_ready()

    await until(unready)
    return await recovery.is_ready()


@pytest.mark.proves("servers-away")
async def test_it_outlives_a_killed_database(world: World) -> None:
    await world.broker.start()
    await world.mongo.start()
    await seed(world.pipeline, [job(Status.FAILED, silent=HOUR) for _ in range(3)])
    async with recovering(world.pipeline) as recovery:
        before = await recovery.ended(await recovery.started())
        await world.mongo.kill()
        await refused(recovery)
        shown = await recovery.http.get(f"{SWEEPS}/{before['sweep_id']}")
        assert shown.status_code == 503
        assert not await until_unready(recovery)
        await world.mongo.start()
        await until(recovery.is_ready)
        await seed(world.pipeline, [job(Status.FAILED, silent=HOUR) for _ in range(2)])
        after = await recovery.ended(await recovery.started())
        assert (after["status"], after["resumed"]) == ("complete", 2)
        assert await recovery.shown(before["sweep_id"]) == before


async def test_a_terminated_process_ends_its_sweep_as_interrupted_and_the_next_goes_on(
    world: World,
) -> None:
    await world.broker.start()
    await world.mongo.start()
    await seed(world.pipeline, [job(Status.FAILED, silent=HOUR) for _ in range(MANY)])
    async with recovering(world.pipeline) as recovery:
        sweep_id = await recovery.started()

        async def under_way() -> bool:
            return bool((await recovery.shown(sweep_id))["resumed"])

        await until(under_way)
        begun = time.monotonic()
        recovery.process.terminate()
        assert await recovery.process.wait(WITHIN) == 0
        assert time.monotonic() - begun < GRACE + SLACK
    async with recovering(world.pipeline) as successor:
        ended = await successor.shown(sweep_id)
        assert (ended["status"], ended["error"]) == ("failed", INTERRUPTED)
        sweep = await successor.ended(await successor.started())
        assert (sweep["status"], ended["resumed"] + sweep["resumed"]) == ("complete", MANY)


async def test_a_sweep_in_a_database_that_hangs_does_not_hold_a_terminated_process(
    world: World,
) -> None:
    await world.broker.start()
    await world.mongo.start()
    await seed(world.pipeline, [job(Status.FAILED, silent=HOUR) for _ in range(MANY)])
    async with recovering(world.pipeline) as recovery:
        await recovery.started()
        async with frozen(world.mongo.pid):
            begun = time.monotonic()
            recovery.process.terminate()
            assert await recovery.process.wait(WITHIN) == 0
            assert time.monotonic() - begun < GRACE + SLACK


async def test_a_terminated_process_exits_in_time_without_its_database(world: World) -> None:
    await world.broker.start()
    await world.mongo.start()
    async with recovering(world.pipeline) as recovery:
        await recovery.ended(await recovery.started())
        await world.mongo.kill()
        await refused(recovery)
        begun = time.monotonic()
        recovery.process.terminate()
        assert await recovery.process.wait(WITHIN) == 0
        assert time.monotonic() - begun < GRACE + SLACK


@pytest.mark.proves("lost-topic")
async def test_a_dead_letter_subscription_that_lost_its_topic_is_said_by_readiness(
    world: World,
) -> None:
    await world.broker.start()
    await world.mongo.start()
    async with recovering(world.pipeline) as recovery, pubsub(world.pipeline) as (publisher, _):
        await until(partial(recorder_works, recovery))
        topic = world.pipeline.names.dead_letter_topic
        await publisher.delete_topic(topic=topic)
        await publisher.create_topic(name=topic)
        answer = await recovery.http.get("/readyz")
        assert (answer.status_code, "_deleted-topic_" in answer.text) == (503, True)
        assert "botdel topology apply" in answer.text


@pytest.mark.proves("letters-recorded")
async def test_without_pubsub_the_recorder_of_dead_letters_says_since_when(world: World) -> None:
    await world.mongo.start()
    async with recovering(world.pipeline) as recovery:
        assert not await until_unready(recovery)
        answer = await recovery.http.get("/readyz")
        assert "no dead letters recorded since 2" in answer.text
        assert not await recorder_works(recovery)


async def recorder_works(recovery: Recovery) -> bool:
    """As its metrics say."""
    metrics = (await recovery.http.get("/metrics")).text
    return "botdel_recovery_dead_letters_recording 1.0" in metrics
