"""HTTP that every process shares: probes, metrics, problems (RFC 9457), bearer tokens."""

import hmac
from collections.abc import Awaitable, Callable, Sequence
from http import HTTPStatus
from typing import Any, Final

from fastapi import APIRouter, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.openapi.models import HTTPBearer
from fastapi.responses import JSONResponse, PlainTextResponse, Response
from fastapi.security.base import SecurityBase
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from pydantic import SecretStr
from starlette.exceptions import HTTPException

Check = Callable[[], Awaitable[str | None]]
"""Answers with what is missing, or None when all is well. Bounded in time by itself."""

PROBLEM: Final = "application/problem+json"

PROBLEM_SCHEMA: Final = {
    "title": "Problem",
    "description": "RFC 9457; `type` is absent, which means about:blank",
    "type": "object",
    "required": ["title", "status", "detail"],
    "properties": {
        "title": {"type": "string", "description": "The phrase of the status"},
        "status": {"type": "integer", "description": "The status of the answer"},
        "detail": {"type": "string", "description": "What is wrong with this request"},
    },
}


class Problem(Exception):
    """An answer other than success, raised where it is found."""

    def __init__(self, status: HTTPStatus, detail: str, headers: dict[str, str] | None = None):
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.headers = headers

    def response(self) -> JSONResponse:
        """As `application/problem+json`; `type` is about:blank, so `title` is the status'."""
        content = {"title": self.status.phrase, "status": self.status, "detail": self.detail}
        return JSONResponse(content, self.status, self.headers, media_type=PROBLEM)


def install_problems(app: FastAPI) -> None:
    """Make every error of `app` a problem, the framework's own included."""

    @app.exception_handler(Problem)
    async def _problem(_: Request, error: Problem) -> Response:
        return error.response()

    @app.exception_handler(HTTPException)
    async def _http(_: Request, error: HTTPException) -> Response:
        headers = dict(error.headers) if error.headers else None
        return Problem(HTTPStatus(error.status_code), str(error.detail), headers).response()

    @app.exception_handler(RequestValidationError)
    async def _invalid(_: Request, error: RequestValidationError) -> Response:
        found = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        return Problem(HTTPStatus.UNPROCESSABLE_ENTITY, found).response()

    @app.exception_handler(Exception)
    async def _unexpected(_: Request, __: Exception) -> Response:
        detail = "an unexpected error; the log of this process has it"
        return Problem(HTTPStatus.INTERNAL_SERVER_ERROR, detail).response()


def documented(description: str, **headers: str) -> dict[str, Any]:
    """An answer that is a problem, for FastAPI's `responses`; `Retry_After="…"` names a header."""
    answer: dict[str, Any] = {
        "description": description,
        "content": {PROBLEM: {"schema": PROBLEM_SCHEMA}},
    }
    if headers:
        answer["headers"] = {
            name.replace("_", "-"): {"description": meaning, "schema": {"type": "string"}}
            for name, meaning in headers.items()
        }
    return answer


_CHALLENGE: Final = 'Bearer realm="botdel"'
"""RFC 6750 wants at least one parameter, and no error where no token was given."""


class BearerTokens(SecurityBase):
    """Checks `Authorization: Bearer …` (RFC 6750) against every token, in constant time.

    As a dependency, `Security(tokens)`, it also stands in the OpenAPI document.
    """

    def __init__(self, tokens: Sequence[SecretStr]) -> None:
        self._tokens = [token.get_secret_value().encode() for token in tokens]
        self.model = HTTPBearer()
        self.scheme_name = "bearer"

    async def __call__(self, request: Request) -> None:
        """As `require`."""
        self.require(request)

    def require(self, request: Request) -> None:
        """Raise a 401 problem unless the request carries one of the tokens."""
        scheme, _, given = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not given:
            raise self._refused("a bearer token is required", _CHALLENGE)
        offered = given.strip().encode()
        # Not any(): every comparison is made, whichever of them holds.
        if not sum(hmac.compare_digest(offered, token) for token in self._tokens):
            challenge = f'{_CHALLENGE}, error="invalid_token"'
            raise self._refused("the bearer token is not valid", challenge)

    @staticmethod
    def _refused(detail: str, challenge: str) -> Problem:
        return Problem(HTTPStatus.UNAUTHORIZED, detail, {"WWW-Authenticate": challenge})


def probes(registry: CollectorRegistry, ready: Check) -> APIRouter:
    """`/healthz` (alive), `/readyz` (can work, else 503 and why), `/metrics` (Prometheus)."""
    router = APIRouter(tags=["operations"])

    @router.get("/healthz", response_class=PlainTextResponse, summary="Alive")
    async def healthz() -> str:
        return "ok"

    @router.get(
        "/readyz",
        response_class=PlainTextResponse,
        summary="Can work",
        responses={503: documented("Not now, and why", Retry_After="Seconds")},
    )
    async def readyz() -> str:
        if missing := await ready():
            raise Problem(HTTPStatus.SERVICE_UNAVAILABLE, missing, {"Retry-After": "1"})
        return "ready"

    @router.get("/metrics", response_class=PlainTextResponse, summary="Prometheus metrics")
    async def metrics() -> Response:
        return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)

    return router
