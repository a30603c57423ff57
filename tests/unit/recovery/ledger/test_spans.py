"""What the ledger does has spans, as docs/reference/traces.md says."""

import pytest
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from deletion.adapters.traces import Export
from deletion.errors import StoreUnavailable
from deletion.message_spans import MessageSpans
from deletion.tracing import Kind, Tracer
from tests.support.clock import until
from tests.support.ledger_world import LedgerWorld
from tests.support.spans import Kept, Seen, check

pytestmark = [pytest.mark.virtual_time, pytest.mark.usefixtures("logs")]
HTTP: dict[str, str | int | float] = {
    "http.request.method": "GET",
    "url.scheme": "http",
    "http.route": "/v1/deletions",
    "http.response.status_code": 200,
}
TOPIC = "projects/any/topics/bot-deletion"


async def test_a_request_from_its_event_to_its_callback_is_in_the_table() -> None:
    exporter = InMemorySpanExporter()
    export = Export(exporter, Resource({"service.name": "test"}))
    tracer, world = Tracer(export), LedgerWorld("media")
    await world.register()
    with tracer.root("GET /v1/deletions", Kind.SERVER) as request:
        request.note(HTTP)
        created = MessageSpans(tracer, TOPIC).created()
    async with world.replica(tracer=tracer).running():
        event_id = await world.place(traceparent=created)
        await until(lambda: event_id in world.requests.requests)
        await world.done(event_id, "media")
        await until(lambda: bool(world.called.ids), within=10)
    await export.close(30)
    spans = [Seen.exported(span) for span in exporter.get_finished_spans()]
    messages = {"receive SUBSCRIPTION", "process SUBSCRIPTION", "ack SUBSCRIPTION"}
    assert check(spans) == {"GET /v1/deletions", "create TOPIC", "ledger PART", *messages}
    parts = {span.name: span for span in spans if span.name.startswith("ledger ")}
    assert set(parts) == {"ledger settle", "ledger announce", "ledger call"}
    assert {span.attributes["botdel.records"] for span in parts.values()} == {1}
    bot = world.requests.requests[event_id].bot_id
    assert bot not in repr(spans)


async def test_a_pass_that_has_nothing_to_do_has_no_span() -> None:
    kept, world = Kept(), LedgerWorld("media")
    await world.register()
    async with world.replica(tracer=Tracer(kept)).running():
        await world.clock.sleep(7200)
    assert kept.names == []


async def test_a_pass_that_fails_has_a_span_that_says_why() -> None:
    kept, world = Kept(), LedgerWorld("media")
    await world.register()

    async def fault(call: str, is_done: bool) -> None:
        if call == "unreported" and not is_done:
            raise StoreUnavailable("MongoDB has no primary")

    world.fault = fault
    async with world.replica(tracer=Tracer(kept)).running():
        await world.clock.sleep(1)
    assert set(kept.names) == {"ledger settle"}
    assert kept.spans[0].error == "StoreUnavailable"
    assert kept.spans[0].attributes == {"error.type": "StoreUnavailable"}
