"""The export of spans: what OpenTelemetry gets, and that nothing ever waits for it."""

import asyncio
import time
from collections.abc import Sequence
from threading import Event

import pytest
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind
from opentelemetry.trace.status import StatusCode
from structlog.typing import EventDict

from deletion import __version__
from deletion.adapters import traces
from deletion.adapters.traces import ADMITTED_LIMIT, GROUP_LIMIT, QUEUE_LIMIT, Export, otlp_export
from deletion.traceparent import parsed
from deletion.tracing import Kind, Tracer
from tests.support.polling import eventually
from tests.support.spans import Collector

RESOURCE = Resource({"service.name": "test"})
PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
WITHIN = 30.0
"""Seconds; far more than anything here takes."""


class Hanging(SpanExporter):
    """Takes spans and hangs until it is released."""

    def __init__(self) -> None:
        self.release = Event()
        self.began = Event()

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        self.began.set()
        self.release.wait(WITHIN)
        return SpanExportResult.SUCCESS


class Failing(InMemorySpanExporter):
    """Raises the first time."""

    has_failed = False

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        if not self.has_failed:
            self.has_failed = True
            raise OSError("refused")
        return super().export(spans)


async def test_what_is_exported_is_what_was_recorded() -> None:
    exporter = InMemorySpanExporter()
    export = Export(exporter, RESOURCE)
    tracer = Tracer(export)
    outer = tracer.root("GET /", Kind.SERVER, {"a": 1}, parent=parsed(PARENT))
    with (
        outer,
        tracer.span("inner", Kind.CLIENT, links=[PARENT, PARENT.replace("-", "+")]) as inner,
    ):
        inner.failed("503")
    await export.close(WITHIN)
    first, second = exporter.get_finished_spans()
    assert (first.name, first.kind, second.name, second.kind) == (
        "inner",
        SpanKind.CLIENT,
        "GET /",
        SpanKind.SERVER,
    )
    assert first.context.trace_id == second.context.trace_id == int(outer.trace_id, 16)
    assert first.parent is not None
    assert second.parent is not None
    assert first.parent.span_id == second.context.span_id == int(outer.span_id, 16)
    assert (first.parent.is_remote, second.parent.is_remote) == (False, True)
    assert [link.context.span_id for link in first.links] == [second.parent.span_id]
    assert (first.status.status_code, second.status.status_code) == (
        StatusCode.ERROR,
        StatusCode.UNSET,
    )
    assert (second.start_time, second.end_time) == (outer.began, outer.ended)
    assert dict(second.attributes or {}) == {"a": 1}
    assert second.resource is RESOURCE
    assert encode_spans([first, second]).resource_spans


@pytest.mark.proves("traces-cost-no-deletion")
async def test_while_the_exporter_hangs_nothing_waits_and_what_has_no_room_is_dropped(
    logs: list[EventDict],
) -> None:
    exporter = Hanging()
    export = Export(exporter, RESOURCE)
    tracer = Tracer(export)
    began = time.perf_counter()
    with tracer.span("under way"):
        for _ in range(2 * QUEUE_LIMIT):
            tracer.span("any").end()
        assert await asyncio.to_thread(exporter.began.wait, WITHIN)
        for _ in range(2 * QUEUE_LIMIT):
            tracer.span("any").end()
    tracer.span("too late").end()
    assert len(export._waiting) == QUEUE_LIMIT
    assert time.perf_counter() - began < WITHIN / 2
    began = time.perf_counter()
    await export.close(0.2)
    assert time.perf_counter() - began < WITHIN / 2
    assert [line["event"] for line in logs] == ["spans not exported in time"]
    exporter.release.set()
    async with asyncio.timeout(WITHIN):
        while len(logs) < 2:  # noqa: ASYNC110 - logged by a thread
            await asyncio.sleep(0.01)
    assert logs[1]["event"] == "not recorded: more than can be exported"
    assert logs[1]["spans"] > QUEUE_LIMIT
    assert logs[1]["traces"] == 1


