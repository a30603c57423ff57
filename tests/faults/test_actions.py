"""Whoever acts is killed in the middle: the record says how far it came, and the rest is done."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from deletion.adapters.mongo.connection import Client
from deletion.adapters.mongo.operator_actions import COLLECTION, MongoActionStore
from deletion.clock import SystemClock
from deletion.job import Failure, Job, LeasePolicy, Status
from deletion.operating.actions import Actions
from deletion.operating.bulk import GROUP, UNCLEAR
from deletion.operating.jobs import Choice
from deletion.operating.record import SILENCE, ActionStatus, Outcome, WholeAction
from tests.faults.acting import actions_of, kinds_of
from tests.faults.faulty_consumer import SkewedClock
from tests.support.commands import botdel, output_of
from tests.support.pipeline import WITHIN, Pipeline, until
from tests.support.recovering import HOUR, job, seed

STALE_SECONDS = 600
POLICY = LeasePolicy(timedelta(seconds=STALE_SECONDS), 5)
COUNT = 1000
QUIET = 1.0
"""Seconds without a write, after which a killed process has none left."""


@pytest.fixture
async def exhausted(pipeline: Pipeline) -> list[Job]:
    pipeline.settings |= {
        "GOOGLE_CLOUD_PROJECT": "",
        "BOTDEL_STALE_AFTER_SECONDS": str(STALE_SECONDS),
        "BOTDEL_OPERATOR": "ada",
    }
    failure = Failure("Boom", "it broke", datetime.now(UTC))
    silent = [job(Status.EXHAUSTED, attempt=5, silent=HOUR) for _ in range(COUNT)]
    jobs = [replace(each, failure=failure) for each in silent]
    await seed(pipeline, jobs)
    return jobs


async def retried(pipeline: Pipeline) -> set[str]:
    """The jobs that are pending."""
    found = await pipeline.jobs.find({"status": "pending"}).to_list(None)
    assert {document["attempt"] for document in found} <= {0}
    return {str(document["_id"]) for document in found}


async def quiet(pipeline: Pipeline) -> None:
    """Return once the database has dealt with what the killed process had sent to it."""
    before = None
    async with asyncio.timeout(WITHIN):
        while before != (now := (await retried(pipeline), await _revisions(pipeline))):
            before = now
            await asyncio.sleep(QUIET)  # long enough for what is under way


async def _revisions(pipeline: Pipeline) -> list[int]:
    actions = pipeline.jobs.database[COLLECTION]
    return [document["revision"] for document in await actions.find({}).to_list(None)]


def begun(whole: WholeAction) -> set[str]:
    return {target.id for target in whole.targets[: whole.action.begun]}


@pytest.mark.proves("action-crash")
async def test_a_server_that_is_killed_in_a_bulk_leaves_the_rest_to_another(
    pipeline: Pipeline, client: Client, exhausted: list[Job]
) -> None:
    clock = SystemClock()
    store = MongoActionStore(client, pipeline.database)
    first = actions_of(client, pipeline.database, clock, POLICY)
    kinds = kinds_of(client, pipeline.database, clock, POLICY)
    preview = await first.preview(kinds.retry(Choice(status=Status.EXHAUSTED), "ada"))
    assert len(preview.targets) == COUNT

    async def recorded() -> WholeAction | None:
        whole = await store.get(preview.id)
        return whole if isinstance(whole, WholeAction) else None

    async def is_under_way() -> bool:
        whole = await recorded()
        return whole is not None and whole.action.begun >= 5 * GROUP

    async with pipeline.process("server", "tests.faults.acting", preview.id) as server:
        await until(is_under_way)
        assert "it is running" in str(await first.again(preview.id, by="bob"))
        server.kill()
        await server.stop()
    await quiet(pipeline)
    left = await recorded()
    assert left
    assert left.action.status is ActionStatus.RUNNING, "it was killed too late: seed more jobs"
    done = await retried(pipeline)
    assert {each.id for each in left.outcomes} <= done <= begun(left)
    assert len(done) - len(left.outcomes) <= GROUP

    replicas = [_later(client, pipeline) for _ in range(2)]
    said = await asyncio.gather(*(each.again(preview.id, by="bob") for each in replicas))
    assert sorted(why is None for why in said) == [False, True]

    async def is_complete() -> bool:
        whole = await recorded()
        return whole is not None and whole.action.status is ActionStatus.COMPLETE

    await until(is_complete)
    whole = await recorded()
    assert whole
    assert await retried(pipeline) == {each.id for each in exhausted}
    assert [each.id for each in whole.outcomes] == [each.id for each in whole.targets]
    unclear = [each for each in whole.outcomes if each != Outcome(each.id)]
    assert {each.refusal for each in unclear} <= {UNCLEAR}
    assert len(unclear) == len(done) - len(left.outcomes)
    assert [run.by for run in whole.action.runs] == ["ada", "bob"]


@pytest.mark.proves("action-crash")
async def test_a_command_that_is_killed_leaves_a_record_of_all_that_it_did(
    pipeline: Pipeline, client: Client, exhausted: list[Job]
) -> None:
    store = MongoActionStore(client, pipeline.database)

    async def recorded() -> list[WholeAction]:
        found = [await store.get(each.id) for each in await store.find(limit=9)]
        return [each for each in found if isinstance(each, WholeAction)]

    async def is_under_way() -> bool:
        return any(whole.outcomes for whole in await recorded())

    async with pipeline.process("botdel", "botdel.cli", "jobs", "retry", "--all") as command:
        await until(is_under_way)
        command.kill()
        await command.stop()
    await quiet(pipeline)
    (left,) = await recorded()
    assert left.action.status is ActionStatus.RUNNING, "it was killed too late: seed more jobs"
    done = await retried(pipeline)
    assert {each.id for each in left.outcomes} <= done <= begun(left)
    shown = await output_of(pipeline, "actions", "show", left.action.id)
    assert (shown["by"], shown["status"], shown["done"]) == ("ada", "running", len(left.outcomes))

    code, lines = await botdel(pipeline, "jobs", "retry", "--all")
    assert (code, f"{COUNT - len(done)} retried, 0 refused" in lines) == (0, True), lines
    assert await retried(pipeline) == {each.id for each in exhausted}


def _later(client: Client, pipeline: Pipeline) -> Actions:
    """A process of a time when the action has been silent for long enough."""
    clock = SkewedClock(SystemClock(), SILENCE + timedelta(seconds=5))
    return actions_of(client, pipeline.database, clock, POLICY)
