"""Spans of HTTP requests, by OpenTelemetry's conventions for servers (semconv 1.44).

https://opentelemetry.io/docs/specs/semconv/http/http-spans/
"""

from collections.abc import Callable
from http import HTTPStatus
from typing import Final

from starlette.types import ASGIApp, Receive, Scope, Send

from deletion.process.http_answer import Answer
from deletion.traceparent import Remote, parsed
from deletion.tracing import Attribute, Kind, Span, Tracer

TRACED: Final = "/v1/"
"""Probes have no spans."""
METHODS: Final = frozenset(
    {"CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "TRACE"}
)
OTHER: Final = "_OTHER"
"""Stands for every other method, of which a client could send any number."""
HEADER: Final = b"traceparent"


def is_api(path: str) -> bool:
    """Whether a path is one of an API, and not of a probe."""
    return path.startswith(TRACED)


class TracingMiddleware:
    """ASGI middleware with a span for each request whose path `is_traced`.

    The span has the template of the route, never the path, which names a bot: so `url.path`, which
    the conventions require, is left out.
    """

    def __init__(
        self, app: ASGIApp, tracer: Tracer, is_traced: Callable[[str], bool] = is_api
    ) -> None:
        self._app = app
        self._tracer = tracer
        self._is_traced = is_traced

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass everything on."""
        if scope["type"] != "http" or not self._is_traced(scope["path"]):
            await self._app(scope, receive, send)
            return
        answer = Answer(send)
        with self._tracer.root(*_begun(scope), parent=_parent(scope)) as span:
            try:
                await self._app(scope, receive, answer.send)
            except Exception as error:
                span.failed(type(error).__name__)
                raise
            finally:
                _answered(span, scope, answer.status)


def _begun(scope: Scope) -> tuple[str, Kind, dict[str, Attribute]]:
    """The name, kind and attributes of a request whose route is not known yet."""
    is_known = scope["method"] in METHODS
    attributes: dict[str, Attribute] = {
        "http.request.method": scope["method"] if is_known else OTHER,
        "url.scheme": scope["scheme"],
    }
    return scope["method"] if is_known else "HTTP", Kind.SERVER, attributes


def _answered(span: Span, scope: Scope, status: int) -> None:
    if template := getattr(scope.get("route"), "path", None):
        span.name = f"{span.name} {template}"
        span.attributes["http.route"] = template
    span.attributes["http.response.status_code"] = status
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR and not span.error:
        span.failed(str(status))


def _parent(scope: Scope) -> Remote | None:
    """The span of the caller, if the request names exactly one."""
    given: list[bytes] = [value for name, value in scope["headers"] if name == HEADER]
    return parsed(given[0].decode("latin-1")) if len(given) == 1 else None
