"""HTTP that every process shares: probes, metrics, problems (RFC 9457), bearer tokens."""

import hmac
from collections.abc import Awaitable, Callable, Sequence
from http import HTTPStatus

from fastapi import APIRouter, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, PlainTextResponse, Response
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from pydantic import SecretStr
from starlette.exceptions import HTTPException

Check = Callable[[], Awaitable[str | None]]
"""Answers with what is missing, or None when all is well. Bounded in time by itself."""

PROBLEM = "application/problem+json"


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


class BearerTokens:
    """Checks `Authorization: Bearer …` (RFC 6750) against every token, in constant time."""

    def __init__(self, tokens: Sequence[SecretStr]) -> None:
        self._tokens = [token.get_secret_value().encode() for token in tokens]

    def require(self, request: Request) -> None:
        """Raise a 401 problem unless the request carries one of the tokens."""
        scheme, _, given = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not given:
            raise self._refused("a bearer token is required", "Bearer")
        offered = given.strip().encode()
        # Not any(): every comparison is made, whichever of them holds.
        if not sum(hmac.compare_digest(offered, token) for token in self._tokens):
            raise self._refused("the bearer token is not valid", 'Bearer error="invalid_token"')

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
        responses={503: {"description": "Not now, and why", "content": {PROBLEM: {}}}},
    )
    async def readyz() -> str:
        if missing := await ready():
            raise Problem(HTTPStatus.SERVICE_UNAVAILABLE, missing, {"Retry-After": "1"})
        return "ready"

    @router.get("/metrics", response_class=PlainTextResponse, summary="Prometheus metrics")
    async def metrics() -> Response:
        return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)

    return router
