"""Forgetting calls that nobody makes: those that were due when the callback was taken out of use.

Each of them keeps its request from expiring (docs/decisions/0040).
"""

import asyncio
from datetime import timedelta
from typing import Final

import structlog

from deletion.clock import Clock
from deletion.ledger import RequestChange
from deletion.request import Chore, DeletionRequest
from recovery.ledger.due_requests import DueRequests

UNCALLED: Final = timedelta(days=1)
"""A call is forgotten once it has been due, and this process has run, for so long: until then a
setting that was lost may be put back. A process that makes calls postpones each by an hour at most,
so no call is forgotten while another process makes them.
"""

log = structlog.get_logger(__name__)


class Uncalled:
    """The part of a ledger without a receiver that forgets calls."""

    def __init__(self, due: DueRequests, clock: Clock) -> None:
        self._due = due
        self._clock = clock
        self._began = clock.monotonic()

    async def __call__(self, stopping: asyncio.Event) -> int:
        """Forget the calls that have been due for `UNCALLED`, once this process has run as long,
        because it does not know when the receiver was taken away. Returns how many it forgot.
        Raises `StoreUnavailable`.
        """
        if self._clock.monotonic() - self._began < UNCALLED.total_seconds():
            return 0
        forgotten = 0
        async for requests in self._due.pages():
            uncalled = [each for each in requests if self._is_forgotten(each)]
            changes = [RequestChange(each, each.called()) for each in uncalled]
            forgotten += len((await self._due.save(changes)).written)
            if len(uncalled) < len(requests) or stopping.is_set():
                break
        if forgotten:
            log.warning("callbacks forgotten", requests=forgotten, reason="no URL is set to call")
        return forgotten

    def _is_forgotten(self, request: DeletionRequest) -> bool:
        at = request.chores.get(Chore.CALL)
        return at is not None and at <= self._clock.now() - UNCALLED
