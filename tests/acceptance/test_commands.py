"""What an operator types, against the real parts."""

import socket
from dataclasses import replace
from typing import Any

import pytest
from bson import ObjectId

from consumers.main import NOT_PROVIDED
from deletion.adapters.mongo.retention import COMPLETE_JOBS, SETTLED_REQUESTS
from deletion.adapters.mongo.services import COLLECTION as SERVICES
from deletion.job import Failure, Job, Status
from tests.support.commands import botdel, output_of
from tests.support.pipeline import (
    SERVICE,
    WITHIN,
    Pipeline,
    listening,
    publish,
    request_placed,
    until,
)
from tests.support.recovering import HOUR, job, seed

COMPLETE = "complete"


async def test_jobs_are_listed_by_service_bot_and_status_and_shown(pipeline: Pipeline) -> None:
    first, second = await pipeline.fill(12, 3)
    async with pipeline.consumer():
        await publish(pipeline, request_placed(first), request_placed(second))
        await until(lambda: pipeline.has_status(first, COMPLETE))
        await until(lambda: pipeline.has_status(second, COMPLETE))

    everything = await output_of(pipeline, "jobs", "list")
    assert {job["botId"] for job in everything} == {first, second}
    (job,) = await output_of(pipeline, "jobs", "list", "--bot", first, "--service", SERVICE)
    assert (job["status"], job["attempt"], job["live"]) == (COMPLETE, 1, False)
    [step] = job["steps"]
    assert (step["name"], step["status"], step["deleted"]) == ("messages", COMPLETE, 12)
    assert step["batches"] == 2
    assert 0 < step["slowest"] < WITHIN
    assert await output_of(pipeline, "jobs", "show", job["_id"]) == job
    pipeline.settings["GOOGLE_CLOUD_PROJECT"] = ""  # looking needs no Pub/Sub
    assert await output_of(pipeline, "jobs", "list", "--status", "failed") == []
    code, lines = await botdel(pipeline, "jobs", "list")
    assert code == 0
    assert any(job["_id"] in line and first in line for line in lines), lines


@pytest.mark.proves("exhausted-stays")
async def test_only_an_operators_retry_sends_an_exhausted_job_on(pipeline: Pipeline) -> None:
    (bot,) = await pipeline.fill(5)
    async with pipeline.consumer() as consumer:
        await listening(consumer)
        job_id = await _insert_exhausted(pipeline, bot)
        await publish(pipeline, request_placed(bot))
        marker = request_placed(str(ObjectId()))
        await publish(pipeline, marker)
        await until(lambda: pipeline.has_status(marker.bot_id, COMPLETE))
        assert await pipeline.status_of(bot) == "exhausted", "a new request does not run it"

        code, lines = await botdel(pipeline, "jobs", "retry", job_id)
        assert code == 0, lines
        assert lines[-1] == f"`botdel jobs show {job_id}` shows its progress"
        await until(lambda: pipeline.has_status(bot, COMPLETE))
        code, lines = await botdel(pipeline, "jobs", "retry", job_id)
        assert (code, "nothing to retry" in lines[-2]) == (1, True), lines
    assert await pipeline.left(bot) == 0


