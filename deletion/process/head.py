"""HEAD, on every path that has GET (RFC 9110, section 9.3.2): FastAPI's routes have no HEAD."""

from http import HTTPStatus
from typing import Final

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

GET: Final = "GET"
HEAD: Final = "HEAD"


class HeadMiddleware:
    """Answers HEAD as GET, without the content. Add it before all other middleware, so that those
    see the method that was asked for, and the route.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass everything on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        is_head = scope["method"] == HEAD

        async def answer(message: Message) -> None:
            if message["type"] == "http.response.start":
                _allow_head(message)
            elif is_head and message["type"] == "http.response.body":
                message = {**message, "body": b""}
            await send(message)

        asked = {**scope, "method": GET} if is_head else scope
        try:
            await self._app(asked, receive, answer)
        finally:
            scope.update({**asked, "method": scope["method"]})


def _allow_head(message: Message) -> None:
    """Add HEAD to the methods that a 405 allows, if GET is one of them."""
    headers = MutableHeaders(scope=message)
    if message["status"] == HTTPStatus.METHOD_NOT_ALLOWED:
        allowed = {each.strip() for each in headers.get("allow", "").split(",")}
        if GET in allowed:
            headers["allow"] = ", ".join(sorted(allowed | {HEAD}))
