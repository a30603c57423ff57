"""Recovery as a process of its own, on the real broker and database."""

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from bson import ObjectId
from pydantic import SecretStr

from botdel.local.processes import free_port
from deletion.adapters.mongo.connection import connect
from deletion.adapters.mongo.sweeps import COLLECTION
from deletion.job import Status
from deletion.sweep import Sweep
from recovery.client import Exit, recover
from recovery.mongo_sweeps import MongoSweepStore
from tests.support.forked import ForkedProcess
from tests.support.indexed import indexed
from tests.support.pipeline import TOKEN, WITHIN, Location, Pipeline, pipeline_at, with_topology
from tests.support.recovering import (
    HOUR,
    REST,
    SETTINGS,
    STALE_AFTER,
    SWEEPS,
    claimable,
    job,
    recovering,
    seed,
)

SECOND, DAY = timedelta(seconds=1), timedelta(days=1)


@pytest.fixture
async def pipeline(location: Location) -> AsyncIterator[Pipeline]:
    async with pipeline_at(location, settings=SETTINGS) as pipeline, with_topology(pipeline):
        yield pipeline


@pytest.mark.proves("resume")
async def test_it_makes_pending_what_has_rested_or_fell_silent_and_nothing_else(
    pipeline: Pipeline,
) -> None:
    wanted = [job(Status.FAILED, silent=REST + SECOND) for _ in range(5)]
    wanted += [job(Status.IN_PROGRESS, silent=STALE_AFTER + HOUR) for _ in range(4)]
    spent = [
        job(Status.FAILED, attempt=3, silent=DAY),
        job(Status.IN_PROGRESS, attempt=3, silent=DAY),
    ]
    others = [job(Status.COMPLETE, silent=DAY), job(Status.EXHAUSTED, attempt=3, silent=DAY)]
    others += [job(Status.IN_PROGRESS), job(Status.IN_PROGRESS, attempt=3)]
    others += [job(Status.FAILED), job(Status.FAILED, attempt=2, silent=REST * 2)]
    others += [job(Status.FAILED, attempt=3, silent=REST / 2)]
    ids = await seed(pipeline, wanted)
    await seed(pipeline, spent + others)
    untouched = {"_id": {"$in": [ObjectId(one.id) for one in others]}}
    before = await pipeline.jobs.find(untouched).sort("_id").to_list()

    async with recovering(pipeline) as recovery:
        sweep = await recovery.ended(await recovery.started())
        metrics = (await recovery.http.get("/metrics")).text
        await recovery.process.wait_for_line(lambda line: '"sweep ended"' in line, WITHIN)

    counts = {name: sweep[name] for name in ("status", "resumed", "exhausted", "skipped")}
    assert counts == {"status": "complete", "resumed": 9, "exhausted": 2, "skipped": 0}
    resumed = await claimable(pipeline)
    assert sorted(str(one["_id"]) for one in resumed) == sorted(ids)
    assert all((one["status"], one["attempt"]) == ("pending", 1) for one in resumed)
    assert all(one["due"] == one["createdAt"] for one in resumed), "before newer ones"
    assert await pipeline.jobs.find(untouched).sort("_id").to_list() == before
    for one in spent:
        stored = await pipeline.job_of(one.bot_id)
        assert stored
        assert (stored["status"], stored["live"]) == ("exhausted", True)
        assert not {"queue", "due"} & set(stored)
    lines = [json.loads(line) for line in recovery.process.lines]
    exhausted = {line["job_id"] for line in lines if line["event"] == "job exhausted"}
    assert exhausted == {one.id for one in spent}
    assert 'botdel_recovery_jobs_total{outcome="resumed"} 9.0' in metrics


@pytest.mark.proves("credentials")
async def test_only_the_credential_opens_it(pipeline: Pipeline) -> None:
    async with recovering(pipeline) as recovery:
        for wrong in ("", "Bearer", "Bearer wrong", f"Basic {TOKEN}", f"Bearer {TOKEN}x"):
            headers = {"Authorization": wrong}
            assert (await recovery.http.post(SWEEPS, headers=headers)).status_code == 401
            shown = await recovery.http.get(f"{SWEEPS}/{ObjectId()}", headers=headers)
            assert shown.status_code == 401
        assert (await recovery.http.get(f"{SWEEPS}/{ObjectId()}")).status_code == 404
    assert await pipeline.client[pipeline.database][COLLECTION].count_documents({}) == 0


