"""Telling others that a request is settled: by an event, and by a call of a URL."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

import structlog

from deletion.errors import with_type
from deletion.ledger import RequestChange
from deletion.request import DeletionRequest
from recovery.ledger.chores import Chores

log = structlog.get_logger(__name__)


class Tell:
    """A part that tells somebody of each settled request, at least once: claim → tell → record.

    `tell` returns once the other side has confirmed, within the time that a claim holds, or raises.
    `told` is the request after that. `at_once` requests are claimed and told of side by side;
    `then` is called when some were.
    """

    def __init__(
        self,
        chores: Chores,
        tell: Callable[[DeletionRequest], Awaitable[None]],
        told: Callable[[DeletionRequest], DeletionRequest],
        *,
        at_once: int,
        then: Callable[[], None],
    ) -> None:
        self._chores = chores
        self._tell = tell
        self._told = told
        self._at_once = at_once
        self._then = then

    async def __call__(self, stopping: asyncio.Event) -> int:
        """Tell of all that are due. Raises `StoreUnavailable`, and the error of a try once all of
        those side by side have failed: the other side does not work then.
        """
        done_for = 0
        async for requests in self._chores.pages(self._at_once):
            done_for += len(requests)
            await self._tell_of(await self._chores.claim(requests))
            if stopping.is_set():
                break
        return done_for

    async def _tell_of(self, requests: Sequence[DeletionRequest]) -> None:
        errors = await asyncio.gather(*(self._try(each) for each in requests))
        done = [each for each, error in zip(requests, errors, strict=True) if error is None]
        failed = [error for error in errors if error]
        self._chores.failed(len(failed))
        await self._chores.save([RequestChange(each, self._told(each)) for each in done])
        if done:
            self._then()
        elif failed:
            raise failed[0]

    async def _try(self, request: DeletionRequest) -> Exception | None:
        """Returns what made it fail: it is tried again, after an hour at most."""
        try:
            await self._tell(request)
        except Exception as error:  # noqa: BLE001 - logged, counted, and raised if none succeeds
            log.warning("not told yet", event_id=request.id, reason=with_type(error))
            return error
        return None
