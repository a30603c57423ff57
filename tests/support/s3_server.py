"""moto's S3 server with the faults that a test injects: `python -m tests.support.s3_server`.

It serves on a free port and prints it. moto is not thread-safe, so one request is served at a time;
a request that is made to hang does not block the others. Imports none of the clients, so that it
starts sooner.
"""

import io
import json
import threading
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import parse_qs
from xml.etree import ElementTree

from moto.core.models import DEFAULT_ACCOUNT_ID
from moto.s3.models import s3_backends

from botdel.local.s3 import App, Environ, Start, moto_app, serve

NAMESPACE: Final = "http://s3.amazonaws.com/doc/2006-03-01/"
CONTROL: Final = "/_control"


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


if __name__ == "__main__":
    serve(Faults(moto_app()))
