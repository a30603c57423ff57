"""A consumer whose plan names a bucket: real processes, a real broker, and S3 over HTTP.

This is the fallback job: what a provider does not delete today is a failed job, not a lost file.
"""

from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

import pytest
from bson import ObjectId

from tests.support.pipeline import SERVICE, Pipeline, listening, publish, request_placed, until
from tests.support.recovering import recovering, swept_until
from tests.support.s3 import S3, Fault, s3_server

OBJECTS = 40
BATCH = 4


@pytest.fixture(scope="module")
async def s3() -> AsyncIterator[S3]:
    async with s3_server() as server:
        yield server


@pytest.fixture
async def bucket(s3: S3, pipeline: Pipeline) -> str:
    pipeline.settings |= s3.env
    s3.fails()
    return await s3.new_bucket()


def plan_of(pipeline: Pipeline, bucket: str) -> Path:
    path = pipeline.folder / "objects.yaml"
    path.write_text(
        f"service: {SERVICE}\n"
        "steps:\n"
        "  - name: avatars\n"
        "    objects:\n"
        f"      url: s3://{bucket}\n"
        '      prefix: "bots/{bot_id}/"\n'
        f"      batch_size: {BATCH}\n"
    )
    return path


async def is_now(pipeline: Pipeline, bot: str, status: str) -> bool:
    return await pipeline.status_of(bot) == status


@pytest.mark.proves("objects-resumed")
async def test_a_run_that_is_killed_goes_on_where_it_stopped(
    pipeline: Pipeline, s3: S3, bucket: str
) -> None:
    bot, other = str(ObjectId()), str(ObjectId())
    keys = [f"bots/{bot}/{n:02}" for n in range(OBJECTS)]
    others = [f"bots/{bot}", f"bots/{other}/a"]
    s3.fill(bucket, [*keys, f"bots/{bot}/", f"bots/{bot}//x", *others])
    plan = plan_of(pipeline, bucket)
    s3.fails(Fault("delete", skip=4, hang=30, times=20))

    async def has_begun() -> bool:
        job = await pipeline.job_of(bot)
        return bool(job and job["steps"] and job["steps"][0].get("deleted", 0))

    async with pipeline.consumer(plan=plan) as first:
        await publish(pipeline, request_placed(bot))
        await until(has_begun)
        first.kill()
    assert 0 < len(await s3.keys(bucket)) <= len(keys) + 4
    s3.fails()
    async with recovering(pipeline) as recovery, pipeline.consumer(plan=plan):
        await swept_until(pipeline, bot, "complete", recovery.url)
    assert await s3.keys(bucket) == sorted(others)
    job = await pipeline.job_of(bot)
    assert job
    [step] = job["steps"]
    assert (step["name"], step["status"], step["readBack"]) == ("avatars", "complete", "strong")


@pytest.mark.proves("objects-resumed")
async def test_a_provider_that_refuses_fails_the_job_and_the_daily_run_deletes_it(
    pipeline: Pipeline, s3: S3, bucket: str
) -> None:
    bot = str(ObjectId())
    s3.fill(bucket, [f"bots/{bot}/a"])
    s3.fails(Fault("any", 403, "AccessDenied", times=1000))
    plan = plan_of(pipeline, bucket)
    async with pipeline.consumer(plan=plan), recovering(pipeline) as recovery:
        await publish(pipeline, request_placed(bot))
        await until(partial(is_now, pipeline, bot, "failed"))
        job = await pipeline.job_of(bot)
        assert job
        assert job["failure"]["type"] == "ObjectsRefused"
        assert "s3:ListBucket" in job["failure"]["message"]
        s3.fails()
        await swept_until(pipeline, bot, "complete", recovery.url)
    assert await s3.keys(bucket) == []


async def test_an_outage_is_waited_for_within_the_run(
    pipeline: Pipeline, s3: S3, bucket: str
) -> None:
    bot = str(ObjectId())
    s3.fill(bucket, [f"bots/{bot}/{n}" for n in range(9)])
    s3.fails(Fault("any", 503, "SlowDown", times=6))
    async with pipeline.consumer(plan=plan_of(pipeline, bucket)) as process:
        await listening(process)
        await publish(pipeline, request_placed(bot))
        await until(partial(is_now, pipeline, bot, "complete"))
    job = await pipeline.job_of(bot)
    assert job
    assert (job["attempt"], await s3.keys(bucket)) == (1, [])
