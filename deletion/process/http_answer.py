"""What a process records about each HTTP answer: it is counted, and its request has a span."""

from collections.abc import Awaitable, Callable
from time import perf_counter
from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from deletion.process.http_spans import FAILED, answered, begun
from deletion.tracing import Tracer

Counted = Callable[[int, float], None]
"""Takes the status of an answer, and the seconds until it was complete."""

API: Final = "/v1/"


def is_api(path: str) -> bool:
    """Whether a path is one of an API, and not of a probe."""
    return path.startswith(API)


class Answer:
    """Stands between an app and `send`, and keeps the `status` of the answer that goes through.

    Until one has, it is 500: a request that raises is answered so further out.
    """

    __slots__ = ("_send", "status")

    def __init__(self, send: Send) -> None:
        self._send = send
        self.status = FAILED

    def send(self, message: Message) -> Awaitable[None]:
        """Pass the message on. The caller awaits what this returns, which saves a coroutine."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
        return self._send(message)


class AnswersMiddleware:
    """ASGI middleware that counts answers and records spans, for paths that `concerns` accepts.

    It does both, because a layer around the app costs a request as much as its span does.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        concerns: Callable[[str], bool] = is_api,
        counted: Counted | None = None,
        tracer: Tracer | None = None,
    ) -> None:
        self._app = app
        self._concerns = concerns
        self._counted = counted
        self._tracer = tracer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass everything on."""
        if scope["type"] != "http" or not self._concerns(scope["path"]):
            await self._app(scope, receive, send)
            return
        started, answer = perf_counter(), Answer(send)
        span = begun(self._tracer, scope).enter() if self._tracer else None
        failure = None
        try:
            await self._app(scope, receive, answer.send)
        except Exception as error:
            failure = type(error).__name__
            raise
        finally:
            if span:
                if span.is_recorded:
                    answered(span, scope, answer.status, failure)
                span.leave()
            if self._counted:
                self._counted(answer.status, perf_counter() - started)
