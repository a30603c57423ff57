"""Logs: one line for each event on standard output, as JSON or readable on a terminal."""

import logging
import sys

import structlog

from deletion.tracing import current


def configure(log_format: str = "auto") -> None:
    """Set up logging for this process. `auto` is `console` on a terminal and `json` elsewhere."""
    console = log_format == "console" or (log_format == "auto" and sys.stdout.isatty())
    # Plain traces: the default ones on a terminal show every local variable, secrets included.
    renderer: structlog.typing.Processor = (
        structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)
        if console
        else structlog.processors.JSONRenderer()
    )
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        _add_span,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    formatting = [] if console else [structlog.processors.format_exc_info]
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                *formatting,
                renderer,
            ],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(logging.INFO)
    for chatty in ("httpx", "uvicorn.access"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
    structlog.configure(
        processors=[*shared, *formatting, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=_Lines,
        cache_logger_on_first_use=True,
    )


def _add_span(_: object, __: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    """Name the current span, if there is one, as OpenTelemetry's conventions for logs do."""
    if span := current():
        event["trace_id"], event["span_id"] = span.trace_id, span.span_id
    return event


class _Lines(structlog.WriteLogger):
    """Writes a module's rendered lines to standard output.

    Through the standard library's logging each line would take three times as long; only the
    lines of libraries use it.
    """

    def __init__(self, name: str) -> None:
        super().__init__(sys.stdout)
        self.name = name
