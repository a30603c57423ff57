"""`botdel plan` over a plan with objects: looked at on real servers, and nothing is deleted."""

import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from bson import ObjectId
from gcp_storage_emulator.server import create_server
from google.auth.credentials import AnonymousCredentials
from google.cloud import storage

from botdel.local.processes import free_port
from tests.support.commands import botdel, output_of
from tests.support.pipeline import SERVICE, Pipeline
from tests.support.s3 import S3, s3_server

BOT = str(ObjectId())
DATA = f"data of step {SERVICE}/avatars"


@pytest.fixture(scope="module")
async def s3() -> AsyncIterator[S3]:
    async with s3_server() as server:
        yield server


@pytest.fixture
async def bucket(s3: S3, pipeline: Pipeline) -> str:
    pipeline.settings |= s3.env
    return await s3.new_bucket()


@pytest.fixture
def kept(pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A bucket that keeps what was deleted for 7 days."""
    port = free_port()
    server = create_server("127.0.0.1", port, in_memory=True)
    server.start()
    pipeline.settings["STORAGE_EMULATOR_HOST"] = url = f"http://127.0.0.1:{port}"
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", url)
    client = storage.Client(project="p", credentials=AnonymousCredentials())  # type: ignore[no-untyped-call]
    client.create_bucket("avatars").blob(f"bots/{BOT}/a").upload_from_string(b"x")
    yield "avatars"
    server.stop()


def plan_of(pipeline: Pipeline, url: str, prefix: str = "bots/{bot_id}/", more: str = "") -> Path:
    path = pipeline.folder / "objects.yaml"
    options = f'url: "{url}", prefix: "{prefix}"{more}'
    path.write_text(f"service: {SERVICE}\nsteps:\n  - name: avatars\n    objects: {{{options}}}\n")
    return path


async def checked(pipeline: Pipeline, plan: Path) -> tuple[int, str, str]:
    """The exit code, and what is said of the data."""
    code, lines = await botdel(pipeline, "plan", "check", str(plan), "--json")
    [found] = [one for one in json.loads(lines[-1]) if one["check"] == DATA]
    return code, found["status"], found["detail"]


async def test_a_preview_counts_and_deletes_nothing(
    pipeline: Pipeline, s3: S3, bucket: str
) -> None:
    keys = sorted([f"bots/{BOT}/{name}" for name in ("", "/b", "a", "c/d")] + [f"bots/{BOT}"])
    s3.fill(bucket, keys)
    plan = plan_of(pipeline, f"s3://{bucket}")
    previewed = await output_of(pipeline, "plan", "preview", str(plan), BOT)
    assert previewed["steps"] == {"avatars": 4}
    assert (await checked(pipeline, plan))[:2] == (0, "ok")
    assert await s3.keys(bucket) == keys


async def test_a_wrong_bucket_and_a_wrong_prefix_are_found(
    pipeline: Pipeline, s3: S3, bucket: str
) -> None:
    s3.fill(bucket, [f"bots/{BOT}/a"])
    code, status, detail = await checked(pipeline, plan_of(pipeline, "s3://no-such-bucket"))
    assert (code, status) == (1, "failed")
    assert "does not exist" in detail
    plan = plan_of(pipeline, f"s3://{bucket}", "{bot_id}/")
    code, status, detail = await checked(pipeline, plan)
    assert (code, status) == (1, "failed")
    assert "none of the first 1 objects" in detail


async def test_a_bucket_that_keeps_deleted_objects_is_refused_unless_accepted(
    pipeline: Pipeline, kept: str
) -> None:
    code, status, detail = await checked(pipeline, plan_of(pipeline, f"gs://{kept}"))
    assert (code, status) == (1, "failed")
    assert "keeps deleted objects for 7 days" in detail
    accepting = plan_of(pipeline, f"gs://{kept}", more=", retained: accept")
    assert (await checked(pipeline, accepting))[:2] == (0, "ok")
