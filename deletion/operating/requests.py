"""Waiving: an operator decides that a service no longer owes requests, and why."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from deletion.clock import Clock
from deletion.errors import TransientError
from deletion.ledger import ReadRequest, RequestChange, RequestFilter, RequestStore
from deletion.operating.acting import Unknown
from deletion.operating.bulk import Bulk
from deletion.operating.record import Looks, in_words
from deletion.request import DeletionRequest, Waiver

PAGE: Final = 100
"""Requests read at a time."""


@dataclass(frozen=True, slots=True)
class Choice:
    """Which requests: those of `ids` or, without ids, those that match the filter.

    A filter chooses the last received first.
    """

    ids: Sequence[str] = ()
    wanted: RequestFilter = field(default_factory=RequestFilter)

    @property
    def words(self) -> dict[str, str]:
        """The choice as the record of an action names it."""
        return in_words(
            self.ids,
            bot=self.wanted.bot_id,
            owed_by=self.wanted.owed_by,
            state=self.wanted.state,
            concern=self.wanted.concern,
        )

    async def pages(
        self, store: RequestStore, clock: Clock
    ) -> AsyncIterator[Sequence[ReadRequest | Unknown]]:
        """Yield the chosen requests in pages of at most `PAGE`, also those that cannot be read.

        Raises `TransientError` if nothing in a whole page says where the next one begins.
        """
        ids = list(dict.fromkeys(self.ids))
        for start in range(0, len(ids), PAGE):
            yield await _read(store, ids[start : start + PAGE])
        if ids:
            return
        before, now = None, clock.now()
        while page := await store.find(self.wanted, now, before=before, limit=PAGE):
            yield page
            before = _last_of(page)
            if before is None and len(page) < PAGE:
                return
            if before is None:
                raise TransientError(
                    f"{len(page)} requests do not say when they were received, so that those "
                    "behind them cannot be read",
                    "choose requests by their ids",
                )


class Waive:
    """Waives the share of one service."""

    def __init__(
        self, store: RequestStore, clock: Clock, service: str, *, by: str, reason: str
    ) -> None:
        self._store = store
        self._clock = clock
        self._service = service
        self._waiver = Waiver(by, reason)

    async def __call__(self, request: DeletionRequest) -> str | None:
        """Raises `StoreUnavailable`."""
        if why := await self.refusal(request):
            return why
        waived = request.waived(self._service, self._waiver, self._clock.now())
        if await self._store.save([RequestChange(request, waived)]):
            return "it has changed in the meantime: look at it again"
        return None

    async def refusal(self, request: DeletionRequest) -> str | None:
        """Return why there is nothing to waive, or None."""
        share = request.share(self._service)
        if share is None:
            return f"{self._service} never owed it"
        if share.waiver:
            return f"{self._service} no longer owes it: it is waived already"
        if not share.is_owed:
            return f"{self._service} no longer owes it: its job is complete"
        return None


def waiving(
    choice: Choice, store: RequestStore, clock: Clock, service: str, *, by: str, reason: str
) -> Bulk[DeletionRequest]:
    """Return the waiving of the share of `service` in the chosen requests."""
    action = Waive(store, clock, service, by=by, reason=reason)

    async def get(event_id: str) -> ReadRequest | None:
        return next(iter(await store.get([event_id])), None)

    return Bulk(
        pages=lambda: choice.pages(store, clock),
        get=get,
        looks=looks_of_request,
        act=action,
        why_not=action.refusal,
    )


def looks_of_request(request: DeletionRequest) -> Looks:
    """The field that shows whether the request was written meanwhile."""
    return {"revision": request.revision}


def _last_of(page: Sequence[ReadRequest]) -> tuple[datetime, str] | None:
    """Return the key of the last request of the page that says when it was received, or None."""
    for each in reversed(page):
        if isinstance(each, DeletionRequest):
            return each.received_at, each.id
        if each.last_modified_at is not None:
            return each.last_modified_at, each.id
    return None


async def _read(store: RequestStore, ids: Sequence[str]) -> Sequence[ReadRequest | Unknown]:
    found = {request.id: request for request in await store.get(ids)}
    return [found.get(each) or Unknown(each) for each in ids]
