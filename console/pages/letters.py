"""Dead letters: a list with filters, and one with its fields and the byte of its fault."""

from dataclasses import dataclass
from functools import partial
from http import HTTPStatus

from fastapi import APIRouter, Request
from fastapi.responses import Response

from console.lists import LetterFilter, LetterLists
from console.overview import MOST_COUNTED
from console.pages import asked
from console.pages.render import Renderer
from console.snapshots import Snapshots
from deletion.dead_letter import DeadLetter, DeadLetterStatus, Reason
from deletion.operating.excerpt import lines, skipped_at_end
from deletion.operating.explain import explain
from deletion.ports import DeadLetterStore, ReadLetter, Unreadable
from deletion.process.problems import Problem
from deletion.replay import refusal


@dataclass(frozen=True, slots=True)
class LetterPages:
    """What the pages of dead letters are made of."""

    lists: LetterLists
    letters: DeadLetterStore
    snapshots: Snapshots
    render: Renderer

    def routes(self) -> APIRouter:
        """`/dead-letters` and `/dead-letters/{letter_id}`."""
        router = APIRouter(include_in_schema=False)
        router.add_api_route("/dead-letters", self.listed, methods=["GET"])
        router.add_api_route("/dead-letters/{letter_id}", self.one, methods=["GET"])
        return router

    async def listed(self, request: Request) -> Response:
        """The groups of new ones, and a page of the list."""
        wanted = LetterFilter(
            service=asked.letter_service(request),
            reason=asked.one_of(Reason, request, "reason"),
            status=asked.one_of(DeadLetterStatus, request, "status"),
        )
        before = asked.object_id(request, asked.BEYOND)
        read = partial(self.lists.heads, wanted, before=before, limit=asked.LISTED + 1)
        found = await self.snapshots.get(("letters", wanted, before), read)
        groups = partial(self.lists.groups, MOST_COUNTED)
        values = {
            "wanted": wanted,
            "page": asked.Paged(request, found, lambda head: head.id),
            "groups": await self.snapshots.get("letter groups", groups),
            "statuses": tuple(DeadLetterStatus),
            "reasons": tuple(Reason),
            "replay_at": asked.same(request, "/dead-letters/replay", "service", "reason"),
            "discard_at": asked.same(request, "/dead-letters/discard", "service", "reason"),
        }
        return self.render.page(request, "letters.html", values, live=True)

    async def one(self, request: Request, letter_id: str) -> Response:
        """One dead letter. It is read each time: its bytes are not kept in memory."""
        letter_id = asked.record_id(letter_id)
        letter: ReadLetter | None = await self.snapshots.once(partial(self.letters.get, letter_id))
        if letter is None:
            raise Problem(HTTPStatus.NOT_FOUND, f"there is no dead letter {letter_id}")
        if isinstance(letter, Unreadable):
            values: dict[str, object] = {"letter_id": letter_id, "reason": letter.reason}
            return self.render.page(request, "letter_unreadable.html", values)
        return self.render.page(request, "letter.html", _shown(letter))


def _shown(letter: DeadLetter) -> dict[str, object]:
    explanation = explain(letter.data)
    fault = explanation.fault.offset if explanation.fault else None
    return {
        "letter": letter,
        "explanation": explanation,
        "fault": explanation.fault,
        "lines": list(lines(letter.data, fault)),
        "why_not": refusal(letter, force=False),
        "may_force": refusal(letter, force=True) is None,
        "skipped_at_end": skipped_at_end(letter.data, fault),
    }
