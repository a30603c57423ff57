"""The ledger's stores in memory, for tests. They pass the same conformance suites as the real
ones.
"""

from collections.abc import Collection, Sequence
from dataclasses import replace
from datetime import datetime
from itertools import count

from deletion.job import Job, Status
from deletion.ledger import (
    Concern,
    Coverage,
    ReadRequest,
    RequestCensus,
    RequestChange,
    RequestFilter,
    Service,
    check_room,
)
from deletion.ports import Unreadable
from deletion.request import Chore, DeletionRequest, RequestState
from tests.support.memory_stores import MemoryJobStore


class MemoryRequestStore:
    """`deletion.ledger.RequestStore` over a dict. No await inside a method: each is atomic."""

    _writers = count(1)

    def __init__(self, shared: "MemoryRequestStore | None" = None) -> None:
        self.requests: dict[str, DeletionRequest] = shared.requests if shared else {}
        self._written_by: dict[str, int] = shared._written_by if shared else {}
        self._writer = next(self._writers)

    def replica(self) -> "MemoryRequestStore":
        """Another object on the same requests, as another process has."""
        return MemoryRequestStore(self)

    async def record(self, requests: Sequence[DeletionRequest]) -> None:
        """See the port."""
        for request in requests:
            self.requests.setdefault(request.id, request)

    async def get(self, event_ids: Collection[str]) -> Sequence[ReadRequest]:
        """See the port."""
        return [self.requests[each] for each in set(event_ids) if each in self.requests]

    async def save(self, changes: Sequence[RequestChange]) -> Sequence[RequestChange]:
        """See the port."""
        return [change for change in changes if not self._saved(change)]

    async def due(
        self, chore: Chore, since: datetime, until: datetime, limit: int
    ) -> Sequence[ReadRequest]:
        """See the port."""
        fitting = [
            (request.chores[chore], request.id, request)
            for request in self.requests.values()
            if chore in request.chores and since <= request.chores[chore] <= until
        ]
        return [request for _, _, request in sorted(fitting, key=lambda each: each[:2])[:limit]]

    async def find(
        self,
        wanted: RequestFilter,
        now: datetime,
        *,
        before: tuple[datetime, str] | None = None,
        limit: int,
    ) -> Sequence[ReadRequest]:
        """See the port."""
        newest_first = sorted(self.requests.values(), key=_key, reverse=True)
        fitting = [request for request in newest_first if _fits(request, wanted, now)]
        return [each for each in fitting if before is None or _key(each) < before][:limit]

    async def census(self, now: datetime, limit: int) -> RequestCensus:
        """See the port."""
        are_open = [each for each in self.requests.values() if each.settled_at is None]
        overdue = [each for each in are_open if each.state(now) is RequestState.OVERDUE]
        oldest = min(are_open, key=_key, default=None)
        return RequestCensus(
            unsettled=min(limit, len(are_open)),
            near=min(limit, sum(each.is_near(now) for each in are_open)),
            overdue=min(limit, len(overdue)),
            missing=min(limit, sum(each.is_missing for each in are_open)),
            oldest=oldest.received_at if oldest else None,
            oldest_deadline=oldest.deadline if oldest else None,
        )

    def _saved(self, change: RequestChange) -> bool:
        request_id = change.before.id
        stored = self.requests.get(request_id)
        after = replace(change.after, revision=change.before.revision + 1)
        if stored is None or stored.revision != change.before.revision:
            return stored == after and self._written_by.get(request_id) == self._writer
        self.requests[request_id] = after
        self._written_by[request_id] = self._writer
        return True


class MemoryServiceStore:
    """`deletion.ledger.ServiceStore` over a dict. No await inside a method: each is atomic."""

    def __init__(self) -> None:
        self.services: dict[str, Service] = {}

    async def register(self, names: Collection[str], now: datetime) -> None:
        """See the port."""
        check_room([*self.services.values()], names)
        for name in names:
            standing = self.services.get(name, Service(name, now))
            self.services[name] = Service(name, standing.registered_at)

    async def all(self) -> Sequence[Service]:
        """See the port."""
        return [service for _, service in sorted(self.services.items())]

    async def first(self, limit: int) -> Sequence[Service]:
        """See the port."""
        return (await self.all())[:limit]

    async def retire(self, name: str, by: str, reason: str, now: datetime) -> bool:
        """See the port."""
        service = self.services.get(name)
        if service is None or service.retired_at is not None:
            return False
        self.services[name] = replace(service, retired_at=now, retired_by=by, reason=reason)
        return True


class MemoryCoverageStore:
    """`deletion.ledger.CoverageStore` on the jobs of `store`."""

    def __init__(self, store: MemoryJobStore) -> None:
        self.store = store

    async def unreported(
        self, since: datetime, until: datetime, limit: int
    ) -> Sequence[Coverage | Unreadable]:
        """See the port."""
        marked = sorted((at, job_id) for job_id, at in self.store.unreported.items())
        due = [job_id for at, job_id in marked if since <= at <= until]
        return [coverage_of(self.store.jobs[job_id]) for job_id in due[:limit]]

    async def mark_reported(self, job_ids: Collection[str]) -> None:
        """See the port."""
        for job_id in job_ids:
            self.store.unreported.pop(job_id, None)

    async def covering(self, requests: Collection[tuple[str, str]]) -> Sequence[Coverage]:
        """See the port."""
        return [
            coverage_of(job)
            for job in self.store.jobs.values()
            if any((job.bot_id, event) in requests for event in job.event_ids)
        ]


def _key(request: DeletionRequest) -> tuple[datetime, str]:
    return request.received_at, request.id


def _fits(request: DeletionRequest, wanted: RequestFilter, now: datetime) -> bool:
    return (
        wanted.bot_id in (None, request.bot_id)
        and (wanted.owed_by is None or wanted.owed_by in request.owed)
        and wanted.state in (None, request.state(now))
        and (wanted.concern is None or wanted.concern in _concerns(request, now))
    )


def _concerns(request: DeletionRequest, now: datetime) -> set[Concern]:
    is_near = request.is_near(now) and request.state(now) is RequestState.OPEN
    concerns = {Concern.NEAR: is_near, Concern.MISSING: request.is_missing}
    return {concern for concern, has in concerns.items() if has}


def coverage_of(job: Job) -> Coverage:
    """The job as the ledger sees it."""
    completed_at = job.finished_at if job.status is Status.COMPLETE else None
    return Coverage(job.id, job.service, job.bot_id, job.event_ids, completed_at)
