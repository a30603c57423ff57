"""A client asks for a bot to be deleted, and that is all it ever has to do."""

import uuid
from collections.abc import AsyncIterator

import httpx
import pytest
from bson import ObjectId

from deletion.adapters.unproxied import unproxied
from tests.support.pipeline import SERVICE, TOKEN, WITHIN, Pipeline, listening, until

SECOND = "analytics"


@pytest.fixture
async def gateway(pipeline: Pipeline) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the gateway, with two services behind it."""
    second = pipeline.folder / "second.yaml"
    second.write_text(
        f"service: {SECOND}\n"
        "steps:\n"
        "  - name: events\n"
        f"    mongo: {{database: {pipeline.database}, collection: events, field: bot, "
        "field_type: string, batch_size: 7}\n"
    )
    arguments = ("consumer", "--plan", str(second), "--port", "0")
    async with (
        pipeline.process("gateway", "botdel.cli", "gateway", "--port", "0") as process,
        pipeline.consumer() as first,
        pipeline.process(SECOND, "botdel.cli", *arguments) as other,
    ):
        url = await listening(process)
        await listening(first)
        await listening(other)
        headers = {"Authorization": f"Bearer {TOKEN}"}
        async with unproxied(base_url=url, headers=headers, timeout=WITHIN) as client:
            yield client


@pytest.mark.proves("nobody-else")
async def test_one_delete_empties_every_service_of_the_bot_and_of_no_other(
    pipeline: Pipeline, gateway: httpx.AsyncClient
) -> None:
    bot, other = await pipeline.fill(120, 40)
    events = pipeline.client[pipeline.database]["events"]
    await events.insert_many([{"bot": owner} for owner in (bot, other) for _ in range(50)])

    answer = await gateway.delete(f"/v1/bots/{bot}")

    assert answer.status_code == 202
    assert answer.json()["bot_id"] == bot
    await until(lambda: _complete(pipeline, bot, jobs=2))
    assert await pipeline.left(bot) == 0
    assert await events.count_documents({"bot": bot}) == 0
    assert await pipeline.left(other) == 40
    assert await events.count_documents({"bot": other}) == 50
    jobs = await pipeline.jobs.find({}).to_list(10)
    assert {job["service"]: job["steps"][0]["deleted"] for job in jobs} == {
        SERVICE: 120,
        SECOND: 50,
    }
    assert {job["eventId"] for job in jobs} == {answer.json()["event_id"]}


@pytest.mark.proves("idempotency-key")
async def test_a_repeated_request_with_its_key_is_the_same_event_and_one_job(
    pipeline: Pipeline, gateway: httpx.AsyncClient
) -> None:
    (bot,) = await pipeline.fill(30)
    key = {"Idempotency-Key": str(uuid.uuid4())}
    answers = [await gateway.delete(f"/v1/bots/{bot}", headers=key) for _ in range(3)]
    assert len({answer.json()["event_id"] for answer in answers}) == 1
    await until(lambda: _complete(pipeline, bot, jobs=2))

    again = await gateway.delete(f"/v1/bots/{bot}", headers=key)
    marker = await gateway.delete(f"/v1/bots/{ObjectId()}")
    assert (again.status_code, marker.status_code) == (202, 202)
    await until(lambda: _complete(pipeline, marker.json()["bot_id"], jobs=2))
    assert await _complete(pipeline, bot, jobs=2), "the repeat, delivered earlier, added nothing"


async def test_a_new_request_for_a_bot_deleted_before_is_a_new_job(
    pipeline: Pipeline, gateway: httpx.AsyncClient
) -> None:
    (bot,) = await pipeline.fill(10)
    await gateway.delete(f"/v1/bots/{bot}")
    await until(lambda: _complete(pipeline, bot, jobs=2))
    await pipeline.messages.insert_one({"botId": ObjectId(bot)})

    await gateway.delete(f"/v1/bots/{bot}")

    await until(lambda: _complete(pipeline, bot, jobs=4))
    assert await pipeline.left(bot) == 0


async def _complete(pipeline: Pipeline, bot: str, *, jobs: int) -> bool:
    found = await pipeline.jobs.find({"botId": ObjectId(bot)}).to_list(100)
    return [job["status"] for job in found] == ["complete"] * jobs
