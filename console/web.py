"""The console's HTTP app: pages, API and probes, behind the one check of access."""

from collections.abc import Sequence
from typing import Final

from fastapi import APIRouter, FastAPI
from starlette.types import ASGIApp

from console.access import Access, AccessMiddleware
from console.assets import asset_routes
from console.headers import HeadersMiddleware
from console.metrics import Metrics
from console.pages.login import login_routes
from console.pages.render import Renderer
from console.proxy import Proxy
from console.refusals import refusals
from console.sessions import Sessions
from console.users import Users
from deletion import __version__
from deletion.clock import Clock
from deletion.process.head import HeadMiddleware
from deletion.process.http_answer import AnswersMiddleware
from deletion.process.probes import ReadinessCheck, probes
from deletion.process.problems import install_problems
from deletion.tracing import Tracer

UNTRACED: Final = ("/healthz", "/readyz", "/metrics", "/static/")
"""What begins like this has no spans: probes, and files that do not change."""


def _is_any(_: str) -> bool:
    return True


def _is_traced(path: str) -> bool:
    return not path.startswith(UNTRACED)


class _Console(FastAPI):
    """Adds the headers outside everything else, so that an unexpected error has them too."""

    def build_middleware_stack(self) -> ASGIApp:
        return HeadersMiddleware(super().build_middleware_stack())


def create_app(
    users: Users,
    sessions: Sessions,
    proxy: Proxy | None,
    *,
    own_origin: str | None,
    clock: Clock,
    render: Renderer,
    metrics: Metrics,
    ready: ReadinessCheck,
    routers: Sequence[APIRouter] = (),
    tracer: Tracer | None = None,
) -> FastAPI:
    """The app over its parts; `routers` are those of the pages and of the API.

    The page with which FastAPI shows the OpenAPI document is left out: it loads scripts from
    elsewhere.
    """
    app = _Console(
        title="Console", version=__version__, docs_url=None, redoc_url=None, redirect_slashes=False
    )
    shown = refusals(render)
    install_problems(app, shown)
    app.add_middleware(HeadMiddleware)
    access = Access(users, sessions, proxy, own_origin)
    app.add_middleware(AccessMiddleware, access=access, shown=shown)
    app.add_middleware(AnswersMiddleware, concerns=_is_any, counted=metrics.answered)
    if tracer:
        app.add_middleware(AnswersMiddleware, concerns=_is_traced, tracer=tracer)
    app.include_router(probes(metrics.registry, ready))
    app.include_router(asset_routes())
    app.include_router(login_routes(users, sessions, render, metrics, clock.monotonic))
    for router in routers:
        app.include_router(router)
    return app
