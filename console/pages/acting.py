"""Operators' forms. Each leads to a preview, which freezes the records as they look; confirming it
begins the action. The filters of a list come in the address, as for the list itself.

Who may send a form is checked before every route: see `console.access`.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final
from urllib.parse import urlencode

from fastapi import APIRouter, Request
from fastapi.responses import RedirectResponse, Response

from console.access import visitor_of
from console.forms import first, read_form
from console.lists import JobLists
from console.metrics import Metrics
from console.operating import Operating
from console.pages import asked
from console.pages.actions import PAGES
from console.pages.jobs import wanted_of as jobs_wanted
from console.pages.render import Renderer
from console.pages.requests import wanted_of
from console.pages.retrying import choice_of
from deletion.clock import Clock
from deletion.dead_letter import DeadLetterStatus, Reason
from deletion.errors import TransientError
from deletion.operating.dead_letters import Choice as LetterChoice
from deletion.operating.jobs import Choice as JobChoice
from deletion.operating.journal import WRITE_SECONDS, do_once
from deletion.operating.kinds import Offer
from deletion.operating.ports import ActionStore, PreviewStore
from deletion.operating.record import LONGEST_REASON, MOST, ActionKind, Order, Preview
from deletion.operating.requests import Choice as RequestChoice
from deletion.process.answers import answered, in_time
from deletion.process.problems import Problem

PREVIEW_SECONDS: Final = 30.0
"""How long a preview may look for records."""
MOST_REASON_BYTES: Final = 16 * 1024
"""`LONGEST_REASON` characters take up to twelve bytes each in a form."""
SEE_OTHER: Final = HTTPStatus.SEE_OTHER


@dataclass(frozen=True, slots=True)
class ActingPages:
    """What the forms are made of."""

    operating: Operating
    job_lists: JobLists
    previews: PreviewStore
    actions: ActionStore
    clock: Clock
    metrics: Metrics
    render: Renderer

    def routes(self) -> APIRouter:
        """The forms of jobs, dead letters, requests, sweeps, previews and actions."""
        router = APIRouter(include_in_schema=False)
        acts: dict[str, Callable[..., Awaitable[Response]]] = {
            "/jobs/retry": self.retry,
            "/jobs/{job_id}/retry": self.retry_one,
            "/dead-letters/replay": self.replay,
            "/dead-letters/{letter_id}/replay": self.replay_one,
            "/dead-letters/discard": self.discard,
            "/dead-letters/{letter_id}/discard": self.discard_one,
            "/requests/waive": self.waive,
            "/requests/{event_id}/waive": self.waive_one,
            "/previews/{preview_id}/confirm": self.confirm,
            "/actions/{action_id}/again": self.again,
            "/sweeps": self.sweep,
        }
        for path, act in acts.items():
            router.add_api_route(path, act, methods=["POST"])
        router.add_api_route("/previews/{preview_id}", self.preview, methods=["GET"])
        return router

    async def retry(self, request: Request) -> Response:
        """Preview the retry of the jobs that match."""
        choice = choice_of(jobs_wanted(request), self.job_lists, self.clock)
        return await self._previewed(self.operating.kinds.retry(choice, _by(request)))

    async def retry_one(self, request: Request, job_id: str) -> Response:
        """Preview the retry of one job."""
        choice = JobChoice([asked.record_id(job_id)])
        return await self._previewed(self.operating.kinds.retry(choice, _by(request)))

    async def replay(self, request: Request) -> Response:
        """Preview the replay of the new letters that match."""
        offer = self.operating.kinds.replay(_new_letters(request), _by(request))
        return await self._previewed(offer)

    async def replay_one(self, request: Request, letter_id: str) -> Response:
        """Preview the replay of one letter; `force` does it whatever speaks against it."""
        choice, force = LetterChoice([asked.record_id(letter_id)]), asked.given(request, "force")
        offer = self.operating.kinds.replay(choice, _by(request), force=force == "yes")
        return await self._previewed(offer)

    async def discard(self, request: Request) -> Response:
        """Preview the discarding of the new letters that match."""
        offer = self.operating.kinds.discard(_new_letters(request), _by(request))
        return await self._previewed(offer)

    async def discard_one(self, request: Request, letter_id: str) -> Response:
        """Preview the discarding of one letter."""
        choice = LetterChoice([asked.record_id(letter_id)])
        return await self._previewed(self.operating.kinds.discard(choice, _by(request)))

    async def waive(self, request: Request) -> Response:
        """Preview that a service owes none of the requests that match."""
        service, choice = _owing(request), RequestChoice(wanted=wanted_of(request))
        offer = self.operating.kinds.waive(choice, _by(request), service=service)
        return await self._previewed(offer)

    async def waive_one(self, request: Request, event_id: str) -> Response:
        """Preview that a service does not owe one request."""
        choice = RequestChoice([asked.event_id(event_id)])
        offer = self.operating.kinds.waive(choice, _by(request), service=_owing(request))
        return await self._previewed(offer)

    async def preview(self, request: Request, preview_id: str) -> Response:
        """What an action would be about; once it is confirmed, the action."""
        preview_id = asked.record_id(preview_id)
        if await answered(lambda: in_time(self.actions.get(preview_id))):
            return RedirectResponse(f"/actions/{preview_id}", SEE_OTHER)
        return self._shown(request, await self._kept(preview_id))

    async def confirm(self, request: Request, preview_id: str) -> Response:
        """Begin the action, with the reason of the form."""
        preview_id, by = asked.record_id(preview_id), _by(request)
        reason = first(await read_form(request, MOST_REASON_BYTES), "reason")
        if why := _wrong_reason(reason):
            return self._shown(request, await self._kept(preview_id), why)
        beginning = self.operating.actions.confirm(preview_id, by=by, reason=reason)
        return await self._begun(request, preview_id, beginning)

    async def again(self, request: Request, action_id: str) -> Response:
        """Do the rest of an action that failed or went silent."""
        action_id, by = asked.record_id(action_id), _by(request)
        beginning = self.operating.actions.again(action_id, by=by)
        return await self._begun(request, action_id, beginning)

    async def sweep(self, request: Request) -> Response:
        """Start a sweep, with the reason of the form."""
        recovery = self.operating.recovery
        if recovery is None:
            raise Problem(HTTPStatus.CONFLICT, NO_RECOVERY)
        reason = first(await read_form(request, MOST_REASON_BYTES), "reason")
        if why := _wrong_reason(reason):
            raise Problem(HTTPStatus.UNPROCESSABLE_ENTITY, why)
        order = Order(ActionKind.SWEEP, _by(request), reason.strip())
        failure: str | None = "unexpected"
        try:
            await answered(
                lambda: do_once(order, None, recovery.start_sweep, self.actions, self.clock)
            )
            failure = None
        finally:
            self.metrics.acted(ActionKind.SWEEP, failure)
        return RedirectResponse("/sweeps", SEE_OTHER)

    async def _begun(
        self, request: Request, action_id: str, beginning: Awaitable[str | None]
    ) -> Response:
        """The way to the action, or a page that says that it was taken on and is not begun yet.
        Raises a 409 problem with what `beginning` returns, the reason of a refusal.
        """
        try:
            refusal = await answered(lambda: in_time(beginning))
        except Problem:
            if not self.operating.actions.is_taking_on(action_id):
                raise
            values = {"action_id": action_id, "seconds": WRITE_SECONDS}
            return self.render.page(request, "taken_on.html", values, HTTPStatus.ACCEPTED)
        if refusal:
            raise Problem(HTTPStatus.CONFLICT, refusal)
        return RedirectResponse(f"/actions/{action_id}", SEE_OTHER)

    async def _previewed(self, offer: Offer) -> Response:
        preview = await answered(lambda: self._looked_for(offer))
        return RedirectResponse(f"/previews/{preview.id}", SEE_OTHER)

    async def _looked_for(self, offer: Offer) -> Preview:
        try:
            async with asyncio.timeout(PREVIEW_SECONDS):
                return await self.operating.actions.preview(offer)
        except TimeoutError as error:
            what = f"the records were not found within {PREVIEW_SECONDS:g} s"
            raise TransientError(what, "choose fewer") from error

    async def _kept(self, preview_id: str) -> Preview:
        """The preview. Raises a 404 problem if it is kept no longer."""
        preview = await answered(lambda: in_time(self.previews.get(preview_id)))
        if preview is None:
            raise Problem(HTTPStatus.NOT_FOUND, "there is no such preview: preview it again")
        return preview

    def _shown(self, request: Request, preview: Preview, refusal: str | None = None) -> Response:
        values = {
            "preview": preview,
            "order": preview.order,
            "refusal": refusal,
            "verb": preview.order.kind.value.capitalize(),
            "page_of": PAGES.get(preview.order.kind),
            "eligible": ELIGIBLE.get(preview.order.kind),
            "back": _list_of(preview.order),
            "most": MOST,
            "longest": LONGEST_REASON,
        }
        status = HTTPStatus.UNPROCESSABLE_ENTITY if refusal else HTTPStatus.OK
        return self.render.page(request, "preview.html", values, status)


ELIGIBLE: Final[Mapping[ActionKind, str]] = {
    ActionKind.RETRY: (
        "A retry is for jobs that are exhausted, failed, stale, parked or compensated; filters "
        "choose parked and compensated ones only by their status."
    ),
    ActionKind.REPLAY: "A replay is for new dead letters.",
    ActionKind.DISCARD: "Only new dead letters can be discarded.",
    ActionKind.WAIVE: "Only a request that the service owes can be waived.",
}
"""Which records an action can be about, for a preview without any."""
QUERIES: Final = {"owed_by": "service", "concern": "state"}
"""The parameters of a list that are called otherwise in the choice of an action."""
NO_RECOVERY: Final = (
    "this console does not know where recovery is: set BOTDEL_RECOVERY_URL and "
    "BOTDEL_RECOVERY_TOKEN, or run `botdel recover`"
)
"""Why no sweep can be started here."""


def _by(request: Request) -> str:
    return visitor_of(request).name


def _list_of(order: Order) -> str | None:
    """The address of the list with the filters of the choice, or of the whole list."""
    given = {
        QUERIES.get(name, name): value
        for name, value in order.choice.items()
        if name not in ("ids", "limit")
    }
    path = PAGES.get(order.kind, "").rstrip("/")
    return f"{path}?{urlencode(given)}" if path and given else path or None


def _new_letters(request: Request) -> LetterChoice:
    return LetterChoice(
        service=asked.letter_service(request),
        reason=asked.one_of(Reason, request, "reason"),
        status=DeadLetterStatus.NEW,
    )


def _owing(request: Request) -> str:
    service = asked.service(request)
    if service is None:
        raise asked.wrong("service", "expected the service to waive")
    return service


def _wrong_reason(reason: str) -> str | None:
    if not reason.strip():
        return "A reason is required."
    if len(reason.strip()) > LONGEST_REASON:
        return f"The reason is too long: at most {LONGEST_REASON:,} characters."
    return None