@pytest.mark.proves("one-sweep")
async def test_of_two_processes_one_sweeps_and_both_answer_with_its_sweep(
    pipeline: Pipeline,
) -> None:
    ids = await seed(pipeline, [job(Status.FAILED, silent=HOUR) for _ in range(200)])
    async with recovering(pipeline) as one, recovering(pipeline) as other:
        started = await asyncio.gather(*(r.started() for r in (one, other) * 5))
        await one.ended(started[0])
        assert await other.shown(started[0]) == await one.shown(started[0])
    sweeps = await pipeline.client[pipeline.database][COLLECTION].find({}).to_list()
    assert {str(sweep["_id"]) for sweep in sweeps} == set(started)
    # A start that came after an end began another sweep, never one beside it.
    spans = sorted(
        (sweep["startedAt"], sweep["finishedAt"] or datetime.now(UTC)) for sweep in sweeps
    )
    assert all(end <= begin for (_, end), (begin, _) in pairwise(spans))
    assert {str(one["_id"]) for one in await claimable(pipeline)} == set(ids)
    assert sum(sweep["resumed"] for sweep in sweeps) == len(ids), "each was moved once"


async def test_a_sweep_whose_process_died_is_given_up_and_another_one_does_its_work(
    pipeline: Pipeline,
) -> None:
    await seed(pipeline, [job(Status.FAILED, silent=HOUR)])
    client = connect(pipeline.mongo_uri)
    store = await indexed(MongoSweepStore, client, pipeline.database)
    died_at = datetime.now(UTC).replace(microsecond=0) - STALE_AFTER - HOUR
    dead = Sweep.started(store.new_id(), died_at)
    await store.start(dead, silent_since=died_at)
    async with recovering(pipeline) as recovery:
        sweep = await recovery.ended(await recovery.started())
        given_up = await recovery.shown(dead.id)
    client.close()
    assert (sweep["status"], sweep["resumed"]) == ("complete", 1)
    assert sweep["sweep_id"] != dead.id
    assert given_up["status"] == "failed"
    assert given_up["error"] == "its process went silent"


@pytest.mark.proves("cron-exit-codes")
async def test_the_cron_job_succeeds_and_its_failures_each_have_their_exit_code(
    pipeline: Pipeline, capsys: pytest.CaptureFixture[str]
) -> None:
    await seed(pipeline, [job(Status.FAILED, silent=HOUR) for _ in range(3)])

    async def cron(url: str, token: str = TOKEN) -> int:
        return await recover(url, SecretStr(token), wait=True, timeout_seconds=WITHIN)

    async with recovering(pipeline) as recovery:
        assert await cron(recovery.url) == Exit.OK
        assert "complete: resumed 3, exhausted 0, skipped 0" in capsys.readouterr().out
        assert await cron(recovery.url, token="not-the-right-one") == Exit.REFUSED
        assert await cron(recovery.url + "/elsewhere") == Exit.UNEXPECTED
    assert await cron(recovery.url) == Exit.UNHEALTHY
    assert await cron(f"http://127.0.0.1:{free_port()}") == Exit.UNHEALTHY
    said = capsys.readouterr()
    assert TOKEN not in said.out + said.err
    assert "not-the-right-one" not in said.out + said.err


async def test_the_command_of_the_cron_job_exits_with_the_clients_code(pipeline: Pipeline) -> None:
    async def cron(url: str) -> int:
        command = ("botdel.cli", "recover", "--url", url, "--wait", "--timeout", "60")
        async with pipeline.process("cron", *command) as process:
            return await process.wait(WITHIN)

    async with recovering(pipeline) as recovery:
        assert await cron(recovery.url) == Exit.OK
    assert await cron(recovery.url) == Exit.UNHEALTHY


async def test_a_terminated_process_exits_0(pipeline: Pipeline) -> None:
    async with recovering(pipeline) as recovery:
        await recovery.ended(await recovery.started())
        recovery.process.terminate()
        assert await recovery.process.wait(WITHIN) == 0


@pytest.mark.parametrize("missing", ["BOTDEL_RECOVERY_TOKEN", "BOTDEL_MONGODB_URI"])
async def test_it_does_not_start_without_a_setting_and_names_it(
    pipeline: Pipeline, missing: str
) -> None:
    env = pipeline.env | {missing: ""}
    async with ForkedProcess("recovery", ["botdel.cli", "recovery"], env=env) as process:
        assert await process.wait(WITHIN) == 2
    assert missing in "\n".join(process.lines)


async def test_a_taken_port_is_said_in_a_sentence(pipeline: Pipeline) -> None:
    async with recovering(pipeline) as recovery:
        pipeline.settings["BOTDEL_RECOVERY_PORT"] = recovery.url.rsplit(":", 1)[1]
        async with pipeline.process("second", "botdel.cli", "recovery") as second:
            assert await second.wait(WITHIN) == 1
    assert second.lines[-1].startswith("botdel: ")
    assert "in use" in second.lines[-1]
