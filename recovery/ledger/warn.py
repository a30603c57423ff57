"""Warning: an alert when a request nears its deadline, and another one when that has passed."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from datetime import datetime

import structlog

from deletion.alerts import Alert, AlertKind, Alerts
from deletion.clock import Clock
from deletion.ledger import Coverage, CoverageStore, RequestChange
from deletion.request import DeletionRequest, RequestState
from recovery.ledger.chores import Chores
from recovery.ledger.settle import Settlement, completed, jobs_of

log = structlog.get_logger(__name__)

REASONS = {
    AlertKind.REQUESTS_NEAR: "three quarters of the time are over",
    AlertKind.REQUESTS_OVERDUE: "it has passed",
}


class Warn:
    """The part that alerts. It writes first, so that of several replicas one alerts; a crash in
    between loses the alert, not what the gauges say.
    """

    def __init__(
        self,
        chores: Chores,
        coverage: CoverageStore,
        settlement: Settlement,
        alerts: Alerts,
        clock: Clock,
    ) -> None:
        self._chores = chores
        self._coverage = coverage
        self._settlement = settlement
        self._alerts = alerts
        self._clock = clock

    async def __call__(self, stopping: asyncio.Event) -> int:
        """Alert for all requests that are due and that their jobs have not completed.

        It looks at the jobs first, because a consumer of an earlier release completes them without
        a mark. Raises `StoreUnavailable`.
        """
        done_for = 0
        async for requests in self._chores.pages():
            done_for += len(requests)
            now = self._clock.now()
            jobs = await jobs_of(self._coverage, requests)
            changes = [RequestChange(each, _after(each, jobs[each.id], now)) for each in requests]
            saved = await self._chores.save(changes)
            self._settlement.count(saved)
            self._warn_of([each for each in saved.requests if each.settled_at is None], now)
            if stopping.is_set():
                break
        return done_for

    def _warn_of(self, requests: Sequence[DeletionRequest], now: datetime) -> None:
        late = [each for each in requests if each.state(now) is RequestState.OVERDUE]
        self._alert(AlertKind.REQUESTS_OVERDUE, late)
        self._alert(AlertKind.REQUESTS_NEAR, [each for each in requests if each not in late])

    def _alert(self, kind: AlertKind, requests: Sequence[DeletionRequest]) -> None:
        """One alert for each service that owes some of them, with the id of one."""
        examples = {service: each.id for each in requests for service in each.owed}
        owed = Counter(service for each in requests for service in each.owed)
        for service, count in owed.items():
            log.error("requests late", kind=kind, service=service, count=count)
            self._alerts.tell(Alert(kind, service, REASONS[kind], examples[service], count))


def _after(request: DeletionRequest, jobs: Sequence[Coverage], now: datetime) -> DeletionRequest:
    """The request with what its jobs have completed; warned of if that is not all."""
    after = completed(request, jobs, now)
    return after if after.settled_at else after.warned(now)
