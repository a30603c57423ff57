"""moto's S3 server in a separate process, over HTTP, with faults that a test may inject.

`python -m tests.support.s3` serves on a free port and prints it. moto is not thread-safe, so one
request is served at a time; a request that is made to hang does not block the others.
"""

import io
import json
import sys
import threading
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, field
from typing import Any, Literal
from urllib.parse import parse_qs
from uuid import uuid4
from xml.etree import ElementTree

import httpx
from aiobotocore.session import get_session
from moto.core.models import DEFAULT_ACCOUNT_ID
from moto.s3.models import s3_backends

from botdel.local.processes import ChildProcess
from botdel.local.s3 import KEY, REGION, SECRET, App, Environ, Start, credentials, moto_app, serve

WITHIN = 120.0
"""Seconds; far longer than the server takes to start or to be filled."""
NAMESPACE = "http://s3.amazonaws.com/doc/2006-03-01/"
CONTROL = "/_control"

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
class Faults:
    """The WSGI middleware in front of moto."""

    app: App
    faults: list[dict[str, Any]] = field(default_factory=list)
    seen: Counter[str] = field(default_factory=Counter)
    lock: threading.Lock = field(default_factory=threading.Lock)
    control: threading.Lock = field(default_factory=threading.Lock)

    def __call__(self, environ: Environ, start: Start) -> Iterable[bytes]:
        if environ["PATH_INFO"] == CONTROL:
            return self._controlled(environ, start)
        fault = self._due(_kinds(environ))
        if fault is None:
            return self._served(environ, start)
        time.sleep(fault["hang"])
        if fault["refuse"]:
            return self._partly(environ, start, fault)
        if fault["after"]:
            self._served(environ, lambda *_: None)
        if fault["status"]:
            return _answered(start, fault["status"], fault["code"])
        return [] if fault["after"] else self._served(environ, start)

    def _controlled(self, environ: Environ, start: Start) -> Iterable[bytes]:
        """PUT sets the faults and resets the counts; GET returns the counts; POST puts objects.

        With a query GET returns the number of versions and delete markers.
        """
        if environ["REQUEST_METHOD"] == "POST":
            with self.lock:
                _put(**json.loads(_body(environ)))
        if query := parse_qs(environ["QUERY_STRING"]):
            with self.lock:
                found = _number(query["bucket"][0], query["prefix"][0])
            start("200 OK", [("Content-Type", "application/json")])
            return [str(found).encode()]
        with self.control:
            if environ["REQUEST_METHOD"] == "PUT":
                self.faults = json.loads(_body(environ))
                self.seen.clear()
            seen = json.dumps(self.seen).encode()
        start("200 OK", [("Content-Type", "application/json")])
        return [seen]

    def _due(self, kinds: Sequence[str]) -> dict[str, Any] | None:
        with self.control:
            self.seen.update(kinds)
            for fault in self.faults:
                if fault["on"] not in kinds or not fault["times"]:
                    continue
                if fault["skip"]:
                    fault["skip"] -= 1
                    continue
                fault["times"] -= 1
                return fault
        return None

    def _served(self, environ: Environ, start: Start) -> Iterable[bytes]:
        with self.lock:
            return list(self.app(environ, start))

    def _partly(self, environ: Environ, start: Start, fault: dict[str, Any]) -> Iterable[bytes]:
        """A bulk delete that refuses some of its keys."""
        root = ElementTree.fromstring(_body(environ))  # noqa: S314
        space = root.tag.partition("}")[0] + "}" if "}" in root.tag else ""
        refused = []
        for n, each in enumerate(root.findall(f"{space}Object")):
            key = each.findtext(f"{space}Key") or ""
            if n % 2 if fault["refuse"] == "odd" else key in fault["refuse"]:
                refused.append((key, each.findtext(f"{space}VersionId")))
                root.remove(each)
        ElementTree.register_namespace("", NAMESPACE)  # moto knows no prefixes
        body = ElementTree.tostring(root)
        environ |= {"wsgi.input": io.BytesIO(body), "CONTENT_LENGTH": str(len(body))}
        environ.pop("HTTP_TRANSFER_ENCODING", None)
        if root.findall(f"{space}Object"):
            self._served(environ, lambda *_: None)
        answer = ElementTree.Element("DeleteResult", xmlns=NAMESPACE)
        for key, version in refused:
            error = ElementTree.SubElement(answer, "Error")
            for tag, text in (("Key", key), ("VersionId", version), ("Code", fault["code"])):
                if text:
                    ElementTree.SubElement(error, tag).text = text
        start("200 OK", [("Content-Type", "application/xml")])
        return [ElementTree.tostring(answer)]


