"""What the HTTP answers of several processes share: their problems in OpenAPI, their time limit."""

import asyncio
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Any, Final, TypeVar

import structlog

from deletion.errors import ClockSkew, Interrupted, StoreUnavailable, TransientError
from deletion.process.http_connections import BOUNDS
from deletion.process.problems import Problem, documented

ANSWER_SECONDS: Final = 5.0
"""The longest a caller waits for an answer, even if the database is slow."""
TOO_LATE: Final = f"the database does not answer within {ANSWER_SECONDS:g} s"
RETRY: Final = {"Retry-After": "5"}
"""In seconds (RFC 9110, section 10.2.3)."""
PROBLEMS: Final[dict[int | str, dict[str, Any]]] = {
    401: documented("No bearer token, or a wrong one", WWW_Authenticate="RFC 6750"),
    408: documented(f"Request line and headers were not complete within {BOUNDS.seconds:g} s"),
    431: documented(
        f"Request line and headers exceed {BOUNDS.head_bytes} bytes, or {BOUNDS.headers} headers"
    ),
    500: documented("An unexpected error"),
    503: documented("Not now; the detail says why", Retry_After="Seconds"),
}
"""The problems that any call may get from a process with a bearer token and a database."""

T = TypeVar("T")

log = structlog.get_logger(__name__)


async def in_time(reading: Awaitable[T]) -> T:
    """What `reading` returns. Raises `StoreUnavailable` when that takes `ANSWER_SECONDS`."""
    try:
        async with asyncio.timeout(ANSWER_SECONDS):
            return await reading
    except TimeoutError as error:
        raise StoreUnavailable(TOO_LATE) from error


async def answered(ask: Callable[[], Awaitable[T]]) -> T:
    """What `ask` returns. Raises a 503 when the process cannot answer now."""
    try:
        return await ask()
    except (TransientError, Interrupted, ClockSkew) as error:
        log.warning("not answered", reason=str(error))
        raise Problem(HTTPStatus.SERVICE_UNAVAILABLE, str(error), RETRY) from error
