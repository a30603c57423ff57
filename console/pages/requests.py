"""Requests: a list with filters, and one with where each service stands."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from typing import Final

from fastapi import APIRouter, Request
from fastapi.responses import Response

from console.deletions import Deletions, position_of
from console.pages import asked
from console.pages.charts import time_line
from console.pages.render import Renderer
from console.snapshots import Snapshots
from deletion.clock import Clock
from deletion.ids import is_uuid
from deletion.ledger import Concern, ReadRequest, RequestFilter, RequestStore
from deletion.ports import Unreadable
from deletion.process.problems import Problem
from deletion.request import RequestState

STATES: Final = (*RequestState, *Concern)
"""The values of the filter `state`."""


@dataclass(frozen=True, slots=True)
class RequestPages:
    """What the pages of requests are made of."""

    requests: RequestStore
    deletions: Deletions
    clock: Clock
    snapshots: Snapshots
    render: Renderer

    def routes(self) -> APIRouter:
        """`/requests` and `/requests/{event_id}`."""
        router = APIRouter(include_in_schema=False)
        router.add_api_route("/requests", self.listed, methods=["GET"])
        router.add_api_route("/requests/{event_id}", self.one, methods=["GET"])
        return router

    async def listed(self, request: Request) -> Response:
        """A page of the list."""
        wanted = wanted_of(request)
        before, now = asked.position(request, is_uuid), self.clock.now()
        read = partial(self.requests.find, wanted, now, before=before, limit=asked.LISTED + 1)
        found: Sequence[ReadRequest] = await self.snapshots.get(("requests", wanted, before), read)
        page = asked.Paged(request, found, position_of)
        values = {
            "wanted": wanted,
            "page": page,
            "rows": [(each, _state(each, self.clock)) for each in page.rows],
            "states": STATES,
            "state": wanted.concern or wanted.state,
            "waive_at": asked.same(request, "/requests/waive", "service", "bot", "state")
            if wanted.owed_by
            else None,
        }
        return self.render.page(request, "requests.html", values, live=True)

    async def one(self, request: Request, event_id: str) -> Response:
        """One request, and where each service that owed it stands."""
        event_id = asked.event_id(event_id)
        read = partial(self.deletions.get, event_id)
        found = await self.snapshots.get(("request", event_id), read)
        if found is None:
            detail = f"no request {event_id} is recorded; one appears within seconds of its 202"
            raise Problem(HTTPStatus.NOT_FOUND, detail)
        if isinstance(found, Unreadable):
            values: dict[str, object] = {"event_id": event_id, "reason": found.reason}
            return self.render.page(request, "request_unreadable.html", values)
        line = time_line(found, self.clock.now())
        shown = {"deletion": found, "request": found.request, "line": line}
        return self.render.page(request, "request.html", shown, live=True)


def wanted_of(request: Request) -> RequestFilter:
    """Return the filters of a list of requests; `state` names a state or a `Concern`.

    Raises a 422 problem for a filter that is not valid.
    """
    is_concern = asked.given(request, "state") in tuple(Concern)
    return RequestFilter(
        bot_id=asked.object_id(request, "bot"),
        owed_by=asked.service(request),
        state=None if is_concern else asked.one_of(RequestState, request, "state"),
        concern=asked.one_of(Concern, request, "state") if is_concern else None,
    )


def _state(request: ReadRequest, clock: Clock) -> str:
    if isinstance(request, Unreadable):
        return "unreadable"
    return request.state(clock.now()).value
