"""Who may do what: one check, before any route, of every request.

It refuses by default. Only the paths of `PUBLIC` can be reached without a credential. Every method
but `SAFE` needs the role of an operator, whatever the route, except where a visitor logs in or out.
The path is that of the scope, which the router matches too; `request.url` is made of text that
includes the Host header.
A credential that a browser sends by itself (a cookie, the session of a proxy) is good for such a
method only if the request comes from a page of the console.
"""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Final
from urllib.parse import quote

import structlog
from fastapi import Request
from fastapi.openapi.models import HTTPBearer
from fastapi.responses import RedirectResponse, Response
from fastapi.security.base import SecurityBase
from starlette.types import ASGIApp, Receive, Scope, Send

from console.accept import is_page
from console.forms import MAX_FORM_BYTES, declared_too_large
from console.proxy import HEADER, Proxy
from console.sessions import COOKIE, Sessions
from console.users import User, Users, Visitor, Way
from deletion.process.http_spans import admitted
from deletion.process.problems import Problem, Shown
from deletion.process.signing_keys import KeysUnavailable

LOGIN: Final = "/login"
LOGOUT: Final = "/logout"
PUBLIC: Final = frozenset({"/healthz", "/readyz", "/metrics", LOGIN})
STATIC: Final = "/static/"
"""Public too: the files that the log-in needs. They are the same for everybody."""
SAFE: Final = frozenset({"GET", "HEAD"})
FOR_EVERYBODY: Final = frozenset({LOGIN, LOGOUT})
"""Paths whose unsafe methods need no role."""
NO_OWN_ORIGIN: Final = (
    "this browser does not say where the form comes from (Sec-Fetch-Site), and BOTDEL_CONSOLE_URL "
    "is not set: set it to the address that browsers use, such as https://console.example.org"
)
CHALLENGE: Final = 'Bearer realm="botdel"'
VISITOR: Final = "visitor"
"""Where the visitor of a request is kept, in the state of its scope."""

log = structlog.get_logger(__name__)


class Access:
    """Finds out who makes a request, and whether they may."""

    def __init__(
        self, users: Users, sessions: Sessions, proxy: Proxy | None, own_origin: str | None
    ) -> None:
        self._users = users
        self._sessions = sessions
        self._proxy = proxy
        self._own_origin = own_origin

    async def check(self, request: Request) -> None:
        """Keep who makes the request as `VISITOR` in its scope, unless the path is public.

        Raises a problem: 413, 401, 403, or 503 while the proxy's keys cannot be fetched.
        """
        path, is_safe = request.scope["path"], request.method in SAFE
        if not is_safe and declared_too_large(request.headers):  # no route reads a GET's body
            detail = f"the request body exceeds {MAX_FORM_BYTES} bytes"
            raise Problem(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, detail)
        is_public = path in PUBLIC or path.startswith(STATIC)
        if is_public and is_safe:
            return
        visitor = None if path == LOGIN else await self._visitor(request)
        request.scope.setdefault("state", {})[VISITOR] = visitor
        if visitor is None and path not in FOR_EVERYBODY:
            raise _unknown("a credential is required")
        if is_safe:
            return
        if visitor is None or visitor.way is not Way.BEARER:
            self._require_own_page(request.headers)
        if path not in FOR_EVERYBODY and not (visitor and visitor.may_act):
            raise Problem(HTTPStatus.FORBIDDEN, "this needs the role operator")

    async def _visitor(self, request: Request) -> Visitor | None:
        """Whom the request's credential names; None without one.

        Raises a 401 problem for a bearer token that is not valid, even beside a valid cookie.
        """
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer":
            if user := self._users.with_token(token):
                return _visitor(user, Way.BEARER)
            raise _unknown("the bearer token is not valid", f'{CHALLENGE}, error="invalid_token"')
        if self._proxy and (assertion := request.headers.get(HEADER)):
            user = await self._of_proxy(self._proxy, assertion)
            return _visitor(user, Way.PROXY) if user else None
        user = self._sessions.user(request.cookies.get(COOKIE))
        return _visitor(user, Way.SESSION) if user else None

    async def _of_proxy(self, proxy: Proxy, assertion: str) -> User | None:
        try:
            return await proxy.user(assertion)
        except KeysUnavailable as error:
            retry = {"Retry-After": "60"}
            raise Problem(HTTPStatus.SERVICE_UNAVAILABLE, str(error), retry) from error

    def _require_own_page(self, headers: Mapping[str, str]) -> None:
        """Raise a 403 problem unless a page of the console sends the request.

        Browsers since 2023 say so in `Sec-Fetch-Site`; others send an `Origin`.
        """
        site = headers.get("sec-fetch-site")
        if site == "same-origin":
            return
        if site is not None:
            raise Problem(HTTPStatus.FORBIDDEN, "the request comes from another site")
        if self._own_origin is None:
            raise Problem(HTTPStatus.FORBIDDEN, NO_OWN_ORIGIN)
        if headers.get("origin") != self._own_origin:
            detail = "the request does not say that it comes from BOTDEL_CONSOLE_URL"
            raise Problem(HTTPStatus.FORBIDDEN, detail)


class AccessMiddleware:
    """Lets a request through to the routes only after `Access.check`."""

    def __init__(self, app: ASGIApp, access: Access, shown: Shown) -> None:
        self._app = app
        self._access = access
        self._shown = shown

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or answer why it is refused; a page redirects to the log-in."""
        if scope["type"] != "http":
            return
        request = Request(scope, receive)
        try:
            await self._access.check(request)
        except Problem as problem:
            await self._refusal(problem, request)(scope, receive, send)
            return
        if scope.get("state", {}).get(VISITOR):
            admitted(scope)
        await self._app(scope, receive, send)

    def _refusal(self, problem: Problem, request: Request) -> Response:
        """The answer: a page sends its visitor to the log-in, and back from there."""
        if problem.status is not HTTPStatus.UNAUTHORIZED or request.method not in SAFE:
            return self._shown(request, problem)
        if is_poll(request):
            answer = self._shown(request, problem)
            answer.headers["HX-Refresh"] = "true"
            return answer
        if not is_page(request):
            return self._shown(request, problem)
        query = request.scope["query_string"].decode("latin-1")
        target = request.scope["path"] + (f"?{query}" if query else "")
        return RedirectResponse(f"{LOGIN}?next={quote(target, safe='/')}", HTTPStatus.SEE_OTHER)


def visitor_of(request: Request) -> Visitor:
    """Who makes the request. Raises a 401 problem where nobody is known."""
    visitor = request.scope.get("state", {}).get(VISITOR)
    if not isinstance(visitor, Visitor):
        raise _unknown("a credential is required")
    return visitor


class KnownVisitor(SecurityBase):
    """A dependency that returns the name of the visitor. It puts the bearer token, which the check
    of access has required already, into the OpenAPI document.
    """

    def __init__(self) -> None:
        self.model = HTTPBearer()
        self.scheme_name = "bearer"

    async def __call__(self, request: Request) -> str:
        """Raises a 401 problem where nobody is known."""
        return visitor_of(request).name


def is_poll(request: Request) -> bool:
    """Whether htmx asks for a part of a page."""
    return request.headers.get("hx-request") == "true"


def _visitor(user: User, way: Way) -> Visitor:
    return Visitor(user.name, user.role, way)


def _unknown(detail: str, challenge: str = CHALLENGE) -> Problem:
    return Problem(HTTPStatus.UNAUTHORIZED, detail, {"WWW-Authenticate": challenge})
