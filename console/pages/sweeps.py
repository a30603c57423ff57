"""The sweeps of recovery: when each ran, and what it did."""

from functools import partial

from fastapi import APIRouter, Request
from fastapi.responses import Response

from console.lists import SweepLists
from console.pages import asked
from console.pages.render import Renderer
from console.snapshots import Snapshots
from deletion.operating.record import LONGEST_REASON


def sweep_routes(
    sweeps: SweepLists, snapshots: Snapshots, render: Renderer, *, can_start: bool
) -> APIRouter:
    """`/sweeps`, with a form if one `can_start` a sweep from here."""
    router = APIRouter(include_in_schema=False)

    @router.get("/sweeps")
    async def listed(request: Request) -> Response:
        before = asked.object_id(request, asked.BEYOND)
        read = partial(sweeps.newest, before=before, limit=asked.LISTED + 1)
        found = await snapshots.get(("sweeps", before), read)
        page = asked.Paged(request, found, lambda row: row.id)
        values = {"page": page, "can_start": can_start, "longest": LONGEST_REASON}
        return render.page(request, "sweeps.html", values, live=True)

    return router
