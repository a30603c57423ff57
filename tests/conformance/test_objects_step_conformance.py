"""The steps of objects pass the suite that a team's step has to pass, over real servers."""

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar, cast
from uuid import uuid4

import pytest
from botocore.exceptions import EndpointConnectionError
from gcp_storage_emulator.server import create_server
from google.api_core.exceptions import ServiceUnavailable
from google.auth.credentials import AnonymousCredentials
from google.cloud import storage

from botdel.local.processes import free_port
from deletion.adapters.objects import gcs, gcs_listers
from deletion.adapters.objects import s3 as s3_module
from deletion.adapters.objects.bucket import (
    Bucket,
    Item,
    ListerEnds,
    Mark,
    OpenBucket,
    Page,
    Refusal,
)
from deletion.adapters.objects.files import Files, Folder, OpenFolder
from deletion.adapters.objects.obstore_lister import ObstoreLister
from deletion.adapters.objects.s3 import OpenS3
from deletion.adapters.objects.spec import ObjectsSpec
from deletion.adapters.objects.step import ObjectsStep
from deletion.adapters.spec import StepConnections
from deletion.errors import ObjectsUnavailable
from deletion.testing import Faults, StepConformance
from tests.support.roots import one_root
from tests.support.s3 import S3, s3_server

T = TypeVar("T")


class ObjectsConformance(StepConformance):
    """What the providers have in common."""

    url: str
    items = 5

    def step(self) -> ObjectsStep:
        spec = ObjectsSpec(
            url=self.url,
            prefix="bots/{bot_id}/",
            retained="accept",
            batch_size=self.batch_size,
        )
        return spec.build("media", StepConnections(lambda _: pytest.fail("no database"), 10))

    def keys(self, bot_id: str, number: int) -> list[str]:
        return [f"bots/{bot_id}/{n % 2}/{uuid4().hex}" for n in range(number)]


@dataclass
class FaultyClient:
    """aiobotocore's, each call of which may fail."""

    client: Any
    faults: Faults

    def __getattr__(self, name: str) -> Callable[..., Any]:
        async def call(**options: Any) -> Any:
            with self.faults.call():
                return await getattr(self.client, name)(**options)

        return call


@dataclass
class FaultyObstore:
    """The fast lister, each call of which may fail; it then ends, as at any error of obstore's."""

    lister: ObstoreLister
    faults: Faults
    name: str = "obstore"
    reads_back: bool = False

    async def page(self, prefix: str, behind: Mark | None, limit: int) -> Page:
        try:
            with self.faults.call():
                return await self.lister.page(prefix, behind, limit)
        except EndpointConnectionError:
            raise ListerEnds from None

    async def remove(self, items: Sequence[Item]) -> Sequence[Refusal]:
        try:
            with self.faults.call():
                return await self.lister.remove(items)
        except EndpointConnectionError:
            raise ListerEnds from None


@dataclass
class FaultyS3:
    """A bucket over clients whose calls may fail."""

    bucket: Bucket
    faults: Faults

    @property
    def url(self) -> str:
        return self.bucket.url

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[OpenBucket]:
        async with self.bucket.opened() as found:
            real = cast("OpenS3", found)
            fast = cast("ObstoreLister", FaultyObstore(real.fast, self.faults))
            yield OpenS3(real.url, real.bucket, FaultyClient(real.client, self.faults), fast)


