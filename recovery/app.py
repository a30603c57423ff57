"""The HTTP interface of recovery. It never waits for a sweep or a deletion."""

from datetime import datetime
from http import HTTPStatus
from typing import Annotated, Any, Final

from fastapi import APIRouter, FastAPI, Path, Response, Security
from prometheus_client import CollectorRegistry
from pydantic import BaseModel, ConfigDict, Field

from deletion import __version__
from deletion.ids import OBJECT_ID_PATTERN
from deletion.process.answers import PROBLEMS, answered
from deletion.process.head import HeadMiddleware
from deletion.process.http_answer import AnswersMiddleware
from deletion.process.probes import ReadinessCheck, Refresh, no_refresh, probes
from deletion.process.problems import Problem, documented, install_problems
from deletion.process.tokens import BearerTokens
from deletion.sweep import PATH, SweepStatus
from deletion.tracing import Tracer
from recovery.starting import Sweeps

STARTED: Final[dict[int | str, dict[str, Any]]] = {
    202: {
        "description": "A sweep is running, or has just ended if there was little to do",
        "headers": {"Location": {"description": "Path of the sweep", "schema": {"type": "string"}}},
    },
}
SHOWN: Final[dict[int | str, dict[str, Any]]] = {
    404: documented("There is no such sweep"),
    422: documented("The id is not 24 hex digits"),
}
SweepId = Annotated[str, Path(pattern=OBJECT_ID_PATTERN, description="24 hex digits")]


class SweepView(BaseModel):
    """A sweep as clients see it."""

    model_config = ConfigDict(from_attributes=True)

    sweep_id: str = Field(pattern=OBJECT_ID_PATTERN, validation_alias="id")
    status: SweepStatus
    resumed: int = Field(ge=0, description="jobs that are pending again")
    exhausted: int = Field(ge=0, description="jobs whose attempts are spent")
    skipped: int = Field(ge=0, description="jobs that moved meanwhile, or cannot be read or moved")
    started_at: datetime
    last_modified_at: datetime
    finished_at: datetime | None
    error: str | None = Field(description="why the sweep failed")


def create_app(
    sweeps: Sweeps,
    tokens: BearerTokens,
    *,
    registry: CollectorRegistry,
    ready: ReadinessCheck,
    refresh: Refresh = no_refresh,
    tracer: Tracer | None = None,
) -> FastAPI:
    """The app over its ports. With a `tracer` requests have spans."""
    app = FastAPI(title="Recovery", version=__version__, redoc_url=None, redirect_slashes=False)
    install_problems(app)
    app.add_middleware(HeadMiddleware)
    if tracer:
        app.add_middleware(AnswersMiddleware, tracer=tracer)
    app.include_router(probes(registry, ready, refresh))
    app.include_router(_routes(sweeps, tokens))
    return app


def _routes(sweeps: Sweeps, tokens: BearerTokens) -> APIRouter:
    router = APIRouter(tags=["recovery"], dependencies=[Security(tokens)], responses=PROBLEMS)

    @router.post(PATH, status_code=HTTPStatus.ACCEPTED, responses=STARTED)
    async def start_sweep(response: Response) -> SweepView:
        """Start a sweep, or return the one that is running: at most one runs, over all replicas.

        Answers at once; the sweep goes on in the background.
        """
        sweep = await answered(sweeps.start)
        response.headers["Location"] = f"{PATH}/{sweep.id}"
        return SweepView.model_validate(sweep)

    @router.get(PATH + "/{sweep_id}", responses=SHOWN)
    async def show_sweep(sweep_id: SweepId) -> SweepView:
        """Show how far a sweep is, or how it ended."""
        sweep = await answered(lambda: sweeps.get(sweep_id))
        if sweep is None:
            raise Problem(HTTPStatus.NOT_FOUND, f"there is no sweep {sweep_id}")
        return SweepView.model_validate(sweep)

    return router
