"""Every query of the step that deletes from a collection walks its index."""

from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pytest
from bson import ObjectId

from deletion.adapters.mongo.step import MongoStep
from tests.support.measured import CROWD, Watched, public

BOTS = [ObjectId() for _ in range(4)]


@pytest.fixture(params=["objectid", "string"])
async def step(request: pytest.FixtureRequest, watched: Watched) -> MongoStep:
    """A step with batches of three; each bot has ten documents among many others."""
    collection = watched.database[f"messages_{uuid4().hex[:8]}"]
    of_type: Callable[[ObjectId], Any] = str if request.param == "string" else lambda bot: bot
    await collection.insert_many([{"bot": of_type(ObjectId())} for _ in range(CROWD)])
    await collection.insert_many([{"bot": of_type(bot)} for _ in range(10) for bot in BOTS])
    return MongoStep("messages", collection, "bot", request.param, batch_size=3)


async def run(step: MongoStep) -> int:
    """Delete one batch, resume from its cursor to the end, and return the number of batches."""
    bot = str(BOTS[0])
    assert await step.count(bot) == 10
    assert not await step.is_empty(bot)
    batches = step.delete(bot, None)
    first = await anext(batches)
    await batches.aclose()
    later = [batch async for batch in step.delete(bot, first.cursor)]
    assert first.deleted + sum(batch.deleted for batch in later) == 10
    assert await step.is_empty(bot)
    return 1 + len(later)


def test_every_method_of_the_step_is_called_here() -> None:
    others = {"faults", "bots", "forbidden"}  # they read a hundred documents at most, or none
    assert public(MongoStep) - others == {"count", "delete", "is_empty", "missing", "provide"}


@pytest.mark.proves("every-query-indexed")
async def test_every_query_of_a_step_walks_its_index(step: MongoStep, watched: Watched) -> None:
    await step.provide()
    assert await step.missing() is None
    watched.watch()
    batches = await run(step)
    assert await watched.scans() == []
    assert batches == 4
    what = "a count, two read-backs, two searches for ids, and a deletion for each batch"
    assert len(watched.listener.queries) == 1 + 2 + 2 + batches, what


async def test_it_is_seen_and_reported_when_the_index_of_a_step_is_missing(
    step: MongoStep, watched: Watched
) -> None:
    said = await step.missing()
    assert said is not None
    assert "(bot, _id)" in said
    watched.watch()
    batches = await run(step)
    scanning = [set(query["filter"]) for query in await watched.scans()]
    assert scanning.count({"bot"}) >= 2, "a first look for ids, and the last read-back"
    assert batches == 4


async def test_a_step_deletes_the_documents_of_its_bot_and_no_other(step: MongoStep) -> None:
    await run(step)
    assert await step.collection.count_documents({}) == CROWD + 30
    assert not any([await step.is_empty(str(bot)) for bot in BOTS[1:]])
