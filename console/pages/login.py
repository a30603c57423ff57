"""Logging in and out: a form takes the token, and a signed cookie keeps the session."""

from collections.abc import Callable
from http import HTTPStatus
from typing import Final
from urllib.parse import urlsplit

import structlog
from fastapi import APIRouter, Request
from fastapi.responses import RedirectResponse, Response

from console.access import LOGIN, LOGOUT
from console.forms import first, read_form
from console.metrics import Metrics
from console.pages.render import Renderer
from console.sessions import Sessions
from console.users import Users
from deletion.process.http_spans import admitted

MOST_LOGIN_BYTES: Final = 8 * 1024
LOG_SECONDS: Final = 10.0
"""Seconds between two log lines about refused log-ins, because anybody can cause them."""

log = structlog.get_logger(__name__)


def login_routes(
    users: Users,
    sessions: Sessions,
    render: Renderer,
    metrics: Metrics,
    monotonic: Callable[[], float],
) -> APIRouter:
    """`/login` and `/logout`."""
    router = APIRouter(include_in_schema=False)
    refusals = _Refusals(monotonic)

    @router.get(LOGIN)
    async def show(request: Request) -> Response:
        target = own_path(request.query_params.get("next", ""))
        return render.page(request, "login.html", {"target": target, "refused": False})

    @router.post(LOGIN)
    async def log_in(request: Request) -> Response:
        form = await read_form(request, MOST_LOGIN_BYTES)
        target = own_path(first(form, "next"))
        user = users.with_token(first(form, "token"))
        if user is None:
            refusals.count()
            metrics.refused_logins.inc()
            values = {"target": target, "refused": True}
            return render.page(request, "login.html", values, HTTPStatus.UNAUTHORIZED)
        admitted(request.scope)
        log.info("logged in", user=user.name, role=user.role)
        response = RedirectResponse(target, HTTPStatus.SEE_OTHER)
        sessions.start(user, response)
        return response

    @router.post(LOGOUT)
    async def log_out() -> Response:
        response = RedirectResponse(LOGIN, HTTPStatus.SEE_OTHER)
        sessions.end(response)
        return response

    return router


def own_path(target: str) -> str:
    """`target` if it is a path of the console, else the overview: no link leads elsewhere."""
    is_path = target.startswith("/") and not target.startswith("//")
    if not is_path or "\\" in target or not target.isprintable():
        return "/"
    try:
        parts = urlsplit(target)
    except ValueError:
        return "/"
    is_own = not parts.scheme and not parts.netloc and parts.path not in (LOGIN, LOGOUT)
    return target if is_own else "/"


class _Refusals:
    """Logs how many log-ins were refused, never what was offered."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._logged_at = float("-inf")
        self._refused = 0

    def count(self) -> None:
        self._refused += 1
        now = self._monotonic()
        if now - self._logged_at >= LOG_SECONDS:
            log.warning("log-ins refused", refused=self._refused)
            self._logged_at, self._refused = now, 0
