"""The pace of a step in a real consumer: in its record, in its metrics, and at its stop."""

import asyncio
import time
from collections.abc import Sequence
from functools import partial
from typing import Any

import pytest
from bson import ObjectId
from prometheus_client.parser import text_string_to_metric_families

from deletion.adapters.unproxied import unproxied
from deletion.job import Status
from tests.support.pipeline import (
    SERVICE,
    WITHIN,
    Pipeline,
    listening,
    publish,
    request_placed,
    until,
)

STOP_WITHIN = 10.0


async def step_of(pipeline: Pipeline, bot: str) -> dict[str, Any]:
    """The checkpoint of the only step of the bot's job."""
    job = await pipeline.job_of(bot)
    [step] = job["steps"] if job else [{}]
    return dict(step)


async def has_status(pipeline: Pipeline, bot: str, status: Status) -> bool:
    return await pipeline.status_of(bot) == status


async def has_deleted(pipeline: Pipeline, bots: Sequence[str], count: int) -> bool:
    """Whether so many items of one of the bots are gone, whichever had the first turn."""
    steps = [await step_of(pipeline, bot) for bot in bots]
    return any(int(step.get("deleted", 0)) >= count for step in steps)


async def throttled_seconds(url: str, by: str) -> float:
    """What the consumer's metrics say."""
    async with unproxied(timeout=WITHIN) as http:
        text = (await http.get(f"{url}/metrics")).text
    return sum(
        sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == "botdel_consumer_throttled_seconds_total"
        and sample.labels == {"service": SERVICE, "step": "messages", "by": by}
    )


@pytest.mark.proves("share-of-time")
async def test_what_held_a_run_back_is_in_its_record_and_in_the_metrics(pipeline: Pipeline) -> None:
    pipeline.pace = "{busy_share: 0.2}"
    [bot] = await pipeline.fill(60)
    async with pipeline.consumer() as consumer:
        url = await listening(consumer)
        await publish(pipeline, request_placed(bot))
        await until(partial(has_status, pipeline, bot, Status.COMPLETE))
        step = await step_of(pipeline, bot)
        assert step["deleted"] == 60
        assert step["throttled"]["by"] == "busy share 20 %"
        assert step["throttled"]["seconds"] > 0
        counted = await throttled_seconds(url, "busy_share")
        assert counted == pytest.approx(step["throttled"]["seconds"])
        assert await throttled_seconds(url, "pressure") == 0
    assert await pipeline.left(bot) == 0


@pytest.mark.proves("held-back")
async def test_a_run_that_waits_for_its_turn_hands_its_job_over_at_once(pipeline: Pipeline) -> None:
    """At 0.1 %, a batch of milliseconds is followed by a pause of seconds."""
    pipeline.pace = "{busy_share: 0.001}"
    bots = await pipeline.fill(500, 500)
    async with pipeline.consumer() as consumer:
        await listening(consumer)
        await publish(pipeline, *map(request_placed, bots))
        await until(partial(has_deleted, pipeline, bots, 10))
        began = time.monotonic()
        await consumer.stop(STOP_WITHIN)
        assert time.monotonic() - began < STOP_WITHIN / 2
    for bot in bots:
        job = await pipeline.job_of(bot)
        assert job is not None
        assert job["status"] == Status.FAILED
        assert job["failure"]["interrupted"]
        assert job["attempt"] == 0
        assert await pipeline.left(bot) > 0


@pytest.mark.proves("pressure")
async def test_under_pressure_a_run_waits_until_the_gauge_falls(pipeline: Pipeline) -> None:
    level = [b"30"]

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        head = f"HTTP/1.1 200 OK\r\ncontent-length: {len(level[0])}\r\nconnection: close\r\n\r\n"
        writer.write(head.encode() + level[0])
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/load"
        gauge = f"{{gauge: {{url: '{url}'}}, slow_above: 10, wait_above: 20}}"
        pipeline.pace = f"{{busy_share: 1, pressure: {gauge}}}"
        [bot] = await pipeline.fill(60)
        async with pipeline.consumer() as consumer:
            await listening(consumer)
            await publish(pipeline, request_placed(bot))
            await until(partial(is_held_by, pipeline, bot, "gauge 30"))
            assert await pipeline.left(bot) >= 50, "one batch a minute at most"
            level[0] = b"3"
            await until(partial(has_status, pipeline, bot, Status.COMPLETE))
    assert await pipeline.left(bot) == 0


async def is_held_by(pipeline: Pipeline, bot: str, why: str) -> bool:
    throttled = (await step_of(pipeline, bot)).get("throttled") or {}
    return throttled.get("by") == why


@pytest.mark.proves("expected-data")
async def test_a_job_whose_plan_expects_something_fails_when_it_never_found_any(
    pipeline: Pipeline,
) -> None:
    plan = pipeline.folder / "wrong.yaml"
    text = pipeline.plan.read_text()
    assert text.count("field: botId") == 1
    plan.write_text(text.replace("field: botId", "field: bot") + "    expect: nonzero\n")
    [bot] = await pipeline.fill(5)
    command = ("botdel.cli", "consumer", "--plan", str(plan), "--port", "0")
    async with pipeline.process("consumer", *command) as consumer:
        await listening(consumer)
        await publish(pipeline, request_placed(bot))
        await until(partial(has_status, pipeline, bot, Status.FAILED))
    job = await pipeline.job_of(bot)
    assert job is not None
    assert job["failure"]["type"] == "NothingFound"
    assert "step messages has never found anything" in job["failure"]["message"]
    assert await pipeline.left(bot) == 5


@pytest.mark.proves("expected-data")
async def test_a_second_request_for_a_bot_that_was_deleted_completes(pipeline: Pipeline) -> None:
    plan = pipeline.folder / "strict.yaml"
    plan.write_text(pipeline.plan.read_text() + "    expect: nonzero\n")
    [bot] = await pipeline.fill(5)
    command = ("botdel.cli", "consumer", "--plan", str(plan), "--port", "0")
    async with pipeline.process("consumer", *command) as consumer:
        await listening(consumer)
        for times in (1, 2):
            await publish(pipeline, request_placed(bot))
            await until(partial(are_complete, pipeline, bot, times))
    found = await pipeline.jobs.find({"botId": ObjectId(bot)}).sort("_id", 1).to_list(3)
    assert [job["steps"][0]["deleted"] for job in found] == [5, 0]
    assert [job["steps"][0].get("found") for job in found] == [True, None]


async def are_complete(pipeline: Pipeline, bot: str, count: int) -> bool:
    query = {"botId": ObjectId(bot), "status": Status.COMPLETE}
    return bool(await pipeline.jobs.count_documents(query) == count)
