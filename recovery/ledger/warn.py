"""Warning: an alert when the deadline of a request is near, and another every day once it has
passed.
"""

import asyncio
from collections import Counter
from collections.abc import Sequence
from datetime import datetime

import structlog

from deletion.alerts import Alert, AlertKind, Alerts
from deletion.clock import Clock
from deletion.ledger import Coverage, CoverageStore, RequestChange
from deletion.request import Chore, DeletionRequest, RequestState
from recovery.ledger.due_requests import DueRequests
from recovery.ledger.settle import Settlement, jobs_of, settled_by

log = structlog.get_logger(__name__)

REASONS = {
    AlertKind.REQUESTS_NEAR: "three quarters of the time are over",
    AlertKind.REQUESTS_OVERDUE: "still owed",
}


class Warn:
    """The part that alerts. It writes first, so that of several replicas one alerts; a crash in
    between loses the alert, not what the gauges say.
    """

    def __init__(
        self,
        due: DueRequests,
        coverage: CoverageStore,
        settlement: Settlement,
        alerts: Alerts,
        clock: Clock,
    ) -> None:
        self._due = due
        self._coverage = coverage
        self._settlement = settlement
        self._alerts = alerts
        self._clock = clock

    async def __call__(self, stopping: asyncio.Event) -> int:
        """Alert for all requests that are due, unless complete jobs settle them.

        The jobs are read first, because a consumer of an earlier release completes them without a
        mark. Raises `StoreUnavailable`.
        """
        done_for = 0
        async for requests in self._due.pages():
            done_for += len(requests)
            now = self._clock.now()
            jobs = await jobs_of(self._coverage, requests)
            changes = [RequestChange(each, _after(each, jobs[each.id], now)) for each in requests]
            saved = await self._due.save(changes)
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
    """The request as its complete jobs settle it; warned of if a service still owes it.

    An earlier build ended the checks of a request once each service had a job. Such a request is
    checked again from now on: otherwise a job that is lost later would never be made anew.
    """
    after = settled_by(request, jobs, now)
    if after.settled_at:
        return after
    warned = after.warned(now)
    is_checked = Chore.REPUBLISH in warned.chores
    return warned if is_checked else warned.postponed(Chore.REPUBLISH, now)