async def test_retry_takes_filters_and_a_dry_run_changes_nothing(pipeline: Pipeline) -> None:
    exhausted = [_given_up(Status.EXHAUSTED) for _ in range(3)]
    failed = [_given_up(Status.FAILED) for _ in range(2)]
    of_another = _given_up(Status.FAILED, service="analytics")
    resting = job(Status.FAILED)  # an operator need not wait for its rest
    others = [job(Status.IN_PROGRESS), job(Status.PENDING), job(Status.COMPLETE, silent=HOUR)]
    await seed(pipeline, [*exhausted, *failed, of_another, resting, *others])
    pipeline.settings |= {"GOOGLE_CLOUD_PROJECT": "", "BOTDEL_STALE_AFTER_SECONDS": "600"}

    async def retried(*filters: str) -> set[str]:
        answer = await output_of(pipeline, "jobs", "retry", *filters)
        is_dry = "--dry-run" in filters
        assert (answer["refused"], answer["dry_run"]) == ({}, is_dry)
        assert not (is_dry and answer["retried"])
        return set(answer["to_be_retried" if is_dry else "retried"])

    before = await pipeline.jobs.find().sort("_id").to_list(None)
    of_status = ("--status", "exhausted")
    assert await retried(*of_status, "--dry-run") == _ids(exhausted)
    assert await retried("--service", "analytics", "--dry-run") == _ids([of_another])
    assert await retried("--bot", resting.bot_id, "--dry-run") == _ids([resting])
    assert len(await retried(*of_status, "--limit", "2", "--dry-run")) == 2
    everything = _ids([*exhausted, *failed, of_another, resting])
    assert await retried("--all", "--dry-run") == everything
    code, lines = await botdel(pipeline, "jobs", "retry", "--all", "--dry-run")
    assert (code, lines[-1]) == (0, "7 to be retried, 0 refused")
    assert {line.strip() for line in lines[:-1]} == everything
    assert await pipeline.jobs.find().sort("_id").to_list(None) == before

    assert await retried(*of_status) == _ids(exhausted)
    assert await retried(*of_status) == set()
    for stored in await pipeline.jobs.find({"status": "pending", "attempt": 0}).to_list(None):
        assert stored["queue"] == SERVICE
    assert await retried("--all") == _ids([*failed, of_another, resting])
    left = {str(one["_id"]) for one in before} - everything
    after = [one for one in await pipeline.jobs.find().to_list(None) if str(one["_id"]) in left]
    assert sorted(after, key=_id) == [one for one in before if str(one["_id"]) in left]


@pytest.mark.proves("action-recorded-first")
async def test_who_retried_what_and_why_is_on_record(pipeline: Pipeline) -> None:
    exhausted, complete = _given_up(Status.EXHAUSTED), job(Status.COMPLETE, silent=HOUR)
    await seed(pipeline, [exhausted, complete])
    pipeline.settings["GOOGLE_CLOUD_PROJECT"] = ""
    await output_of(pipeline, "jobs", "retry", "--all", "--dry-run")
    assert await output_of(pipeline, "actions", "list") == [], "a dry run does nothing"

    pipeline.settings["BOTDEL_OPERATOR"] = "ada@example.com"
    why = "the disk is full no more"
    ids = (exhausted.id, complete.id)
    code, _ = await botdel(pipeline, "jobs", "retry", *ids, "--why", why)
    assert code == 1
    pipeline.settings["BOTDEL_OPERATOR"] = ""
    await botdel(pipeline, "jobs", "retry", "--status", "exhausted")
    actions = await output_of(pipeline, "actions", "list")
    second, first = sorted(actions, key=lambda action: bool(action["reason"]))
    assert (first["kind"], first["by"], first["reason"]) == ("retry", "ada@example.com", why)
    assert first["choice"] == {"ids": ", ".join(ids)}
    assert (first["status"], first["done"], first["refused"]) == ("complete", 1, 1)
    assert second["by"].endswith(f"@{socket.gethostname()}")
    assert (second["choice"], second["reason"]) == ({"status": "exhausted"}, "")
    assert await output_of(pipeline, "actions", "list", "--by", "ada@example.com") == [first]
    assert await output_of(pipeline, "actions", "list", "--kind", "replay") == []

    shown = await output_of(pipeline, "actions", "show", first["_id"])
    assert {key: shown[key] for key in first} == first
    assert [(each["_id"], each["status"]) for each in shown["targets"]] == [
        (exhausted.id, "exhausted"),
        (complete.id, "complete"),
    ]
    done, refused = shown["outcomes"]
    assert done == {"_id": exhausted.id, "refusal": None}
    assert (refused["_id"], "nothing to retry" in refused["refusal"]) == (complete.id, True)
    code, lines = await botdel(pipeline, "actions", "show", first["_id"])
    assert (code, f"why: {why}" in lines) == (0, True), lines


