"""The audit: what operators did, to what, and what came of it."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from http import HTTPStatus
from typing import Final

from fastapi import APIRouter, Request
from fastapi.responses import Response

from console.pages import asked
from console.pages.render import Renderer
from console.snapshots import Snapshots
from deletion.clock import Clock, rfc3339
from deletion.operating.ports import ActionStore
from deletion.operating.record import ActionKind, Looks, OperatorAction, WholeAction
from deletion.ports import Unreadable
from deletion.process.problems import Problem

PAGES: Final[Mapping[ActionKind, str]] = {
    ActionKind.RETRY: "/jobs/",
    ActionKind.REPLAY: "/dead-letters/",
    ActionKind.DISCARD: "/dead-letters/",
    ActionKind.WAIVE: "/requests/",
}
"""Where the pages of the records are that an action is about."""
FROM: Final = "from"
"""The query parameter that says with which record of an action a page begins."""


@dataclass(frozen=True, slots=True)
class Row:
    """A record of an action: what it looked like, and what came of it."""

    id: str
    looks: str
    state: str
    refusal: str = ""


@dataclass(frozen=True, slots=True)
class ActionPages:
    """What the pages of the audit are made of."""

    actions: ActionStore
    clock: Clock
    snapshots: Snapshots
    render: Renderer

    def routes(self) -> APIRouter:
        """`/actions` and `/actions/{action_id}`."""
        router = APIRouter(include_in_schema=False)
        router.add_api_route("/actions", self.listed, methods=["GET"])
        router.add_api_route("/actions/{action_id}", self.one, methods=["GET"])
        return router

    async def listed(self, request: Request) -> Response:
        """A page of the list."""
        by, kind = asked.any_text(request, "by"), asked.one_of(ActionKind, request, "kind")
        before = asked.object_id(request, asked.BEYOND)
        read = partial(self.actions.find, by=by, kind=kind, before=before, limit=asked.LISTED + 1)
        found = await self.snapshots.get(("actions", by, kind, before), read)
        page = asked.Paged(request, found, lambda action: action.id)
        values = {
            "page": page,
            "rows": [(each, self._state(each)) for each in page.rows],
            "by": by,
            "kind": kind,
            "kinds": tuple(ActionKind),
        }
        return self.render.page(request, "actions.html", values, live=True)

    async def one(self, request: Request, action_id: str) -> Response:
        """One action, with a page of its records."""
        action_id, start = asked.record_id(action_id), asked.count(request, FROM)
        read = partial(self.actions.get, action_id)
        whole = await self.snapshots.get(("action", action_id), read)
        if whole is None:
            raise Problem(HTTPStatus.NOT_FOUND, f"there is no action {action_id}")
        if isinstance(whole, Unreadable):
            values: dict[str, object] = {"action_id": action_id, "reason": whole.reason}
            return self.render.page(request, "action_unreadable.html", values)
        rows = rows_of(whole)
        end = start + asked.LISTED
        values = {
            "action": whole.action,
            "order": whole.action.order,
            "state": self._state(whole.action),
            "may_go_on": whole.action.obstacle(self.clock.now()) is None,
            "refusals": Counter(each.refusal for each in whole.outcomes if each.refusal),
            "rows": rows[start:end],
            "start": start,
            "page_of": PAGES.get(whole.action.order.kind),
            "page": asked.Places(
                asked.link(request, **{FROM: None}) if start else None,
                asked.link(request, **{FROM: str(end)}) if len(rows) > end else None,
            ),
        }
        return self.render.page(request, "action.html", values, live=True)

    def _state(self, action: OperatorAction | Unreadable) -> str:
        if isinstance(action, Unreadable):
            return "unreadable"
        return "silent" if action.is_silent(self.clock.now()) else action.status.value


def rows_of(whole: WholeAction) -> list[Row]:
    """A row for each record: the targets in their order, then outcomes that no target has."""
    outcomes = {outcome.id: outcome.refusal for outcome in whole.outcomes}
    rows = []
    for place, target in enumerate(whole.targets):
        refusal, looks = outcomes.get(target.id), in_words(target.looks)
        if target.id in outcomes:
            state = "refused" if refusal else "done"
        else:
            state = "begun" if place < whole.action.begun else "waiting"
        rows.append(Row(target.id, looks, state, refusal or ""))
    frozen = {target.id for target in whole.targets}
    return rows + [
        Row(each, "", "refused" if why else "done", why or "")
        for each, why in outcomes.items()
        if each not in frozen
    ]


def in_words(looks: Looks) -> str:
    """What a record looked like, such as `status failed, attempt 2`."""
    return ", ".join(
        f"{name} {rfc3339(value) if isinstance(value, datetime) else value}"
        for name, value in looks.items()
    )
