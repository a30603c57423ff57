"""`botdel plan`: a plan is looked at on the real parts, and nothing is deleted."""

import json
from functools import partial
from pathlib import Path

import pytest
from bson import ObjectId

from tests.support.commands import botdel, output_of
from tests.support.pipeline import SERVICE, Pipeline, publish, request_placed, until

DATA, INDEX = f"data of step {SERVICE}/messages", f"step {SERVICE}/messages"


def changed(pipeline: Pipeline, old: str, new: str) -> Path:
    """A plan file like the pipeline's, but for one thing."""
    text = pipeline.plan.read_text()
    assert text.count(old) == 1, text
    path = pipeline.folder / "changed.yaml"
    path.write_text(text.replace(old, new))
    return path


async def checked(
    pipeline: Pipeline, plan: Path, *form: str
) -> tuple[int, dict[str, tuple[str, str]]]:
    """The exit code, and for each check its status and detail."""
    code, lines = await botdel(pipeline, "plan", "check", str(plan), "--json", *form)
    return code, {one["check"]: (one["status"], one["detail"]) for one in json.loads(lines[-1])}


async def has_deleted(pipeline: Pipeline, bot: str, count: int) -> bool:
    """Its job is complete, and has counted so many."""
    query = {"botId": ObjectId(bot), "status": "complete", "steps.deleted": count}
    return await pipeline.jobs.find_one(query) is not None


@pytest.mark.proves("preview")
async def test_a_preview_counts_what_is_deleted_later_and_deletes_nothing(
    pipeline: Pipeline,
) -> None:
    bot, _ = await pipeline.fill(25, 5)
    previewed = await output_of(pipeline, "plan", "preview", str(pipeline.plan), bot)
    assert previewed["failures"] == {}
    assert (previewed["service"], previewed["bot_id"]) == (SERVICE, bot)
    assert previewed["steps"] == {"messages": 25}
    assert await pipeline.messages.count_documents({}) == 30
    assert await pipeline.jobs.count_documents({}) == 0
    async with pipeline.consumer():
        await publish(pipeline, request_placed(bot))
        await until(partial(has_deleted, pipeline, bot, previewed["steps"]["messages"]))


async def test_a_preview_of_an_id_that_is_none_is_refused(pipeline: Pipeline) -> None:
    code, lines = await botdel(pipeline, "plan", "preview", str(pipeline.plan), "bot-7")
    assert (code, lines[-1]) == (2, "botdel: BOT_ID: expected 24 hex digits, found 'bot-7'")


async def test_a_plan_that_fits_its_data_passes_and_changes_nothing(pipeline: Pipeline) -> None:
    await pipeline.fill(25)
    code, found = await checked(pipeline, pipeline.plan)
    assert (code, found[DATA]) == (0, ("ok", "the sampled data agrees with the plan"))
    assert found[INDEX][0] == "ok"
    assert await pipeline.messages.count_documents({}) == 25
    assert await pipeline.client[pipeline.database].list_collection_names() == ["messages"]


@pytest.mark.proves("preview")
@pytest.mark.parametrize(
    ("old", "new", "detail"),
    [
        ("field: botId", "field: bot", ".messages: bot is missing in 25 of 25"),
        ("field: botId", "field: n", ".messages: n is int in 25 of 25"),
        (
            "field: botId",
            "field: botId, field_type: string",
            ".messages: botId is objectid in 25 of 25",
        ),
        (
            "field: botId",
            "field: botIds",
            ".messages: botIds is a list, which may hold others' ids",
        ),
    ],
)
async def test_a_plan_that_does_not_fit_its_data_fails_with_what_was_found(
    pipeline: Pipeline, old: str, new: str, detail: str
) -> None:
    await pipeline.fill(25)
    if "botIds" in new:
        await pipeline.messages.update_many({}, {"$set": {"botIds": [ObjectId()]}})
    code, found = await checked(pipeline, changed(pipeline, old, new))
    assert code == 1
    assert found[DATA][0] == "failed"
    assert detail in found[DATA][1]


async def test_a_consumer_may_start_over_an_odd_document_but_not_without_an_index(
    pipeline: Pipeline,
) -> None:
    await pipeline.fill(25)
    await pipeline.messages.insert_one({"of": "nobody"})
    code, found = await checked(pipeline, pipeline.plan)
    assert (code, found[DATA][0]) == (1, "failed")
    code, found = await checked(pipeline, pipeline.plan, "--start")
    assert (code, found[DATA][0]) == (0, "warning")
    assert ".messages: botId is missing in 1 of 26" in found[DATA][1]
    plan = changed(pipeline, "collection: messages", "collection: massages")
    code, found = await checked(pipeline, plan, "--start")
    assert (code, found[INDEX][0]) == (1, "failed")


async def test_a_collection_without_documents_is_told(pipeline: Pipeline) -> None:
    await pipeline.fill(25)
    plan = changed(pipeline, "collection: messages", "collection: massages")
    code, found = await checked(pipeline, plan)
    assert found[DATA] == ("warning", "there is no data here to check")
    assert (code, found[INDEX][0]) == (1, "failed"), "it has no index either"


async def test_a_server_that_does_not_answer_is_a_finding(pipeline: Pipeline) -> None:
    away = "collection: messages, uri: 'mongodb://127.0.0.1:1/?directConnection=true'"
    code, found = await checked(pipeline, changed(pipeline, "collection: messages", away))
    assert code == 1
    assert {status for status, _ in found.values()} == {"failed"}
