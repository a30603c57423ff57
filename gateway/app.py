"""The gateway's HTTP: `DELETE /v1/bots/{bot_id}`, probes, metrics, and its OpenAPI document."""

import os
import re
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from functools import partial
from http import HTTPStatus
from typing import Any, Final

import structlog
from fastapi import FastAPI, Request, Security
from fastapi.responses import JSONResponse, Response
from fastapi.routing import APIRoute
from prometheus_client import CollectorRegistry
from starlette.routing import request_response

from deletion import __version__
from deletion.bus import Publisher
from deletion.errors import BusOverloaded, BusUnavailable, TopologyMissing
from deletion.ids import is_object_id
from deletion.message_spans import MessageSpans
from deletion.process.head import HeadMiddleware
from deletion.process.http_answer import AnswersMiddleware
from deletion.process.probes import ReadinessCheck, probes
from deletion.process.problems import Problem, install_problems
from deletion.process.tokens import BearerTokens
from deletion.tracing import Tracer
from gateway.body import discard_body
from gateway.metrics import Metrics
from gateway.openapi import ANSWERS, IDEMPOTENCY_KEY, KEY_PATTERN, PARAMETERS
from gateway.requests import DeletionRequests, Now, Placed
from gateway.trace import RandomBytes, TraceOf, trace_of

log = structlog.get_logger(__name__)

OVERLOADED_RETRY: Final = {"Retry-After": "1"}
UNAVAILABLE_RETRY: Final = {"Retry-After": "5"}
"""In seconds (RFC 9110, section 10.2.3)."""

Endpoint = Callable[[Request], Awaitable[Response]]
_is_key = re.compile(KEY_PATTERN).fullmatch
_utc_now = partial(datetime.now, UTC)


def create_app(
    publisher: Publisher,
    tokens: BearerTokens,
    *,
    registry: CollectorRegistry,
    ready: ReadinessCheck,
    now: Now = _utc_now,
    random_bytes: RandomBytes = os.urandom,
    tracer: Tracer | None = None,
    spans: MessageSpans | None = None,
) -> FastAPI:
    """The application over its ports: nothing is read or connected here.

    With a `tracer` requests have spans; with `spans` each event has one, which it names.
    """
    metrics = Metrics(registry)
    placing = DeletionRequests(publisher, now, random_bytes, metrics.pending)
    app = FastAPI(title="Bot deletion", version=__version__, redoc_url=None, redirect_slashes=False)
    install_problems(app)
    app.add_middleware(HeadMiddleware)
    app.add_middleware(AnswersMiddleware, counted=metrics.answered, tracer=tracer)
    app.router.add_api_route(
        "/v1/bots/{bot_id}",
        _delete_bot(tokens, placing, trace_of(spans, random_bytes)),
        methods=["DELETE"],
        summary="Request the deletion of a bot",
        tags=["deletion"],
        status_code=HTTPStatus.ACCEPTED,
        response_model=Placed,
        responses=ANSWERS,
        openapi_extra={"parameters": PARAMETERS},
        dependencies=[Security(tokens)],
        route_class_override=_Direct,
    )
    app.include_router(probes(registry, ready))
    return app


class _Direct(APIRoute):
    """Documents its parameters and dependencies, which the endpoint handles itself.

    FastAPI's handling of them takes a third of the time of a request.
    """

    def __init__(self, path: str, endpoint: Endpoint, **documented: Any) -> None:
        super().__init__(path, endpoint, **documented)
        self.app = request_response(endpoint)


def _delete_bot(tokens: BearerTokens, requests: DeletionRequests, trace_of: TraceOf) -> Endpoint:
    async def delete_bot(request: Request) -> JSONResponse:
        """Answers once Pub/Sub has confirmed the event, never before, and in bounded time.

        What happens next is up to the services that own data of the bot.
        """
        requested_by = await tokens(request)
        await discard_body(request)
        bot_id = request.path_params["bot_id"]
        if not is_object_id(bot_id):
            raise Problem(HTTPStatus.UNPROCESSABLE_ENTITY, "bot_id: expected 24 hex digits")
        key = _idempotency_key(request)
        placed = await _placed(requests.place(bot_id, key, trace_of(request), requested_by))
        content = {
            "event_id": placed.event_id,
            "bot_id": placed.bot_id,
            "placed_at": placed.placed_at,
        }
        return JSONResponse(content, HTTPStatus.ACCEPTED)

    return delete_bot


async def _placed(placing: Awaitable[Placed]) -> Placed:
    """The outcome of `placing`; an error of publishing becomes a problem."""
    try:
        return await placing
    except BusOverloaded as error:
        log.warning("refused", reason=str(error))
        detail = "too many events are waiting for Pub/Sub; the request was not placed"
        raise Problem(HTTPStatus.TOO_MANY_REQUESTS, detail, OVERLOADED_RETRY) from error
    except BusUnavailable as error:
        log.warning("not confirmed", reason=str(error))
        detail = "Pub/Sub did not confirm in time; the request may have been placed: try again"
        raise Problem(HTTPStatus.SERVICE_UNAVAILABLE, detail, UNAVAILABLE_RETRY) from error
    except TopologyMissing as error:
        log.error("not published", reason=str(error))
        detail = "the topic is missing or may not be used; the request was not placed"
        raise Problem(HTTPStatus.SERVICE_UNAVAILABLE, detail, UNAVAILABLE_RETRY) from error


def _idempotency_key(request: Request) -> str | None:
    keys = request.headers.getlist(IDEMPOTENCY_KEY)
    if not keys:
        return None
    if len(keys) > 1 or not _is_key(keys[0]):
        detail = f"{IDEMPOTENCY_KEY}: expected once, 1 to 255 visible ASCII characters"
        raise Problem(HTTPStatus.BAD_REQUEST, detail)
    return keys[0]