async def test_retry_refuses_to_choose_nothing_or_both_and_names_what_it_cannot_do(
    pipeline: Pipeline,
) -> None:
    running = job(Status.IN_PROGRESS)
    await seed(pipeline, [running])
    pipeline.settings["BOTDEL_STALE_AFTER_SECONDS"] = "600"
    for arguments in ((), (running.id, "--all"), ("--status", "complete")):
        code, lines = await botdel(pipeline, "jobs", "retry", *arguments)
        assert (code, lines[-1].startswith("botdel: ")) == (2, True), lines
    code, lines = await botdel(pipeline, "jobs", "retry", running.id)
    assert (code, lines[-1]) == (1, "0 retried, 1 refused")
    assert "it is in_progress" in lines[-2]
    code, lines = await botdel(pipeline, "jobs", "retry", unknown := str(ObjectId()))
    assert (code, unknown in lines[-2]) == (1, True), lines


async def registered_services(pipeline: Pipeline) -> list[str]:
    """The services that owe each request."""
    services = pipeline.client[pipeline.database][SERVICES]
    return [service["_id"] for service in await services.find({}).to_list()]


async def test_a_consumer_registers_its_service_where_it_makes_its_topology_itself(
    pipeline: Pipeline,
) -> None:
    async with pipeline.consumer() as consumer:
        await listening(consumer)
        assert await registered_services(pipeline) == [SERVICE]


async def test_topology_apply_creates_everything_twice_and_says_what_differs(
    pipeline: Pipeline,
) -> None:
    await pipeline.messages.insert_one({"botId": ObjectId()})
    pipeline.settings["BOTDEL_TOPIC"] = "another"
    for state in ("created", "in place"):
        code, lines = await botdel(pipeline, "topology", "apply", "--plan", str(pipeline.plan))
        assert code == 0, lines
        subscription = f"{pipeline.names.project}/subscriptions/another.{SERVICE}"
        assert f"subscription projects/{subscription}: {state}" in lines
        assert f"step {SERVICE}/messages: {state}" in lines
        registered = "registered" if state == "created" else state
        assert f"service {SERVICE}: {registered}" in lines
    assert await registered_services(pipeline) == [SERVICE]
    indexes = await pipeline.messages.index_information()
    assert any(index["key"] == [("botId", 1), ("_id", 1)] for index in indexes.values())

    pipeline.settings["BOTDEL_TOPIC"] = "bot-deletion"  # made with another ack deadline
    code, lines = await botdel(pipeline, "topology", "apply", "--plan", str(pipeline.plan))
    assert code == 1
    assert "ack_deadline_seconds is 10, expected" in " ".join(lines)


async def test_topology_apply_keeps_complete_jobs_for_as_long_as_is_set(
    pipeline: Pipeline,
) -> None:
    pipeline.settings["BOTDEL_TOPIC"] = "another"
    apply = ("topology", "apply", "--plan", str(pipeline.plan))
    code, lines = await botdel(pipeline, *apply)
    assert code == 0, lines
    requests = pipeline.jobs.database[SETTLED_REQUESTS.collection]
    assert COMPLETE_JOBS.index not in await pipeline.jobs.index_information(), "only when asked to"
    pipeline.settings["BOTDEL_KEEP_COMPLETE_DAYS"] = "31"
    pipeline.settings["BOTDEL_KEEP_SETTLED_DAYS"] = "32"
    code, lines = await botdel(pipeline, *apply)
    assert code == 0, lines
    assert COMPLETE_JOBS.index in await pipeline.jobs.index_information()
    assert SETTLED_REQUESTS.index in await requests.index_information()
    del pipeline.settings["BOTDEL_KEEP_COMPLETE_DAYS"]
    code, lines = await botdel(pipeline, *apply)
    assert code == 1
    assert "dropIndex" in " ".join(lines)
    assert COMPLETE_JOBS.index in await pipeline.jobs.index_information(), (
        "what exists is not changed"
    )


