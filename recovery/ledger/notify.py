"""Notifying others that a request is settled: by an event, and by a call of a URL."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

import structlog

from deletion.clock import Clock
from deletion.errors import PermanentError, with_type
from deletion.ledger import RequestChange
from deletion.request import DeletionRequest
from deletion.retry import pause
from recovery.ledger.due_requests import DueRequests

log = structlog.get_logger(__name__)


class Notify:
    """A part that sends each settled request to somebody, at least once: claim → notify → record.

    `notify` returns once the other side has confirmed, within the time that a claim holds, or
    raises. `notified` returns the request as it is after that. At most `at_once` requests are
    claimed together, and their notifications are sent side by side, on average at most
    `per_second`: a backlog, such as the requests of a month that a new ledger finds, must not flood
    the other side. `then` is called when at least one was confirmed.
    """

    def __init__(
        self,
        due: DueRequests,
        notify: Callable[[DeletionRequest], Awaitable[None]],
        notified: Callable[[DeletionRequest], DeletionRequest],
        *,
        at_once: int,
        per_second: float,
        clock: Clock,
        then: Callable[[], None],
    ) -> None:
        self._due = due
        self._notify = notify
        self._notified = notified
        self._at_once = at_once
        self._per_second = per_second
        self._clock = clock
        self._then = then

    async def __call__(self, stopping: asyncio.Event) -> int:
        """Notify of all requests that are due. Raises `StoreUnavailable`, and the first error when
        none of those sent side by side was confirmed: the other side does not work then. One that
        is refused, with a `PermanentError`, shows that it works, so that many of them do not delay
        the others.
        """
        done_for = 0
        async for requests in self._due.pages(self._at_once):
            done_for += len(requests)
            ready_at = self._clock.monotonic() + len(requests) / self._per_second
            await self._notify_of(await self._due.claim(requests))
            await pause(self._clock, max(0.0, ready_at - self._clock.monotonic()), stopping)
            if stopping.is_set():
                break
        return done_for

    async def _notify_of(self, requests: Sequence[DeletionRequest]) -> None:
        errors = await asyncio.gather(*(self._try(each) for each in requests))
        done = [each for each, error in zip(requests, errors, strict=True) if error is None]
        failed = [error for error in errors if error]
        await self._due.save([RequestChange(each, self._notified(each)) for each in done])
        if done:
            self._then()
        elif failed and not any(isinstance(error, PermanentError) for error in failed):
            raise failed[0]  # which counts as one failure, that of the pass
        self._due.failed(len(failed))

    async def _try(self, request: DeletionRequest) -> Exception | None:
        """Return the error of a notification that failed: it is tried again, within an hour."""
        try:
            await self._notify(request)
        except Exception as error:  # noqa: BLE001 - logged, and counted or raised
            log.warning("not notified yet", event_id=request.id, reason=with_type(error))
            return error
        return None
