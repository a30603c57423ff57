"""What `botdel doctor` found last: when and where it ran, and each finding."""

from fastapi import APIRouter, Request
from fastapi.responses import Response

from console.pages.render import Renderer
from console.snapshots import Snapshots
from deletion.doctor import WORST_FIRST, ExaminationStore
from deletion.ports import Unreadable


def doctor_routes(
    examinations: ExaminationStore, snapshots: Snapshots, render: Renderer
) -> APIRouter:
    """`/doctor`."""
    router = APIRouter(include_in_schema=False)

    @router.get("/doctor")
    async def last(request: Request) -> Response:
        found = await snapshots.get("doctor", examinations.last)
        values = {"found": found, "is_damaged": isinstance(found, Unreadable)}
        return render.page(request, "doctor.html", {**values, "worst": WORST_FIRST}, live=True)

    return router
