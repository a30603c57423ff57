"""docs/reference/traces.md says which spans there are, and no span names a bot."""

from typing import Any

import pytest
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from deletion.adapters.traces import Export
from deletion.bus import Message
from deletion.errors import PermanentError
from deletion.job import Status
from deletion.message_spans import MessageSpans
from deletion.tracing import Span, Tracer, current
from tests.architecture.ways import World
from tests.support.commands import python
from tests.support.factories import BOT
from tests.support.spans import Kept, Seen, check, rows

ELSEWHERE = {"send TOPIC", "nack SUBSCRIPTION", "COMMAND COLLECTION", "COMMAND DATABASE"}
ELSEWHERE |= {"ledger PART", "GET /v1/deletions", "GET /v1/deletions/{event_id}"}
ELSEWHERE |= {"GET PAGE", "POST PAGE"}
"""Spans of real parts, of the ledger and of the console, and of a database that records nothing:
tests/integration/test_traces.py and unit tests have them."""


def a_world(tracer: Tracer, *, is_saga: bool) -> World:
    """One whose step is refused at its second batch, with a poison message."""
    world = World(is_saga=is_saga, tracer=tracer)
    world.step.script.extend([None, PermanentError(f"bot {BOT} is refused")])
    world.bus.put(Message(b"\xff", {}))
    return world


async def seen_in_a_whole_run() -> list[Seen]:
    """A job that fails, is resumed and completes; another one that is rolled back."""
    exporter = InMemorySpanExporter()
    export = Export(exporter, Resource({"service.name": "test"}))
    resumed = a_world(Tracer(export), is_saga=False)
    await resumed.place()
    await resumed.consume(lambda: resumed.is_now(Status.FAILED) and resumed.is_acked)
    await resumed.sweep()
    await resumed.consume(lambda: resumed.is_now(Status.COMPLETE))
    rolled_back = a_world(Tracer(export), is_saga=True)
    await rolled_back.place()
    await rolled_back.consume(lambda: rolled_back.is_now(Status.COMPENSATED))
    await export.close(30)
    return [Seen.exported(span) for span in exporter.get_finished_spans()]


@pytest.mark.virtual_time
async def test_every_span_of_a_whole_run_is_in_the_table() -> None:
    spans = await seen_in_a_whole_run()
    assert check(spans) == {row.span for row in rows()} - ELSEWHERE


@pytest.mark.proves("traces-name-no-bot")
@pytest.mark.virtual_time
async def test_no_span_names_a_bot() -> None:
    for span in await seen_in_a_whole_run():
        assert BOT not in repr(span).lower()


@pytest.mark.virtual_time
async def test_each_attempt_is_a_trace_of_its_own_with_a_link_to_the_request() -> None:
    spans = await seen_in_a_whole_run()
    runs = [span for span in spans if span.name.startswith("run ")]
    created = {span.span_id: span.trace_id for span in spans if span.name.startswith("create ")}
    assert len({span.trace_id for span in runs}) == len(runs) == 4
    assert {span.trace_id for span in runs}.isdisjoint(created.values())
    assert [len(created.keys() & span.links) for span in runs] == [1, 1, 1, 1]
    assert [span.attributes.get("error.type") for span in runs] == [
        "PermanentError",
        None,
        "PermanentError",
        None,
    ]


@pytest.mark.virtual_time
async def test_a_request_and_its_event_are_one_trace() -> None:
    spans = await seen_in_a_whole_run()
    requests = {span.span_id: span for span in spans if span.name.startswith("DELETE ")}
    created = [span for span in spans if span.name.startswith("create ")]
    assert len(requests) == len(created) == 2
    for span in created:
        assert span.trace_id == requests[span.parent_id].trace_id


@pytest.mark.virtual_time
async def test_the_pages_of_a_sweep_record_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else the trace of a sweep would grow with the jobs."""
    kept, recorded = Kept(), list[bool]()
    world = a_world(Tracer(kept), is_saga=False)
    silent = world.store.silent

    async def looking(*given: Any, **named: Any) -> Any:
        outer = current()
        recorded.append(outer is not None and outer.is_recorded)
        return await silent(*given, **named)

    monkeypatch.setattr(world.store, "silent", looking)
    await world.sweep()
    assert recorded
    assert not any(recorded)
    assert {"sweep", "sweep failed", "sweep in_progress"} <= set(kept.names)


@pytest.mark.proves("traces-off")
@pytest.mark.virtual_time
async def test_without_a_tracer_nothing_of_one_is_called(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a span was made")

    for owner, name in ((Span, "__init__"), (Tracer, "__init__"), (MessageSpans, "__init__")):
        monkeypatch.setattr(owner, name, refuse)
    world = World()
    world.step.script.append(PermanentError("refused"))
    await world.place()
    await world.consume(lambda: world.is_now(Status.FAILED))
    await world.sweep()
    await world.consume(lambda: world.is_now(Status.COMPLETE))


@pytest.mark.proves("traces-off")
def test_no_process_loads_what_exports_traces_before_it_is_asked_to() -> None:
    done = python(
        "import console.main, consumers.main, gateway.main, recovery.main\nprint(*sys.modules)"
    )
    assert done.returncode == 0, done.stderr
    loaded = done.stdout.split()
    assert "deletion.process.tracing" in loaded
    exporting = ("deletion.adapters.traces", "opentelemetry.sdk", "opentelemetry.exporter")
    assert not [name for name in loaded if name.startswith(exporting)]
