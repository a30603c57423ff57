"""The database does what it is asked for, and its answer is lost: nobody half-owns anything.

No sweep runs here, and nothing is stale for ten minutes: a job that nobody runs would stay so.
"""

import time
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import datetime

import pytest

from botdel.local.database import EmbeddedMongo
from deletion.adapters.pubsub.subscription import PULL_SECONDS
from deletion.adapters.unproxied import unproxied
from deletion.job import Status
from tests.faults.replicas import NEVER_STALE, taken
from tests.support.pipeline import WITHIN, Pipeline, listening, publish, request_placed, until
from tests.support.polling import SLACK, eventually
from tests.support.proxy import Proxy
from tests.support.recovering import job, seed

EVENTS = 20
GRACE = 4.0
"""Seconds; far below the fifteen for which recording is tried."""
JOBS = b"\x0e\x00\x00\x00deletion_jobs\x00"
INSERT, UPDATE, FIND = (b"\x02" + name + b"\x00" + JOBS for name in (b"insert", b"update", b"find"))
"""How a command on the collection of jobs begins: https://bsonspec.org."""


@pytest.fixture
async def proxy(mongo: EmbeddedMongo) -> AsyncIterator[Proxy]:
    async with Proxy(mongo.port) as proxy:
        yield proxy


@pytest.fixture
def product(pipeline: Pipeline, mongo: EmbeddedMongo, proxy: Proxy) -> Pipeline:
    """The same, with a database of which answers may be lost."""
    pipeline.settings |= NEVER_STALE
    uri = mongo.uri.replace(f":{mongo.port}/", f":{proxy.port}/")
    return replace(pipeline, mongo_uri=uri)


@pytest.mark.proves("lost-answer")
@pytest.mark.parametrize("times", [1, 3])
@pytest.mark.parametrize("request_", [INSERT, UPDATE, FIND], ids=["insert", "update", "find"])
async def test_a_lost_answer_leaves_no_job_that_nobody_runs(
    pipeline: Pipeline, product: Pipeline, proxy: Proxy, request_: bytes, times: int
) -> None:
    """That of recording, of claims, checkpoints and ends, and of the look for what is due."""
    bots = await pipeline.fill(*[5] * EVENTS)
    async with product.consumer() as consumer, unproxied(timeout=WITHIN) as http:
        url = await listening(consumer)
        proxy.lose_answer_to(request_, times)
        await publish(pipeline, *(request_placed(bot) for bot in bots))
        await until(lambda: _all_complete(pipeline, EVENTS))

        async def acked() -> bool:  # their jobs may be complete before recording is answered
            outcomes = await taken(http, url)
            return outcomes["recorded"] + outcomes["known"] >= EVENTS

        await until(acked)
        assert proxy.lost == times
        assert (await taken(http, url))["returned"] == 0
    assert Counter(job["attempt"] for job in await pipeline.jobs.find().to_list(None)) == {
        1: EVENTS
    }
    assert await pipeline.messages.count_documents({}) == 0


@pytest.mark.proves("lost-answer")
async def test_a_lost_answer_to_a_join_joins_once(
    pipeline: Pipeline, product: Pipeline, proxy: Proxy
) -> None:
    (bot,) = await pipeline.fill(5)
    first, *later = (request_placed(bot) for _ in range(6))
    product.settings["BOTDEL_CONSUMER_SLOTS"] = "1"
    async with product.consumer() as consumer:
        await listening(consumer)
        busy = await _keep_live(pipeline, bot, first.event_id)
        proxy.lose_answer_to(UPDATE)
        await publish(pipeline, *later)

        async def joined() -> bool:
            job = await pipeline.job_of(bot)
            return bool(job and len(job["eventIds"]) == 1 + len(later))

        await until(joined)
        assert proxy.lost == 1
        marker = request_placed("65f0a1b2c3d4e5f607182930")
        await publish(pipeline, *later, marker)
        await until(lambda: pipeline.has_status(marker.bot_id, "complete"))
    job = await pipeline.job_of(bot)
    assert job
    assert sorted(job["eventIds"]) == sorted([first.event_id, *(each.event_id for each in later)])
    assert (job["status"], job["placedAt"] > busy) == ("exhausted", True)


@pytest.mark.proves("lost-answer")
async def test_events_whose_recording_is_never_answered_go_back_and_their_jobs_run_meanwhile(
    pipeline: Pipeline, product: Pipeline, proxy: Proxy
) -> None:
    """For longer than a group is tried; when they come again they are known."""
    bots = await pipeline.fill(*[5] * EVENTS)
    async with product.consumer() as consumer, unproxied(timeout=WITHIN) as http:
        url = await listening(consumer)
        proxy.lose_answer_to(INSERT, times=1_000)
        await publish(pipeline, *(request_placed(bot) for bot in bots))
        await until(lambda: _all_complete(pipeline, EVENTS))
        await consumer.wait_for_line(lambda line: '"events handed back"' in line, WITHIN)
        proxy.heal()

        async def known() -> bool:
            return (await taken(http, url))["known"] >= EVENTS

        await until(known)
    assert Counter(job["attempt"] for job in await pipeline.jobs.find().to_list(None)) == {
        1: EVENTS
    }


@pytest.mark.proves("hand-over")
async def test_a_terminated_consumer_that_records_in_vain_ends_within_its_grace(
    pipeline: Pipeline, product: Pipeline, proxy: Proxy
) -> None:
    product.settings["BOTDEL_SHUTDOWN_GRACE_SECONDS"] = str(GRACE)
    bots = await pipeline.fill(*[5] * EVENTS)
    async with product.consumer() as consumer:
        await listening(consumer)
        proxy.lose_answer_to(INSERT, times=1_000)
        await publish(pipeline, *(request_placed(bot) for bot in bots))
        await eventually(lambda: proxy.lost > 0, WITHIN)
        began = time.monotonic()
        consumer.terminate()
        assert await consumer.wait(WITHIN) == 0
        assert time.monotonic() - began < GRACE + PULL_SECONDS + SLACK
    proxy.heal()
    async with product.consumer():
        await until(lambda: _all_complete(pipeline, EVENTS))


async def _keep_live(pipeline: Pipeline, bot: str, event_id: str) -> datetime:
    """Store an exhausted job of the bot, which stays live and changes only through joins. Returns
    its `placed_at`.
    """
    exhausted = replace(job(Status.EXHAUSTED), bot_id=bot, event_ids=(event_id,))
    await seed(pipeline, [exhausted])
    return exhausted.placed_at


async def _all_complete(pipeline: Pipeline, count: int) -> bool:
    return int(await pipeline.jobs.count_documents({"status": "complete"})) == count
