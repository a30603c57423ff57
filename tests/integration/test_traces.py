"""Traces of real processes over the real broker and database, as a collector gets them."""

import time

import pytest

from deletion.adapters.unproxied import unproxied
from tests.support.pipeline import SERVICE, TOKEN, WITHIN, Pipeline, listening, sweep, until
from tests.support.polling import SLACK
from tests.support.spans import Collector, Seen, check

GRACE = 8.0
HEADERS = {"Authorization": f"Bearer {TOKEN}"}
TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


def traced(pipeline: Pipeline, collector: Collector) -> None:
    pipeline.settings |= {
        "BOTDEL_TRACES": "otlp",
        "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url,
        "BOTDEL_SHUTDOWN_GRACE_SECONDS": str(GRACE),
    }


async def delete(pipeline: Pipeline, bots: list[str], **headers: str) -> None:
    """Ask for the deletion of `bots`, and wait until they are deleted; then stop everything."""
    gateway = pipeline.process("gateway", "botdel.cli", "gateway", "--port", "0")
    recovery = pipeline.process("recovery", "botdel.cli", "recovery")
    async with gateway, pipeline.consumer() as consumer, recovery:
        url = await listening(gateway)
        async with unproxied(base_url=url, headers=HEADERS | headers, timeout=WITHIN) as http:
            for bot in bots:
                assert (await http.delete(f"/v1/bots/{bot}")).status_code == 202
        for bot in bots:
            await until(lambda bot=bot: pipeline.has_status(bot, "complete"))  # type: ignore[misc]
        assert await sweep(pipeline, await listening(recovery)) == 0
        for process in (gateway, consumer, recovery):
            process.terminate()
        for process in (gateway, consumer, recovery):
            assert await process.wait(GRACE + SLACK) == 0


@pytest.mark.proves("traces-name-no-bot")
async def test_a_deletion_is_traced_from_its_request_to_its_last_command(
    pipeline: Pipeline,
) -> None:
    bots = await pipeline.fill(25, 5)
    async with Collector() as collector:
        traced(pipeline, collector)
        await delete(pipeline, bots, traceparent=f"00-{TRACE}-{SPAN}-01")
    spans = collector.spans
    assert check(spans) >= {
        "DELETE /v1/bots/{bot_id}",
        "create TOPIC",
        "send TOPIC",
        "receive SUBSCRIPTION",
        "process SUBSCRIPTION",
        "ack SUBSCRIPTION",
        "run SERVICE",
        "step STEP",
        "batch",
        "read back STEP",
        "sweep",
        "sweep STATUS",
        "COMMAND COLLECTION",
    }
    assert {span.service for span in spans} == {
        "botdel-gateway",
        f"botdel-consumer-{SERVICE}",
        "botdel-recovery",
    }
    assert not [span for span in spans for bot in bots if bot in repr(span).lower()]
    assert_connected(spans, bots=2)


def assert_connected(spans: list[Seen], *, bots: int) -> None:
    """Requests continue the client's trace; each run is linked to the request of its job."""
    requests = [span for span in spans if span.name.startswith("DELETE ")]
    assert [(span.trace_id, span.parent_id) for span in requests] == [(TRACE, SPAN)] * bots
    created = {span.span_id for span in spans if span.name.startswith("create ")}
    runs = [span for span in spans if span.name.startswith("run ")]
    assert len(created) == len(runs) == bots
    assert {link for span in runs for link in span.links} == created
    below = {span.name for span in spans if span.trace_id in {run.trace_id for run in runs}}
    assert {"find messages", "delete messages", "update deletion_jobs"} <= below


@pytest.mark.proves("traces-cost-no-deletion")
@pytest.mark.parametrize("status", [None, 503], ids=["hangs", "refuses"])
async def test_a_collector_that_does_not_work_keeps_nothing_from_working(
    pipeline: Pipeline, status: int | None
) -> None:
    (bot,) = await pipeline.fill(25)
    async with Collector(status=status or 200, hangs=status is None) as collector:
        traced(pipeline, collector)
        began = time.monotonic()
        await delete(pipeline, [bot])
        assert time.monotonic() - began < WITHIN / 2
        assert await pipeline.left(bot) == 0
        assert collector.requests


async def test_a_request_whose_trace_is_not_recorded_leaves_no_span(pipeline: Pipeline) -> None:
    (bot,) = await pipeline.fill(5)
    async with Collector() as collector:
        traced(pipeline, collector)
        await delete(pipeline, [bot], traceparent=f"00-{TRACE}-{SPAN}-00")
    assert {span.service for span in collector.spans} == {"botdel-recovery"}
