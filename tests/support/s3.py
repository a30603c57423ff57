"""moto's S3 server in a separate process, over HTTP, with faults that a test may inject."""

import json
import sys
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, field
from http.client import HTTPConnection
from typing import Any, Final, Literal
from urllib.parse import urlencode, urlsplit
from uuid import uuid4

from aiobotocore.session import get_session

from botdel.local.processes import ChildProcess
from botdel.local.s3 import KEY, REGION, SECRET, credentials

WITHIN: Final = 120.0
"""Seconds; far longer than the server takes to start or to be filled."""
CONTROL: Final = "/_control"
"""See `tests.support.s3_server`."""

Request = Literal["list", "versions", "versioning", "delete", "any"]
"""Kinds of requests. `list` includes `versions`; `versioning` asks whether a bucket keeps them."""


@dataclass(frozen=True, slots=True)
class Fault:
    """The fault of the next `times` requests of a kind, after the first `skip` of them.

    The answer is `status` and `code`, without the request's effect, or, with `after`, after it.
    `hang` is a wait before the answer, in seconds. `refuse` lists keys that a bulk delete does not
    delete but answers with `code`; `"odd"` means every second key.
    """

    on: Request
    status: int = 0
    code: str = "InternalError"
    times: int = 1
    skip: int = 0
    after: bool = False
    hang: float = 0.0
    refuse: Sequence[str] | Literal["odd"] = ()


@dataclass
class S3:
    """The server, as a test uses it."""

    url: str
    session: Any = field(default_factory=get_session)

    @property
    def env(self) -> dict[str, str]:
        """The environment variables for its clients."""
        return credentials(self.url)

    def fails(self, *faults: Fault) -> None:
        """Set the faults, in place of the previous ones."""
        self._control("PUT", body=[asdict(each) for each in faults])

    def seen(self) -> Counter[str]:
        """The number of requests by kind since the last `fails`."""
        return Counter(self._control("GET"))

    def fill(self, bucket: str, keys: Iterable[str], body: str = "x") -> None:
        """Put an object under each key, many times faster than over S3's own API."""
        self._control("POST", body={"bucket": bucket, "keys": [*keys], "body": body})

    def number(self, bucket: str, prefix: str) -> int:
        """The number of versions and delete markers, as fast as `fill`."""
        query = urlencode({"bucket": bucket, "prefix": prefix})
        return int(self._control("GET", f"{CONTROL}?{query}"))

    def _control(self, method: str, path: str = CONTROL, *, body: object = None) -> Any:
        """By the standard library: there are hundreds of these, and httpx takes much longer."""
        http = HTTPConnection(urlsplit(self.url).netloc, timeout=WITHIN)
        http.request(method, path, json.dumps(body))
        with http.getresponse() as answer:
            text = answer.read()
            assert answer.status == 200, text
        http.close()
        return json.loads(text)

    @asynccontextmanager
    async def client(self) -> AsyncIterator[Any]:
        """An aiobotocore client of the server."""
        async with self.session.create_client(
            "s3",
            endpoint_url=self.url,
            region_name=REGION,
            aws_access_key_id=KEY,
            aws_secret_access_key=SECRET,
        ) as client:
            yield client

    async def new_bucket(self) -> str:
        """Create a bucket for one test; return its name."""
        name = f"avatars-{uuid4().hex[:12]}"
        async with self.client() as client:
            await client.create_bucket(Bucket=name)
        return name

    async def keys(self, bucket: str, prefix: str = "") -> list[str]:
        """The keys of all objects, in order."""
        found: list[str] = []
        async with self.client() as client:
            pages = client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
            async for page in pages:
                found.extend(each["Key"] for each in page.get("Contents", ()))
        return found

    async def versions(self, bucket: str, prefix: str = "") -> list[tuple[str, str]]:
        """The key and version of all versions and delete markers."""
        found: list[tuple[str, str]] = []
        async with self.client() as client:
            pages = client.get_paginator("list_object_versions").paginate(
                Bucket=bucket, Prefix=prefix
            )
            async for page in pages:
                listed = [*page.get("Versions", ()), *page.get("DeleteMarkers", ())]
                found.extend((each["Key"], each["VersionId"]) for each in listed)
        return found


@asynccontextmanager
async def s3_server() -> AsyncIterator[S3]:
    """Start the server, and stop it at the end of the block."""
    argv = [sys.executable, "-m", "tests.support.s3_server"]
    async with ChildProcess("s3", argv, env={}) as process:
        line = await process.wait_for_line(lambda line: line.startswith("serving "), WITHIN)
        yield S3(line.split()[1])
