"""The overview: what an operator looks at first."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from fastapi import APIRouter, Request
from fastapi.responses import Response

from console.overview import MOST_COUNTED, Overview, Overviews
from console.pages.charts import bars, scale
from console.pages.render import Renderer
from console.snapshots import Snapshots
from deletion.job import NOT_LIVE, Status
from deletion.ports import Unfinished

UNFINISHED = tuple(status for status in Status if status not in NOT_LIVE)


@dataclass(frozen=True, slots=True)
class ServiceRow:
    """The unfinished jobs of a service by status, and the oldest of them."""

    service: str
    counts: tuple[int, ...]
    oldest: datetime | None


def overview_routes(overviews: Overviews, snapshots: Snapshots, render: Renderer) -> APIRouter:
    """`/`."""
    router = APIRouter(include_in_schema=False)

    @router.get("/")
    async def overview(request: Request) -> Response:
        taken = await snapshots.get("overview", overviews.take)
        return render.page(request, "overview.html", _shown(taken), live=True)

    return router


def service_rows(unfinished: Sequence[Unfinished]) -> list[ServiceRow]:
    """A row for each service, the one with the oldest unfinished job first."""
    rows = []
    for service in {group.service for group in unfinished}:
        groups = {group.status: group for group in unfinished if group.service == service}
        counts = tuple(groups[s].jobs if s in groups else 0 for s in UNFINISHED)
        times = [group.oldest for group in groups.values() if group.oldest]
        rows.append(ServiceRow(service, counts, min(times, default=None)))
    return sorted(rows, key=lambda row: (row.oldest is None, row.oldest, row.service))


def _shown(taken: Overview) -> dict[str, object]:
    rows, hours = service_rows(taken.unfinished or ()), taken.hours or ()
    return {
        "taken": taken,
        "rows": rows,
        "statuses": UNFINISHED,
        "jobs": sum(sum(row.counts) for row in rows),
        "letters": sum(group.letters for group in taken.letters),
        "on_track": max(0, taken.requests.unsettled - taken.requests.near),
        "completed": sum(hour.completed for hour in hours),
        "bars": bars(hours),
        "scale": scale(hours),
        "most": MOST_COUNTED,
    }
