"""What a status is read from, in memory: requests, jobs and dead letters."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

from console.deletions import Deletions
from console.ports import Covering
from deletion.errors import StoreUnavailable
from deletion.job import Job, LeasePolicy, Status
from deletion.ledger import EventLetter, ReadRequest
from deletion.ports import Unreadable
from deletion.request import DeletionRequest
from tests.support.clock import START, VirtualClock
from tests.support.factories import BOT, a_deletion_request, a_letter, new_job
from tests.support.memory_console import MemoryDeletionJobs
from tests.support.memory_requests import MemoryRequestStore
from tests.support.memory_stores import MemoryDeadLetterStore, MemoryJobStore

POLICY = LeasePolicy(timedelta(seconds=60), max_attempts=3)


class Requests(MemoryRequestStore):
    """Of some, the records cannot be read."""

    def __init__(self) -> None:
        super().__init__()
        self.damaged: set[str] = set()

    async def get(self, event_ids: Collection[str]) -> Sequence[ReadRequest]:
        return [self._read(request) for request in await super().get(event_ids)]

    async def find(self, *args: Any, **options: Any) -> Sequence[ReadRequest]:
        return [self._read(request) for request in await super().find(*args, **options)]

    def _read(self, request: ReadRequest) -> ReadRequest:
        if request.id not in self.damaged:
            return request
        received_at = self.requests[request.id].received_at
        return Unreadable(request.id, "shares is missing", last_modified_at=received_at)


class Jobs(MemoryDeletionJobs):
    """Counts the calls. Of some jobs, the records cannot be read."""

    def __init__(self) -> None:
        super().__init__(MemoryJobStore())
        self.damaged: set[str] = set()
        self.calls: list[str] = []

    async def covering(
        self, bot_id: str, services: Collection[str], event_ids: Collection[str]
    ) -> Sequence[Covering]:
        self.calls.append("covering")
        found = await super().covering(bot_id, services, event_ids)
        return [self._read(each) for each in found]

    async def count_due(self, queue: str, before: datetime, limit: int) -> int:
        self.calls.append(f"count_due {queue}")
        return await super().count_due(queue, before, limit)

    def _read(self, each: Covering) -> Covering:
        if each.job.id not in self.damaged:
            return each
        return Covering(each.service, each.event_ids, Unreadable(each.job.id, "steps is missing"))


class Letters(MemoryDeadLetterStore):
    """Remembers what was asked."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[set[tuple[str, str]]] = []

    async def of_events(self, events: Collection[tuple[str, str]]) -> Sequence[EventLetter]:
        self.asked.append({*events})
        return await super().of_events(events)


@dataclass
class World:
    """Everything that a status is read from, and the clock."""

    requests: Requests = field(default_factory=Requests)
    jobs: Jobs = field(default_factory=Jobs)
    letters: Letters = field(default_factory=Letters)
    clock: VirtualClock = field(default_factory=VirtualClock)

    @property
    def deletions(self) -> Deletions:
        return Deletions(self.requests, self.jobs, self.letters, self.clock, POLICY)

    async def request(self, *services: str, **values: Any) -> DeletionRequest:
        """A request for `BOT` that the services owe."""
        placed = a_deletion_request(*services, **({"bot_id": BOT} | values))
        await self.requests.record([placed])
        return placed

    async def job(
        self, *requests: DeletionRequest, status: Status = Status.PENDING, **values: Any
    ) -> Job:
        """A job that covers the requests; of another bot and event without any."""
        if requests:
            covers = tuple(request.id for request in requests)
            values = {"bot_id": requests[0].bot_id, "event_ids": covers} | values
        job = new_job(status, **values)
        self.jobs.store.jobs[job.id] = job
        return job

    async def letter(self, service: str, event_id: str, **values: Any) -> str:
        """The id of a new dead letter."""
        letter = a_letter(service=service, attributes={"event_id": event_id}, **values)
        await self.letters.record([letter])
        return letter.id


class Away(Requests):
    """A database that does not answer."""

    async def get(self, event_ids: Collection[str]) -> Sequence[ReadRequest]:
        raise StoreUnavailable("MongoDB has no primary")

    async def find(self, *args: Any, **options: Any) -> Sequence[ReadRequest]:
        raise StoreUnavailable("MongoDB has no primary")


def later(seconds: float) -> datetime:
    """`seconds` after everything else."""
    return START + timedelta(seconds=seconds)


def new_id() -> str:
    """The id of an event that nobody placed."""
    return str(uuid4())