def _put(bucket: str, keys: Sequence[str], body: str) -> None:
    backend = s3_backends[DEFAULT_ACCOUNT_ID]["aws"]
    for key in keys:
        backend.put_object(bucket, key, body.encode())


def _number(bucket: str, prefix: str) -> int:
    held = s3_backends[DEFAULT_ACCOUNT_ID]["aws"].buckets[bucket].keys
    return sum(len(versions) for key, versions in held.iterlists() if key.startswith(prefix))


def _kinds(environ: Environ) -> Sequence[str]:
    query = parse_qs(environ.get("QUERY_STRING", ""), keep_blank_values=True)
    kinds = ["any"]
    if environ["REQUEST_METHOD"] == "POST" and "delete" in query:
        kinds.append("delete")
    if environ["REQUEST_METHOD"] == "GET" and query.keys() & {"list-type", "versions", "uploads"}:
        kinds.append("list")
    return [*kinds, *(kind for kind in ("versions", "versioning") if kind in query)]


def _body(environ: Environ) -> bytes:
    """The body, even if a client sends it without its length."""
    if length := environ.get("CONTENT_LENGTH"):
        return bytes(environ["wsgi.input"].read(int(length)))
    return bytes(environ["wsgi.input"].read())


def _answered(start: Start, status: int, code: str) -> Iterable[bytes]:
    start(f"{status} Injected", [("Content-Type", "application/xml")])
    return [f"<Error><Code>{code}</Code><Message>injected</Message></Error>".encode()]


@dataclass
class S3:
    """The server, as a test uses it."""

    url: str
    session: Any = field(default_factory=get_session)
    http: httpx.Client = field(default_factory=lambda: httpx.Client(trust_env=False, verify=False))  # noqa: S501

    @property
    def env(self) -> dict[str, str]:
        """The environment variables for its clients."""
        return credentials(self.url)

    def fails(self, *faults: Fault) -> None:
        """Set the faults, in place of the previous ones."""
        self.http.put(self.url + CONTROL, json=[asdict(each) for each in faults]).raise_for_status()

    def seen(self) -> Counter[str]:
        """The number of requests by kind since the last `fails`."""
        return Counter(self.http.get(self.url + CONTROL).raise_for_status().json())

    def fill(self, bucket: str, keys: Iterable[str], body: str = "x") -> None:
        """Put an object under each key, many times faster than over S3's own API."""
        order = {"bucket": bucket, "keys": [*keys], "body": body}
        self.http.post(self.url + CONTROL, json=order, timeout=WITHIN).raise_for_status()

    def number(self, bucket: str, prefix: str) -> int:
        """The number of versions and delete markers, as fast as `fill`."""
        query = {"bucket": bucket, "prefix": prefix}
        return int(self.http.get(self.url + CONTROL, params=query).raise_for_status().text)

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
    argv = [sys.executable, "-m", "tests.support.s3"]
    async with ChildProcess("s3", argv, env={}) as process:
        line = await process.wait_for_line(lambda line: line.startswith("serving "), WITHIN)
        s3 = S3(line.split()[1])
        with s3.http:
            yield s3


if __name__ == "__main__":
    serve(Faults(moto_app()))
