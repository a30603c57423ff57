"""The parameters and answers of a request for deletion, for the OpenAPI document."""

from typing import Any, Final

from deletion.ids import OBJECT_ID_PATTERN
from deletion.process.answers import PROBLEMS
from deletion.process.http_connections import BOUNDS
from deletion.process.problems import documented
from gateway.body import BODY_SECONDS, MAX_BODY_BYTES

IDEMPOTENCY_KEY: Final = "Idempotency-Key"
KEY_PATTERN: Final = "^[!-~]{1,255}$"
"""1 to 255 visible ASCII characters."""
TRACEPARENT: Final = "traceparent"

PARAMETERS: Final[list[dict[str, Any]]] = [
    {
        "name": "bot_id",
        "in": "path",
        "required": True,
        "description": "24 hex digits, in either case",
        "schema": {"type": "string", "pattern": OBJECT_ID_PATTERN},
    },
    {
        "name": IDEMPOTENCY_KEY,
        "in": "header",
        "description": "1 to 255 visible ASCII characters. A call repeated with its key is the "
        "same request: it gets the same event_id, and no service deletes twice for it.",
        "schema": {"type": "string", "pattern": KEY_PATTERN},
    },
    {
        "name": TRACEPARENT,
        "in": "header",
        "description": "W3C Trace Context of the caller; the event continues the trace.",
        "schema": {"type": "string"},
    },
]

_RETRY = "Seconds after which to try again; with an Idempotency-Key that is always safe"

ANSWERS: Final[dict[int | str, dict[str, Any]]] = {
    202: {"description": "Pub/Sub has confirmed the event: every service will see it"},
    400: documented(f"The {IDEMPOTENCY_KEY} header is not valid"),
    401: PROBLEMS[401],
    408: documented(
        f"Request line and headers were not complete within {BOUNDS.seconds:g} s, or the body, "
        f"which is not needed, within {BODY_SECONDS:g} s"
    ),
    413: documented(f"The request body exceeds {MAX_BODY_BYTES} bytes; none is needed"),
    422: documented("The bot's id is not 24 hex digits"),
    429: documented(
        "Too many events are waiting for Pub/Sub; the request was not placed", Retry_After=_RETRY
    ),
    431: PROBLEMS[431],
    500: documented("An unexpected error; the request may have been placed"),
    503: documented(
        "Pub/Sub did not confirm in time, but the request may have been placed; or the topic is "
        "missing, or there are too many connections, and it was not placed",
        Retry_After=_RETRY,
    ),
}
