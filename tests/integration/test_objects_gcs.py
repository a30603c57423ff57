"""Google's buckets: the JSON API on an emulator, and obstore's on moto, which speaks its XML."""

from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
from bson import ObjectId
from gcp_storage_emulator.server import create_server
from google.auth.credentials import AnonymousCredentials
from google.cloud import storage
from obstore.store import GCSStore

from botdel.local.processes import free_port
from deletion.adapters.objects.obstore_lister import ObstoreLister
from deletion.adapters.objects.spec import ObjectsSpec
from deletion.adapters.objects.step import ObjectsStep
from deletion.adapters.spec import StepConnections
from deletion.errors import ObjectsRefused, ObjectsUnavailable
from deletion.plan import Batch
from tests.support.s3 import S3, s3_server

if TYPE_CHECKING:
    from obstore.store import GCSCredential

BOT = str(ObjectId())
MINE = [f"bots/{BOT}/{name}" for name in ("a", "b/", "//c", "é%#?", "", *"0123456789")]
NEIGHBOURS = [f"bots/{BOT}", f"bots/{BOT}x/a", f"bots/{ObjectId()}/a"]


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    port = free_port()
    server = create_server("127.0.0.1", port, in_memory=True)
    server.start()
    yield f"http://127.0.0.1:{port}"
    server.stop()


@pytest.fixture
def bucket(server: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", server)
    monkeypatch.delenv("GOOGLE_BASE_URL", raising=False)
    client = storage.Client(project="p", credentials=AnonymousCredentials())  # type: ignore[no-untyped-call]
    return client.create_bucket(f"media-{uuid4().hex[:12]}")


def put(bucket: Any, *keys: str) -> None:
    for key in keys:
        bucket.blob(key).upload_from_string(b"x")


def keys(bucket: Any) -> list[str]:
    return sorted(blob.name for blob in bucket.list_blobs())


def step_of(bucket: Any, **options: Any) -> ObjectsStep:
    spec = ObjectsSpec(url=f"gs://{bucket.name}", prefix="bots/{bot_id}/", **options)
    return spec.build("media", StepConnections(lambda _: pytest.fail("no database"), 10))


async def batches(step: ObjectsStep, cursor: str | None = None) -> list[Batch]:
    return [batch async for batch in step.delete(BOT, cursor)]


@pytest.mark.proves("whole-prefix")
@pytest.mark.parametrize("batch_size", [1000, 4])
async def test_all_of_the_bot_goes_and_nothing_of_a_neighbour(bucket: Any, batch_size: int) -> None:
    put(bucket, *MINE, *NEIGHBOURS)
    step = step_of(bucket, batch_size=batch_size, retained="accept")
    assert await step.count(BOT) == len(MINE)
    assert not await step.is_empty(BOT)
    done = await batches(step)
    assert max(batch.deleted for batch in done) <= batch_size
    assert sum(batch.deleted for batch in done) == len(MINE)
    assert keys(bucket) == sorted(NEIGHBOURS)


@pytest.mark.proves("kept-by-provider")
async def test_what_the_bucket_keeps_fails_the_step_unless_the_plan_accepts_it(bucket: Any) -> None:
    put(bucket, *MINE)
    strict, accepting = step_of(bucket), step_of(bucket, retained="accept")
    assert "for 7 days, which nobody can shorten" in "".join(await strict.faults() or ())
    assert await accepting.faults() == []
    await batches(strict)
    with pytest.raises(ObjectsRefused, match=r"keeps deleted objects of this bot until \d{4}-"):
        await strict.is_empty(BOT)
    assert await accepting.is_empty(BOT)
    assert (accepting.read_back or "").startswith("retained until 20")


async def test_a_bucket_that_keeps_nothing_is_read_back_as_empty(bucket: Any) -> None:
    bucket.soft_delete_policy.retention_duration_seconds = 0
    bucket.patch()
    put(bucket, *MINE)
    step = step_of(bucket)
    assert await step.faults() == []
    await batches(step)
    assert (await step.is_empty(BOT), step.read_back) == (True, "strong")


async def test_a_bucket_that_does_not_exist_is_a_fault(bucket: Any) -> None:
    step = step_of(bucket)
    bucket.delete()
    assert "does not exist" in "".join(await step.faults() or ())
    with pytest.raises(ObjectsRefused, match="does not exist"):
        await step.is_empty(BOT)


async def test_a_server_that_is_down_may_come_back(
    bucket: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", "http://127.0.0.1:1")
    with pytest.raises(ObjectsUnavailable, match="does not answer"):
        await step_of(bucket).is_empty(BOT)


@pytest.fixture(scope="module")
async def s3() -> AsyncIterator[S3]:
    async with s3_server() as server:
        yield server


def token() -> "GCSCredential":
    return {"token": "any", "expires_at": None}


async def test_obstore_lists_and_deletes_google_buckets(s3: S3) -> None:
    async with s3.client() as client:
        await client.create_bucket(Bucket="media")
    s3.fill("media", [f"bots/{BOT}/{n:02}" for n in range(25)] + NEIGHBOURS)
    store = GCSStore(
        "media",
        base_url=s3.url,
        credential_provider=token,
        client_options={"allow_http": True},
    )
    lister = ObstoreLister("gs://media", store, ThreadPoolExecutor(2), is_alone=True)
    page = await lister.page(f"bots/{BOT}/", None, 10)
    last = await lister.page(f"bots/{BOT}/", page.resume, 100)
    assert (len(page.items), len(last.items), last.is_last) == (10, 15, True)
    assert await lister.remove([*page.items, *last.items]) == []
    assert await s3.keys("media") == sorted(NEIGHBOURS)
