"""The console's HTTP API: shows callers where a deletion stands."""

from collections.abc import Callable
from datetime import datetime
from http import HTTPStatus
from typing import Annotated, Any, Final

from fastapi import APIRouter, Path, Query, Security
from pydantic import BaseModel, ConfigDict, Field, PlainSerializer, WithJsonSchema

from console.cursor import CURSOR_PATTERN, as_cursor, as_position
from console.deletions import Deletion, Deletions, Page
from console.status import MOST_CHARACTERS, ServiceState
from deletion.clock import rfc3339
from deletion.ids import OBJECT_ID_PATTERN, UUID_PATTERN
from deletion.ports import Unreadable
from deletion.process.answers import PROBLEMS, answered
from deletion.process.problems import Problem, documented
from deletion.request import RequestState

PATH: Final = "/v1/deletions"
MOST_LISTED: Final = 100
"""Most requests of one answer."""
USUALLY_LISTED: Final = 20

LISTED: Final[dict[int | str, dict[str, Any]]] = {
    422: documented("A parameter is missing, not valid or not known; the detail says which"),
}
SHOWN: Final[dict[int | str, dict[str, Any]]] = {
    404: documented("No such request is recorded, or not yet"),
    422: documented("The id is not a UUID"),
}

EventId = Annotated[str, Path(pattern=UUID_PATTERN, description="A UUID, in either case")]
Time = Annotated[
    datetime,
    PlainSerializer(rfc3339, return_type=str),
    WithJsonSchema({"type": "string", "format": "date-time"}),
]
"""RFC 3339, UTC, in milliseconds, as the gateway writes it."""


class Wanted(BaseModel):
    """Which requests to list. A parameter of another name is refused: it may be misspelt."""

    model_config = ConfigDict(extra="forbid")

    bot_id: str = Field(pattern=OBJECT_ID_PATTERN, description="24 hex digits, in either case")
    limit: int = Field(USUALLY_LISTED, ge=1, le=MOST_LISTED, description="most requests to list")
    cursor: str = Field(
        "", pattern=CURSOR_PATTERN, description="`next` of the page before; empty for the first"
    )


class View(BaseModel):
    """What is shown, taken from the value of the same fields."""

    model_config = ConfigDict(from_attributes=True)


class WaiverView(View):
    """Who decided that a service does not owe its share, and why."""

    by: str
    reason: str


class ServiceView(View):
    """Where one service stands."""

    service: str
    state: ServiceState
    job_id: str | None = Field(description="24 hex digits; null while no job covers the request")
    reason: str = Field(
        description="one sentence, which may quote the text of others", max_length=MOST_CHARACTERS
    )
    waiver: WaiverView | None = Field(description="null unless the service's share is waived")
    deleted: int | None = Field(
        description="documents, objects and calls that the job has deleted; null when its record "
        "is gone or cannot be read"
    )
    since: Time = Field(
        description="when the state began; for a job in progress, when its run wrote last"
    )


class DeletionView(View):
    """A request, and where each service that owed it stands."""

    event_id: str
    bot_id: str
    placed_at: Time
    requested_by: str
    state: RequestState
    deadline: Time
    settled_at: Time | None
    services: list[ServiceView]


class UnreadableView(View):
    """A request whose record cannot be read."""

    event_id: str = Field(validation_alias="id")
    reason: str


class PageView(View):
    """Some requests of a bot, the last received first."""

    deletions: list[DeletionView]
    unreadable: list[UnreadableView]
    next: str | None = Field(description="`cursor` of the next page; null on the last one")


def create_api(deletions: Deletions, guard: Callable[..., Any]) -> APIRouter:
    """Return the routes. The dependency `guard` refuses visitors who may not read."""
    router = APIRouter(
        prefix=PATH, tags=["deletions"], dependencies=[Security(guard)], responses=PROBLEMS
    )

    @router.get("/{event_id}", responses=SHOWN)
    async def show_deletion(event_id: EventId) -> DeletionView:
        """Show where a deletion stands: each service, what it waits for, and since when.

        `event_id` is that of the gateway's 202.
        """
        found = await answered(lambda: deletions.get(event_id.lower()))
        if found is None:
            raise Problem(
                HTTPStatus.NOT_FOUND,
                f"no request {event_id} is recorded; while recovery runs, one appears within "
                "seconds of its 202",
            )
        if isinstance(found, Unreadable):
            detail = f"the record of request {event_id} cannot be read: {found.reason}"
            raise Problem(HTTPStatus.INTERNAL_SERVER_ERROR, detail)
        return _view(found)

    @router.get("", responses=LISTED)
    async def list_deletions(wanted: Annotated[Wanted, Query()]) -> PageView:
        """List the requests for the deletion of a bot, the last received first."""
        bot_id = wanted.bot_id.lower()
        before = as_position(wanted.cursor) if wanted.cursor else None
        return _page(
            await answered(lambda: deletions.of_bot(bot_id, before=before, limit=wanted.limit))
        )

    return router


def _view(deletion: Deletion) -> DeletionView:
    request = deletion.request
    return DeletionView(
        event_id=request.id,
        bot_id=request.bot_id,
        placed_at=request.placed_at,
        requested_by=request.requested_by,
        state=deletion.state,
        deadline=request.deadline,
        settled_at=request.settled_at,
        services=[ServiceView.model_validate(service) for service in deletion.services],
    )


def _page(page: Page) -> PageView:
    return PageView(
        deletions=[_view(deletion) for deletion in page.deletions],
        unreadable=[UnreadableView.model_validate(request) for request in page.unreadable],
        next=as_cursor(page.next) if page.next else None,
    )
