"""A line of the log names the span that is current, if there is one."""

import json
import logging
from collections.abc import Iterator

import pytest
import structlog

from deletion.process import logs
from deletion.sampling import Sampling
from deletion.tracing import Tracer, muted
from tests.support.spans import Kept


@pytest.fixture
def configured() -> Iterator[None]:
    root = logging.getLogger()
    before = root.handlers, root.level
    logs.configure("json")
    yield
    root.handlers, root.level = before
    structlog.reset_defaults()


@pytest.mark.usefixtures("configured")
@pytest.mark.parametrize("sampling", [Sampling(1.0), Sampling(0.0)])
def test_a_line_names_the_current_span_recorded_or_not(
    capsys: pytest.CaptureFixture[str], sampling: Sampling
) -> None:
    log = structlog.get_logger("any")
    with Tracer(Kept(), sampling).span("any") as span:
        log.info("inside")
        with muted():
            log.info("inside")
    log.info("outside")
    *inside, outside = map(json.loads, capsys.readouterr().out.splitlines())
    assert len(inside) == 2
    for line in inside:
        assert (line["trace_id"], line["span_id"]) == (span.trace_id, span.span_id)
    assert outside.keys().isdisjoint({"trace_id", "span_id"})
