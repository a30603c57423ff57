"""Spans of HTTP requests, by OpenTelemetry's conventions for servers (semconv 1.44).

A span has the template of the route, never the path, which names a bot: so `url.path`, which the
conventions require, is left out.

https://opentelemetry.io/docs/specs/semconv/http/http-spans/
"""

from http import HTTPStatus
from typing import Final

from starlette.types import Scope

from deletion.traceparent import Remote, parsed
from deletion.tracing import SERVER, Attribute, Span, Tracer

METHODS: Final = frozenset(
    {"CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "TRACE"}
)
ANY, OTHER = "HTTP", "_OTHER"
"""The name of a span, and its attribute, for any other method: a client may invent any number."""
HEADER: Final = b"traceparent"
ADMITTED: Final = "botdel.admitted"
"""The key in the scope of a request whose credential is valid."""
FAILED: Final = int(HTTPStatus.INTERNAL_SERVER_ERROR)


def admitted(scope: Scope) -> None:
    """Mark the request as one with a valid credential: only those are recorded.

    Otherwise anybody could fill the exporter's queue.
    """
    scope[ADMITTED] = True


def begun(tracer: Tracer, scope: Scope) -> Span:
    """The span of a request whose route is not known yet."""
    method = scope["method"]
    return tracer.root(method if method in METHODS else ANY, SERVER, parent=_parent(scope))


def answered(span: Span, scope: Scope, status: int, failure: str | None) -> None:
    """Set how a request was answered, before its span ends; `failure` is the type of an error."""
    name = span.name
    attributes: dict[str, Attribute] = {
        "http.request.method": name if name != ANY else OTHER,
        "url.scheme": scope["scheme"],
        "http.response.status_code": status,
    }
    if template := getattr(scope.get("route"), "path", None):
        span.name = f"{name} {template}"
        attributes["http.route"] = template
    span.attributes = attributes
    if failure or status >= FAILED:
        span.failed(failure or str(status))
    if ADMITTED not in scope:
        span.drop()


def _parent(scope: Scope) -> Remote | None:
    """The span of the caller, if the request names exactly one."""
    given: bytes | None = None
    for name, value in scope["headers"]:
        if name == HEADER:
            if given is not None:
                return None
            given = value
    return parsed(given.decode("latin-1")) if given else None
