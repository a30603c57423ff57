"""The requests for which a part has a chore to do now, and how it writes them."""

from collections.abc import AsyncIterator, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Final

from deletion.clock import Clock
from deletion.ledger import RequestChange, RequestStore
from deletion.request import Chore, DeletionRequest
from recovery.ledger.metrics import LedgerMetrics, PartName
from recovery.ledger.saving import Saved, save
from recovery.ledger.walk import PAGE, Walk

SHORTEST: Final = timedelta(minutes=1)
"""A claim holds for at least this long, which is longer than any try takes."""
LONGEST: Final = timedelta(hours=1)
"""The longest time between two tries."""


class DueRequests:
    """The requests for which one chore is due, the earliest first.

    Each write is guarded by the revision that was read, so it is a claim too: of several replicas,
    one writes and does the chore.
    """

    def __init__(
        self, chore: Chore, requests: RequestStore, clock: Clock, metrics: LedgerMetrics
    ) -> None:
        self._chore = chore
        self._requests = requests
        self._clock = clock
        self._metrics = metrics
        self._walk = Walk[DeletionRequest](
            PartName(chore.value),
            partial(requests.due, chore),
            lambda request: request.chores.get(chore),
            lambda request: request.id,
            clock,
            metrics,
        )

    def pages(self, size: int = PAGE) -> AsyncIterator[list[DeletionRequest]]:
        """Pages of at most `size` requests that are due. Raises `StoreUnavailable`."""
        return self._walk.pages(size)

    async def save(self, changes: Sequence[RequestChange]) -> Saved:
        """Write the changes; those that are broken are counted, and passed over for a while.

        Raises `StoreUnavailable`.
        """
        saved = await save(self._requests, changes)
        if saved.broken:
            self.failed(len(saved.broken))
            self._walk.pass_over([each.before for each in saved.broken])
        return saved

    async def claim(self, requests: Sequence[DeletionRequest]) -> list[DeletionRequest]:
        """Postpone the chore to when it is tried next, should this try fail or the process die.

        Returns the requests that this process has claimed; another process has the others. Raises
        `StoreUnavailable`.
        """
        now = self._clock.now()
        postponed = (each.postponed(self._chore, now + wait_of(each, now)) for each in requests)
        changes = [RequestChange(*each) for each in zip(requests, postponed, strict=True)]
        return (await self.save(changes)).requests

    def failed(self, count: int) -> None:
        """Count what could not be done."""
        self._metrics.failure(PartName(self._chore.value), count)


def wait_of(request: DeletionRequest, now: datetime) -> timedelta:
    """How long until the next try: as long as the request has been settled, so that the waits
    double without a count of the tries.
    """
    return min(max(now - (request.settled_at or now), SHORTEST), LONGEST)
