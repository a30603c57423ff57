"""Exports spans by OpenTelemetry: in a thread of its own, for which nothing ever waits.

Spans become those of OpenTelemetry in that thread. Its share of the time is bounded, and so is
the number of spans that wait. While most of the room is taken, no trace begins; while all of it is,
spans of traces under way are dropped. Both are counted. So neither an exporter that hangs nor any
load makes a request or a deletion slower: docs/decisions/0038.
"""

import asyncio
import os
import time
from collections import deque
from threading import Event, Thread
from typing import Final

import structlog
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import SERVICE_NAME, SERVICE_VERSION, Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.semconv.schemas import Schemas
from opentelemetry.trace import Link, SpanContext, SpanKind, TraceFlags
from opentelemetry.trace.status import Status, StatusCode

from deletion import __version__
from deletion.traceparent import Remote, parsed
from deletion.tracing import Kind, Span

QUEUE_LIMIT: Final = 2048
"""The most spans that wait, about 2 kB each."""
GROUP_LIMIT: Final = 256
"""The most spans in one request."""
ADMITTED_LIMIT: Final = QUEUE_LIMIT - 2 * GROUP_LIMIT
"""While so many spans wait, no trace begins: the room that is left is for traces under way."""
WAIT_SECONDS: Final = 2.0
"""How long a span waits for others."""
BUSY_SHARE: Final = 0.01
"""The fraction of one core that exporting may take while the process works."""
REPORT_SECONDS: Final = 60.0
"""The shortest time between two log lines about traces and spans that were not recorded."""
TRACES_PATH: Final = "/v1/traces"
TRACES_ENDPOINT: Final = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"

SCOPE: Final = InstrumentationScope("bot-deletion-pipeline", schema_url=Schemas.V1_44_0.value)
KINDS: Final = {kind: SpanKind[kind.name] for kind in Kind}
UNSET: Final = Status(StatusCode.UNSET)
FAILED: Final = Status(StatusCode.ERROR)

log = structlog.get_logger(__name__)


class Export:
    """`deletion.tracing.Sink` that gives spans to `exporter`, in groups."""

    def __init__(
        self, exporter: SpanExporter, resource: Resource, *, busy_share: float = BUSY_SHARE
    ) -> None:
        self._exporter = exporter
        self._resource = resource
        self._busy_share = busy_share
        self._waiting: deque[Span] = deque()
        self._wake = Event()
        self._closing = Event()
        self._refused = 0
        self._dropped = 0
        self._lost_since: float | None = None
        self._reported = float("-inf")
        self._thread = Thread(target=self._run, name="traces", daemon=True)
        self._thread.start()

    def admits(self) -> bool:
        """See the port."""
        if len(self._waiting) < ADMITTED_LIMIT:
            return True
        self._refused += 1
        self._report_long_lost()
        return False

    def put(self, span: Span) -> None:
        """See the port."""
        waiting = self._waiting
        if len(waiting) >= QUEUE_LIMIT:
            self._dropped += 1
            self._report_long_lost()
            return
        waiting.append(span)
        if len(waiting) == GROUP_LIMIT:
            self._wake.set()

    async def close(self, seconds: float) -> None:
        """Export what still waits. Returns after at most `seconds`, whatever the exporter does."""
        self._closing.set()
        self._wake.set()
        until = time.monotonic() + seconds
        while self._thread.is_alive() and time.monotonic() < until:  # noqa: ASYNC110 - a thread
            await asyncio.sleep(0.01)
        if self._thread.is_alive():
            log.warning("spans not exported in time", spans=len(self._waiting))

    def _run(self) -> None:
        while not self._closing.is_set():
            self._wake.wait(WAIT_SECONDS)
            self._wake.clear()
            while self._waiting and not self._closing.is_set():
                self._closing.wait(self._rest(self._export_group()))
        while self._waiting:
            self._export_group()
        self._exporter.shutdown()

    def _export_group(self) -> float:
        """Export the spans that have waited longest. Returns the seconds this thread computed."""
        began = time.thread_time()
        group = [self._waiting.popleft() for _ in range(min(GROUP_LIMIT, len(self._waiting)))]
        try:
            self._exporter.export([self._readable(span) for span in group])
        except Exception:
            log.exception("spans not exported", spans=len(group))
        self._report_lost()
        return time.thread_time() - began

    def _rest(self, busy: float) -> float:
        """Seconds to wait after `busy` seconds of work, to keep to the share."""
        return busy * (1 / self._busy_share - 1)

    def _report_lost(self) -> None:
        is_due = time.monotonic() - self._reported >= REPORT_SECONDS
        if is_due and (self._refused or self._dropped):
            lost = {"traces": self._refused, "spans": self._dropped}
            log.warning("not recorded: more than can be exported", **lost)
            self._refused, self._dropped, self._reported = 0, 0, time.monotonic()
            self._lost_since = None

    def _report_long_lost(self) -> None:
        """Report for the thread that exports, if it has not for so long: its exporter hangs."""
        now = time.monotonic()
        since = self._lost_since = self._lost_since or now
        if now - since >= REPORT_SECONDS:
            self._report_lost()

    def _readable(self, span: Span) -> ReadableSpan:
        parent = span.parent_id and Remote(span.trace_id, span.parent_id, span.flags)
        is_remote = span.kind is Kind.SERVER  # the parents of all others are in this process
        return ReadableSpan(
            name=span.name,
            context=_context(Remote(span.trace_id, span.span_id, span.flags), is_remote=False),
            parent=_context(parent, is_remote=is_remote) if parent else None,
            resource=self._resource,
            attributes=span.attributes,
            links=[_link(link) for link in map(parsed, span.links) if link],
            kind=KINDS[span.kind],
            status=FAILED if span.error else UNSET,
            start_time=span.began,
            end_time=span.ended,
            instrumentation_scope=SCOPE,
        )


def otlp_export(service: str, endpoint: str | None) -> Export:
    """Exports to `endpoint`, or to where OpenTelemetry's own variables say."""
    url = None
    if endpoint and not os.environ.get(TRACES_ENDPOINT):
        url = endpoint.rstrip("/") + TRACES_PATH
    resource = Resource.create({SERVICE_NAME: service, SERVICE_VERSION: __version__})
    return Export(OTLPSpanExporter(endpoint=url), resource)


def _context(span: Remote, *, is_remote: bool) -> SpanContext:
    return SpanContext(
        int(span.trace_id, 16), int(span.span_id, 16), is_remote, TraceFlags(span.flags)
    )


def _link(span: Remote) -> Link:
    return Link(_context(span, is_remote=True))
