"""The gateway with traces on and an exporter that does nothing: what recording alone costs."""

from collections.abc import Sequence

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from botdel.cli import app
from deletion.adapters import traces


class NoExporter(SpanExporter):
    """Takes spans and forgets them."""

    def __init__(self, endpoint: str | None = None) -> None:
        """Takes the place of OTLP's, which has an endpoint."""

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Forget them."""
        return SpanExportResult.SUCCESS


if __name__ == "__main__":
    vars(traces)["OTLPSpanExporter"] = NoExporter
    app(["gateway"])