@pytest.fixture(scope="module", autouse=True)
def _one_root(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with one_root(tmp_path_factory.mktemp("roots")):
        yield


@pytest.fixture(scope="module")
async def s3() -> AsyncIterator[S3]:
    async with s3_server() as server:
        yield server


class TestS3(ObjectsConformance):
    """An unversioned bucket."""

    versioned = False

    @pytest.fixture(autouse=True)
    async def _bucket(self, s3: S3, monkeypatch: pytest.MonkeyPatch) -> None:
        for name, value in s3.env.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr(s3_module, "get_session", lambda: s3.session)  # which is slow to make
        self.s3, self.bucket = s3, f"media-{uuid4().hex[:12]}"
        self.url = f"s3://{self.bucket}"
        async with s3.client() as client:
            await client.create_bucket(Bucket=self.bucket)
            if self.versioned:
                await client.put_bucket_versioning(
                    Bucket=self.bucket, VersioningConfiguration={"Status": "Enabled"}
                )

    def faulty_step(self, faults: Faults) -> ObjectsStep:
        step = self.step()
        step.bucket = FaultyS3(step.bucket, faults)
        return step

    def fault(self) -> Exception:
        error: Exception = EndpointConnectionError(endpoint_url="any", error="injected by a test")
        return error

    async def plant(self, bot_id: str, number: int) -> None:
        self.s3.fill(self.bucket, self.keys(bot_id, number))

    async def count(self, bot_id: str) -> int:
        return self.s3.number(self.bucket, f"bots/{bot_id}/")


class TestS3WithVersions(TestS3):
    """A bucket that keeps versions."""

    versioned = True


class FaultyApi(gcs_listers.Api):
    """Each call of which may fail."""

    faults = Faults()

    async def call(self, function: Callable[[], T]) -> T:
        def faulty() -> T:
            with self.faults.call():
                return function()

        return await super().call(faulty)


@pytest.fixture(scope="module")
def emulated() -> Iterator[str]:
    port = free_port()
    server = create_server("127.0.0.1", port, in_memory=True)
    server.start()
    yield f"http://127.0.0.1:{port}"
    server.stop()


class TestGcs(ObjectsConformance):
    """The JSON API."""

    @pytest.fixture(autouse=True)
    def _bucket(self, emulated: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", emulated)
        client = storage.Client(project="p", credentials=AnonymousCredentials())  # type: ignore[no-untyped-call]
        self.bucket = client.create_bucket(f"media-{uuid4().hex[:12]}")
        self.url = f"gs://{self.bucket.name}"

    def faulty_step(self, faults: Faults) -> ObjectsStep:
        step = self.step()

        @dataclass
        class Faulty:
            url: str = self.url
            bucket: Bucket = step.bucket

            @asynccontextmanager
            async def opened(self) -> AsyncIterator[OpenBucket]:
                async with self.bucket.opened() as found:
                    real = cast("gcs.OpenGcs", found)
                    api = FaultyApi(real.api.url, real.api.threads, real.api.call_seconds)
                    object.__setattr__(api, "faults", faults)
                    yield gcs.OpenGcs(real.name, real.client, api, real.fast)

        step.bucket = Faulty()
        return step

    def fault(self) -> Exception:
        return ServiceUnavailable("injected by a test")  # type: ignore[no-untyped-call]

    async def plant(self, bot_id: str, number: int) -> None:
        for key in self.keys(bot_id, number):
            await asyncio.to_thread(self.bucket.blob(key).upload_from_string, b"x")

    async def count(self, bot_id: str) -> int:
        return len(list(self.bucket.list_blobs(prefix=f"bots/{bot_id}/")))


class FaultyFiles(Files):
    """Each call of which may fail, as when a volume goes away."""

    faults = Faults()

    async def _call(self, function: Callable[[], T]) -> T:
        with self.faults.call():
            return await super()._call(function)


class TestFiles(ObjectsConformance):
    """A folder."""

    @pytest.fixture(autouse=True)
    def _folder(self, tmp_path: Path) -> None:
        self.root, self.url = tmp_path, tmp_path.as_uri()

    def faulty_step(self, faults: Faults) -> ObjectsStep:
        step = self.step()
        real = cast("Folder", step.bucket)._files
        files = FaultyFiles(real.url, real.root, real.home, real.depth, real.threads)
        object.__setattr__(files, "faults", faults)

        class Faulty(Folder):
            @asynccontextmanager
            async def opened(self) -> AsyncIterator[OpenFolder]:
                yield OpenFolder(files)

        step.bucket = Faulty(self.url, step.prefix)
        return step

    def fault(self) -> Exception:
        return ObjectsUnavailable("injected by a test")

    async def plant(self, bot_id: str, number: int) -> None:
        for key in self.keys(bot_id, number):
            path = self.root / key
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("x")

    async def count(self, bot_id: str) -> int:
        """The files; a folder may vanish meanwhile, since a cancelled call is not interrupted."""
        return sum(len(files) for _, _, files in os.walk(self.root / "bots" / bot_id))


def test_the_steps_of_objects_pass_the_whole_suite() -> None:
    for suite in (TestS3, TestS3WithVersions, TestGcs, TestFiles):
        assert not suite.unexercised
