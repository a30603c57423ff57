"""Spans of database commands, by OpenTelemetry's conventions (semconv 1.44), never with a query.

A command has a span only below one that is recorded: polls, claims and monitors have none.

https://opentelemetry.io/docs/specs/semconv/db/mongodb/
"""

import threading
from typing import Final

from pymongo.monitoring import (
    CommandFailedEvent,
    CommandListener,
    CommandStartedEvent,
    CommandSucceededEvent,
)

from deletion.tracing import Attribute, Kind, Span, Tracer, current

MORE: Final = "getMore"
"""The command whose collection is not its own value, but a field."""


class CommandSpans(CommandListener):
    """Records each command of a client. The driver reports its start and its end in one thread."""

    def __init__(self, tracer: Tracer) -> None:
        self._tracer = tracer
        self._open = threading.local()

    def started(self, event: CommandStartedEvent) -> None:
        """Open a span, if one is recorded here."""
        outer = current()
        self._open.span = None
        if outer is None or not outer.is_recorded:
            return
        name, collection = event.command_name, _collection(event)
        attributes: dict[str, Attribute] = {
            "db.system.name": "mongodb",
            "db.namespace": event.database_name,
            "db.operation.name": name,
        }
        if collection:
            attributes["db.collection.name"] = collection
        host, port = event.connection_id
        attributes["server.address"] = host
        if port:
            attributes["server.port"] = port
        what = f"{name} {collection or event.database_name}"
        self._open.span = self._tracer.span(what, Kind.CLIENT, attributes)

    def succeeded(self, _: CommandSucceededEvent) -> None:
        """Close the span."""
        if span := self._taken():
            span.end()

    def failed(self, event: CommandFailedEvent) -> None:
        """Close the span with the server's error code, or the type of the error."""
        if span := self._taken():
            code = event.failure.get("code")
            if code is not None:
                span.note({"db.response.status_code": str(code)})
            span.failed(str(code if code is not None else event.failure.get("errtype", "_OTHER")))
            span.end()

    def _taken(self) -> Span | None:
        span: Span | None = getattr(self._open, "span", None)
        self._open.span = None
        return span


def _collection(event: CommandStartedEvent) -> str | None:
    """The collection of a command; None for one of a database, such as `ping`."""
    named = event.command.get("collection" if event.command_name == MORE else event.command_name)
    return named if isinstance(named, str) else None
