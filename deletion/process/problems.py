"""Problems (RFC 9457): how every process answers when a request does not succeed."""

from collections.abc import Callable
from http import HTTPStatus
from typing import Any, Final

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from starlette.exceptions import HTTPException

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
    """An answer other than a success, raised where the problem is found."""

    def __init__(self, status: HTTPStatus, detail: str, headers: dict[str, str] | None = None):
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.headers = headers

    def response(self) -> JSONResponse:
        """As `application/problem+json`; `type` is about:blank, so `title` is the status phrase."""
        content = {"title": self.status.phrase, "status": self.status, "detail": self.detail}
        return JSONResponse(content, self.status, self.headers, media_type=PROBLEM)


Shown = Callable[[Request, Problem], Response]
"""Makes the response to a request from a problem."""


def as_json(_: Request, problem: Problem) -> Response:
    """Return the problem as JSON (`application/problem+json`)."""
    return problem.response()


def install_problems(app: FastAPI, shown: Shown = as_json) -> None:
    """Turn every error of `app` into a problem, the framework's own included."""

    @app.exception_handler(Problem)
    async def _problem(request: Request, error: Problem) -> Response:
        return shown(request, error)

    @app.exception_handler(HTTPException)
    async def _http(request: Request, error: HTTPException) -> Response:
        headers = dict(error.headers) if error.headers else None
        return shown(request, Problem(HTTPStatus(error.status_code), str(error.detail), headers))

    @app.exception_handler(RequestValidationError)
    async def _invalid(request: Request, error: RequestValidationError) -> Response:
        found = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        return shown(request, Problem(HTTPStatus.UNPROCESSABLE_ENTITY, found))

    @app.exception_handler(Exception)
    async def _unexpected(request: Request, _: Exception) -> Response:
        detail = "an unexpected error: see the log of this process"
        return shown(request, Problem(HTTPStatus.INTERNAL_SERVER_ERROR, detail))


def documented(description: str, **headers: str) -> dict[str, Any]:
    """A problem for FastAPI's `responses`; `Retry_After="…"` describes a header that it has."""
    answer: dict[str, Any] = {
        "description": description,
        "content": {PROBLEM: {"schema": PROBLEM_SCHEMA}},
    }
    if headers:
        answer["headers"] = {
            name.replace("_", "-"): {
                "description": meaning,
                "required": True,
                "schema": {"type": "string"},
            }
            for name, meaning in headers.items()
        }
    return answer