async def test_a_wrong_plan_is_refused_with_line_field_and_expectation(pipeline: Pipeline) -> None:
    plan = pipeline.folder / "wrong.yaml"
    plan.write_text(pipeline.plan.read_text().replace("batch_size: 10", "batch_size: many"))
    code, lines = await botdel(pipeline, "consumer", "--plan", str(plan))
    assert code == 2
    assert f"{plan}:4: steps.0.mongo.batch_size: " in lines[-1]


async def test_a_plan_over_the_pipelines_own_records_is_refused_before_anything_is_made(
    pipeline: Pipeline,
) -> None:
    plan = pipeline.folder / "own.yaml"
    text = pipeline.plan.read_text().replace(SERVICE, "typo")
    plan.write_text(text.replace("collection: messages", "collection: dead_letters"))
    before = await pipeline.client[pipeline.database].list_collection_names()
    refusals = {("consumer",): 2, ("topology", "apply"): 2, ("doctor", "--no-canary"): 1}
    for command, expected in refusals.items():
        code, lines = await botdel(pipeline, *command, "--plan", str(plan))
        assert code == expected, lines
        assert any("holds the pipeline's own records" in line for line in lines), lines
    made = set(await pipeline.client[pipeline.database].list_collection_names()) - set(before)
    assert made <= {"doctor_results"}, "what doctor found is kept"
    code, lines = await botdel(pipeline, "doctor", "--no-canary")
    assert not any("bot-deletion.typo" in line for line in lines), lines


@pytest.mark.proves("credentials")
async def test_a_missing_setting_is_named_and_its_value_never_shown(pipeline: Pipeline) -> None:
    pipeline.settings |= {"GOOGLE_CLOUD_PROJECT": "", "BOTDEL_MONGODB_URI": "secret@nowhere"}
    code, lines = await botdel(pipeline, "consumer", "--plan", str(pipeline.plan))
    said = "\n".join(lines)
    assert code == 2
    assert "GOOGLE_CLOUD_PROJECT" in said
    assert "BOTDEL_MONGODB_URI" in said
    assert "secret@nowhere" not in said


@pytest.mark.proves("every-query-indexed")
async def test_a_collection_without_the_index_is_reported_and_deleted_from_all_the_same(
    pipeline: Pipeline,
) -> None:
    bot = str(ObjectId())
    await pipeline.messages.insert_many([{"botId": ObjectId(bot)} for _ in range(25)])
    async with pipeline.consumer() as consumer:
        await consumer.wait_for_line(lambda line: NOT_PROVIDED in line, WITHIN)
        await publish(pipeline, request_placed(bot))
        await until(lambda: pipeline.has_status(bot, COMPLETE))


async def test_every_command_explains_itself(pipeline: Pipeline) -> None:
    commands = ("gateway", "consumer", "recovery", "recover", "topology", "jobs", "dead-letters")
    for command in ("", *commands, "doctor", "demo"):
        code, lines = await botdel(pipeline, *command.split(), "--help")
        assert code == 0
        assert any("Usage" in line for line in lines)


async def _insert_exhausted(pipeline: Pipeline, bot: str) -> str:
    (job_id,) = await seed(pipeline, [_given_up(Status.EXHAUSTED, bot_id=bot)])
    return job_id


def _given_up(status: Status, **values: Any) -> Job:
    """A job that broke an hour ago, its attempts spent if it is exhausted."""
    silent = job(status, attempt=5 if status is Status.EXHAUSTED else 1, silent=HOUR)
    failure = Failure("Boom", "it broke", silent.last_modified_at)
    return replace(silent, failure=failure, **values)


def _ids(jobs: list[Job]) -> set[str]:
    return {one.id for one in jobs}


def _id(document: dict[str, Any]) -> str:
    return str(document["_id"])
