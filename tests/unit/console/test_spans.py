"""Requests to the console have spans, as docs/reference/traces.md says."""

import pytest
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from deletion.adapters.traces import Export
from deletion.tracing import Tracer
from tests.support.factories import BOT
from tests.support.spans import Kept, Seen, check
from tests.support.visiting import OPERATOR, OWN_PAGE, VIEWER, Console, bearer

pytestmark = pytest.mark.virtual_time
EVENT = "0a8f5a0e-35a5-4b4e-9d3c-4f8f4b9c1d11"


async def test_pages_and_the_api_have_spans_that_are_in_the_table_and_name_no_bot() -> None:
    exporter = InMemorySpanExporter()
    export = Export(exporter, Resource({"service.name": "test"}))
    async with Console().visited(Tracer(export)) as visited:
        for path in ("/", f"/jobs?bot={BOT}", f"/jobs/{BOT}", "/doctor", "/login"):
            await visited.get(path)
        for path in (f"/v1/deletions?bot_id={BOT}", f"/v1/deletions/{EVENT}"):
            await visited.http.get(path, headers=bearer(VIEWER))
        await visited.http.post("/logout", headers=OWN_PAGE | visited.cookie(OPERATOR))
    await export.close(30)
    spans = [Seen.exported(span) for span in exporter.get_finished_spans()]
    api = {"GET /v1/deletions", "GET /v1/deletions/{event_id}"}
    assert check(spans) == {"GET PAGE", "POST PAGE", *api}
    assert {span.name for span in spans} >= {"GET /", "GET /jobs", "GET /jobs/{job_id}", *api}
    assert len(spans) == 7  # none for the log-in, which anybody can see
    assert BOT not in repr(spans)


async def test_a_stranger_leaves_no_span() -> None:
    kept = Kept()
    async with Console().visited(Tracer(kept)) as visited:
        for path in (f"/v1/deletions/{EVENT}", "/", "/login", "/nothing"):
            await visited.http.get(path)
        await visited.http.post("/login", data={"token": "wrong"}, headers=OWN_PAGE)
    assert kept.spans == []


async def test_a_log_in_has_a_span() -> None:
    kept = Kept()
    async with Console().visited(Tracer(kept)) as visited:
        await visited.http.post(
            "/login", data={"token": OPERATOR.token.get_secret_value()}, headers=OWN_PAGE
        )
    assert kept.one("POST /login").attributes["http.response.status_code"] == 303


async def test_a_page_that_does_not_exist_is_not_named() -> None:
    kept = Kept()
    async with Console().visited(Tracer(kept)) as visited:
        await visited.http.get("/nothing", headers=bearer(VIEWER))
    span = kept.one("GET")
    assert "http.route" not in span.attributes
    assert span.attributes["http.response.status_code"] == 404


async def test_probes_and_files_have_no_span() -> None:
    kept = Kept()
    async with Console().visited(Tracer(kept)) as visited:
        for path in ("/healthz", "/readyz", "/metrics", "/static/0/console.css"):
            await visited.http.get(path)
    assert kept.spans == []