@pytest.mark.proves("traces-cost-no-deletion")
async def test_a_trace_that_begins_while_there_is_no_room_is_missing_as_a_whole() -> None:
    exporter = Hanging()
    export = Export(exporter, RESOURCE)
    tracer = Tracer(export)
    for _ in range(GROUP_LIMIT):
        tracer.span("any").end()
    assert await asyncio.to_thread(exporter.began.wait, WITHIN), "it takes no more"
    with tracer.span("under way") as under_way:
        for _ in range(2 * QUEUE_LIMIT):
            with tracer.root("request") as outer, tracer.span("inner") as inner:
                assert inner.is_recorded == outer.is_recorded
        assert ADMITTED_LIMIT <= len(export._waiting) <= ADMITTED_LIMIT + 1
        assert not outer.is_recorded
        assert tracer.span("next").is_recorded
        assert tracer.root("GET /", parent=parsed(PARENT)).is_recorded, "as its caller says"
    assert export._waiting[-1] is under_way
    exporter.release.set()
    await export.close(WITHIN)


async def test_what_is_lost_while_the_exporter_hangs_is_logged_before_it_goes_on(
    logs: list[EventDict], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may never go on, and the thread that exports then logs nothing."""
    exporter = Hanging()
    export = Export(exporter, RESOURCE)
    tracer = Tracer(export)
    for _ in range(2 * QUEUE_LIMIT):
        tracer.span("any").end()
    assert await asyncio.to_thread(exporter.began.wait, WITHIN)
    for _ in range(2 * QUEUE_LIMIT):
        tracer.span("any").end()
    assert logs == [], "the exporter may go on in time"
    monkeypatch.setattr(traces, "REPORT_SECONDS", 0)
    tracer.span("any").end()
    assert [line["event"] for line in logs] == ["not recorded: more than can be exported"]
    assert logs[0]["traces"] > QUEUE_LIMIT
    exporter.release.set()
    await export.close(WITHIN)


async def test_an_exporter_that_raises_loses_its_group_and_no_other(logs: list[EventDict]) -> None:
    exporter = Failing()
    export = Export(exporter, RESOURCE, busy_share=1)
    tracer = Tracer(export)
    for _ in range(300):
        tracer.span("any").end()
    await export.close(WITHIN)
    assert 0 < len(exporter.get_finished_spans()) < 300
    assert [line["event"] for line in logs] == ["spans not exported"]


async def test_exporting_keeps_to_its_share_of_the_time() -> None:
    export = Export(InMemorySpanExporter(), RESOURCE, busy_share=0.05)
    assert export._rest(0.01) == pytest.approx(0.19)
    await export.close(WITHIN)


async def test_spans_are_posted_where_the_settings_say(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", raising=False)
    async with Collector() as collector:
        export = otlp_export("botdel-test", f"{collector.url}/")
        with Tracer(export).span("any"):
            pass
        await export.close(WITHIN)
        (span,) = collector.spans
    assert (span.name, span.service) == ("any", "botdel-test")
    assert collector.versions == {__version__}


async def test_a_collector_that_refuses_is_a_line_in_the_log_and_no_error() -> None:
    async with Collector(status=400) as collector:
        export = otlp_export("botdel-test", collector.url)
        with Tracer(export).span("any"):
            pass
        await export.close(WITHIN)
        assert (collector.requests, collector.spans) == (1, [])


async def test_a_collector_that_never_answers_keeps_no_process_from_ending() -> None:
    async with Collector(hangs=True) as collector:
        export = otlp_export("botdel-test", collector.url)
        with Tracer(export).span("any"):
            pass
        await eventually(lambda: collector.requests == 1)
        began = time.perf_counter()
        await export.close(0.5)
        assert 0.4 < time.perf_counter() - began < WITHIN / 2
        assert collector.requests == 1
