"""Probes and metrics, which every process serves."""

from collections.abc import Awaitable, Callable
from http import HTTPStatus

from fastapi import APIRouter
from fastapi.responses import PlainTextResponse, Response
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest

from deletion.process.problems import Problem, documented

ReadinessCheck = Callable[[], Awaitable[str | None]]
"""Returns what is missing, or None when all is well. It bounds its own time."""


Refresh = Callable[[], Awaitable[None]]
"""Updates the metrics that are read only when they are scraped. Never raises."""


async def no_refresh() -> None:
    """Does nothing: most metrics are counted as things happen."""


def probes(
    registry: CollectorRegistry, ready: ReadinessCheck, refresh: Refresh = no_refresh
) -> APIRouter:
    """`/healthz` (alive), `/readyz` (can work, else 503 and why), `/metrics` (Prometheus)."""
    router = APIRouter(tags=["operations"])

    @router.get("/healthz", response_class=PlainTextResponse, summary="Alive")
    async def healthz() -> str:
        return "ok"

    @router.get(
        "/readyz",
        response_class=PlainTextResponse,
        summary="Can work",
        responses={503: documented("Cannot work now; the detail says why", Retry_After="Seconds")},
    )
    async def readyz() -> str:
        if missing := await ready():
            raise Problem(HTTPStatus.SERVICE_UNAVAILABLE, missing, {"Retry-After": "1"})
        return "ready"

    @router.get("/metrics", response_class=PlainTextResponse, summary="Prometheus metrics")
    async def metrics() -> Response:
        await refresh()
        return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)

    return router
