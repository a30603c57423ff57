"""Spans that tests look at, and how they are held against the table of docs/reference/traces.md."""

import asyncio
import gzip
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Final

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.trace.v1.trace_pb2 import Span as PostedSpan
from opentelemetry.proto.trace.v1.trace_pb2 import Status as PostedStatus
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace.status import StatusCode

from deletion.tracing import Span
from tests.architecture.documents import REFERENCE, table
from tests.support.tcp import TcpServer

TRACES: Final = REFERENCE / "traces.md"
FAILURES: Final = {"error.type", "db.response.status_code"}
"""Attributes that any span of a failure may have."""
THOSE_OF: Final = re.compile(r"those of (\w+)(?:, )?")
PLACEHOLDER: Final = re.compile("[A-Z]{4,}")


class Kept:
    """`deletion.tracing.Sink` that keeps what it gets, in the order in which it ended."""

    def __init__(self) -> None:
        self.spans: list[Span] = []

    def admits(self) -> bool:
        """See the port."""
        return True

    def put(self, span: Span) -> None:
        """See the port."""
        self.spans.append(span)

    @property
    def names(self) -> list[str]:
        """The names, in the order in which the spans ended."""
        return [span.name for span in self.spans]

    def named(self, name: str) -> list[Span]:
        """The spans with this name."""
        return [span for span in self.spans if span.name == name]

    def one(self, name: str) -> Span:
        """The only span with this name."""
        (span,) = self.named(name)
        return span


@dataclass(frozen=True)
class Seen:
    """A span as it was exported; ids are hex, `kind` is a word of the table."""

    name: str
    kind: str
    trace_id: str
    span_id: str
    parent_id: str
    links: tuple[str, ...]
    attributes: Mapping[str, object]
    has_failed: bool
    service: str

    @classmethod
    def exported(cls, span: ReadableSpan) -> "Seen":
        """One that an exporter in memory got."""
        context, parent = span.get_span_context(), span.parent
        assert context is not None
        return cls(
            span.name,
            span.kind.name.lower(),
            f"{context.trace_id:032x}",
            f"{context.span_id:016x}",
            f"{parent.span_id:016x}" if parent else "",
            tuple(f"{link.context.span_id:016x}" for link in span.links),
            dict(span.attributes or {}),
            span.status.status_code is StatusCode.ERROR,
            str(span.resource.attributes["service.name"]),
        )

    @classmethod
    def posted(cls, span: PostedSpan, service: str) -> "Seen":
        """One that a collector got."""
        values = {
            each.key: getattr(each.value, str(each.value.WhichOneof("value")))
            for each in span.attributes
        }
        return cls(
            span.name,
            PostedSpan.SpanKind.Name(span.kind).removeprefix("SPAN_KIND_").lower(),
            span.trace_id.hex(),
            span.span_id.hex(),
            span.parent_span_id.hex(),
            tuple(link.span_id.hex() for link in span.links),
            values,
            span.status.code == PostedStatus.STATUS_CODE_ERROR,
            service,
        )


@dataclass(frozen=True)
class Row:
    """A row of the table."""

    span: str
    kind: str
    parent: str
    links: str
    attributes: frozenset[str]

    @cached_property
    def pattern(self) -> re.Pattern[str]:
        """Matches the names of its spans."""
        if self.kind == "server":
            return re.compile(re.escape(self.span).replace("PAGE", ".+"))
        return re.compile(PLACEHOLDER.sub(".+", self.span))


def rows() -> list[Row]:
    """The table, with `those of` resolved."""
    attributes: dict[str, frozenset[str]] = {}
    found = []
    for row in table(TRACES, "span", "kind"):
        text = row["attributes"]
        own = {name for name in THOSE_OF.sub("", text).split(", ") if name}
        for word in THOSE_OF.findall(text):
            own |= attributes[word]
        attributes.setdefault(row["span"].split()[0], frozenset(own))
        found.append(Row(row["span"], row["kind"], row["parent"], row["linked to"], frozenset(own)))
    return found


def check(spans: Iterable[Seen]) -> set[str]:
    """Hold every span against its row. Returns the rows, by their first column, that had one."""
    by_id = {span.span_id: span for span in spans}
    met, table_rows = set(), rows()
    for span in by_id.values():
        fitting = [row for row in table_rows if row.pattern.fullmatch(span.name)]
        names = set(span.attributes) - FAILURES
        row = next((row for row in fitting if row.attributes == names), fitting[0])
        _check(span, row, by_id)
        met.add(row.span)
    return met


def _check(span: Seen, row: Row, by_id: Mapping[str, Seen]) -> None:
    assert span.kind == row.kind, span
    assert set(span.attributes) - FAILURES == row.attributes - _unknown(span), span
    assert span.has_failed == ("error.type" in span.attributes), span
    parent = by_id.get(span.parent_id)
    match row.parent:
        case "":
            assert not span.parent_id, span
        case "*the client's span*":
            assert parent is None, span
        case "the request":
            assert parent is not None, span
            assert parent.kind == "server", span
        case "the span that is current":
            assert parent is not None, span
        case names:
            assert parent is not None, span
            assert parent.name.split()[0] in names.split(" or "), span
    linked = [by_id[link] for link in span.links]
    if not row.links:
        assert not linked, span
    for other in linked:
        assert other.name.split()[0] == "create" or other.kind == "server", span


def _unknown(span: Seen) -> set[str]:
    """What a span need not have: it failed before that was known, or there was no batch left."""
    late = {"botdel.job.status", "botdel.deleted", "botdel.empty", "botdel.jobs"}
    late |= {"botdel.records"}
    is_last = span.name == "batch" or span.name.startswith("sweep ")
    return late - set(span.attributes) if span.has_failed or is_last else set()


class Collector(TcpServer):
    """Takes traces by OTLP over HTTP. It answers `status`; if it `hangs`, it never answers."""

    def __init__(self, *, status: int = 200, hangs: bool = False) -> None:
        super().__init__()
        self.status = status
        self.hangs = hangs
        self.spans: list[Seen] = []
        self.versions: set[str] = set()
        self.requests = 0

    @property
    def url(self) -> str:
        """A value for OTEL_EXPORTER_OTLP_ENDPOINT."""
        return f"http://127.0.0.1:{self.port}"

    def named(self, name: str) -> list[Seen]:
        """The spans with this name."""
        return [span for span in self.spans if span.name == name]

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """See the base class."""
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
                assert head.startswith("POST /v1/traces "), head
                fields = dict(line.lower().split(": ", 1) for line in head.split("\r\n")[1:-2])
                body = await reader.readexactly(int(fields["content-length"]))
                self.requests += 1
                if self.hangs:
                    await asyncio.Event().wait()
                if self.status == 200:
                    is_gzip = fields.get("content-encoding") == "gzip"
                    self._take(gzip.decompress(body) if is_gzip else body)
                answer = ExportTraceServiceResponse().SerializeToString()
                status = f"HTTP/1.1 {self.status} -\r\nContent-Length: {len(answer)}\r\n\r\n"
                writer.write(status.encode() + answer)
        except (asyncio.IncompleteReadError, ConnectionError):
            return  # the client is gone
        finally:
            writer.close()

    def _take(self, body: bytes) -> None:
        for each in ExportTraceServiceRequest.FromString(body).resource_spans:
            values = {a.key: a.value.string_value for a in each.resource.attributes}
            self.versions.add(values["service.version"])
            for scope in each.scope_spans:
                assert scope.scope.name == "bot-deletion-pipeline"
                self.spans += [Seen.posted(span, values["service.name"]) for span in scope.spans]
