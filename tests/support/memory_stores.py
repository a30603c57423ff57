"""Stores in memory, for tests: they pass the conformance suites of the real ones."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from itertools import count, islice

from deletion.dead_letter import DeadLetter, DeadLetterStatus, Reason
from deletion.errors import LeaseLost
from deletion.job import Change, Job, Status
from deletion.ports import Recorded


class MemoryJobStore:
    """`deletion.ports.JobStore` over a dict. No await inside a method: each is atomic."""

    def __init__(self) -> None:
        self.jobs: dict[str, Job] = {}
        self._ids = count(1)

    async def ping(self) -> None:
        """It is always there."""

    def new_id(self) -> str:
        """Ids that sort in the order they were made."""
        return f"{next(self._ids):024x}"

    async def record(self, jobs: Sequence[Job]) -> list[Recorded]:
        """See the port."""
        return [self._record(job) for job in jobs]

    async def apply(self, change: Change) -> Job:
        """See the port."""
        stored = self.jobs.get(change.after.id)
        if stored is None:
            raise LeaseLost(f"there is no job {change.after.id}")
        written = replace(change.after, placed_at=stored.placed_at)
        if stored != written and not _matches(stored, change):
            raise LeaseLost(f"job {change.after.id} has moved on")
        self.jobs[change.after.id] = written
        return change.after

    async def get(self, job_id: str) -> Job | None:
        """See the port."""
        return self.jobs.get(job_id)

    async def walk(
        self, status: Status, *, modified_before: datetime | None, after: str | None, limit: int
    ) -> list[Job]:
        """See the port."""
        fitting = (
            job
            for _, job in sorted(self.jobs.items())
            if job.status is status
            and (modified_before is None or job.last_modified_at < modified_before)
            and (after is None or job.id > after)
        )
        return list(islice(fitting, limit))

    async def count(self, status: Status) -> int:
        """See the port."""
        return sum(job.status is status for job in self.jobs.values())

    async def find(
        self,
        *,
        service: str | None = None,
        bot_id: str | None = None,
        status: Status | None = None,
        limit: int,
    ) -> list[Job]:
        """See the port."""
        fitting = (
            job
            for _, job in sorted(self.jobs.items(), reverse=True)
            if service in (None, job.service)
            and bot_id in (None, job.bot_id)
            and status in (None, job.status)
        )
        return list(islice(fitting, limit))

    def _record(self, job: Job) -> Recorded:
        standing = next((j for j in self.jobs.values() if _collides(j, job)), None)
        if standing is None:
            self.jobs[job.id] = job
            return Recorded(job, is_new=True)
        if standing.event_id != job.event_id:
            standing = self.jobs[standing.id] = standing.joined(job.placed_at)
        return Recorded(standing, is_new=standing.fence == job.fence)


class MemoryDeadLetterStore:
    """`deletion.ports.DeadLetterStore` over a dict. No await inside a method: each is atomic."""

    def __init__(self) -> None:
        self.letters: dict[str, DeadLetter] = {}
        self._returns: set[tuple[str, str]] = set()
        self._ids = count(1)

    def new_id(self) -> str:
        """Ids that sort in the order they were made."""
        return f"{next(self._ids):024x}"

    async def record(self, letters: Sequence[DeadLetter]) -> list[DeadLetter]:
        """See the port."""
        told = [told for told in map(self._record, letters) if told]
        return [self.letters[letter_id] for letter_id in dict.fromkeys(told)]

    async def get(self, letter_id: str) -> DeadLetter | None:
        """See the port."""
        return self.letters.get(letter_id)

    async def find(
        self,
        *,
        service: str | None = None,
        reason: Reason | None = None,
        status: DeadLetterStatus | None = None,
        before: str | None = None,
        limit: int,
    ) -> list[DeadLetter]:
        """See the port."""
        fitting = (
            letter
            for _, letter in sorted(self.letters.items(), reverse=True)
            if service in (None, letter.service)
            and reason in (None, letter.reason)
            and status in (None, letter.status)
            and (before is None or letter.id < before)
        )
        return list(islice(fitting, limit))

    async def settle(self, letter: DeadLetter, status: DeadLetterStatus) -> bool:
        """See the port."""
        stored = self.letters.get(letter.id)
        if stored is None or stored.count != letter.count:
            return False
        self.letters[letter.id] = replace(stored, status=status)
        return True

    def _record(self, letter: DeadLetter) -> str | None:
        """The id of the record somebody has to be told of."""
        origin = self.letters.get(letter.replay_of or "")
        if origin and letter.is_replay_of(origin):
            return self._return(origin, letter)
        for known in self.letters.values():
            if known.identity == letter.identity:
                self.letters[known.id] = known.seen_again(letter)
                return None
        self.letters[letter.id] = letter
        return letter.id

    def _return(self, origin: DeadLetter, letter: DeadLetter) -> str | None:
        key = (origin.id, letter.message_id)
        if key in self._returns:
            self.letters[origin.id] = origin.seen_again(letter)
            return None
        self._returns.add(key)
        self.letters[origin.id] = origin.returned(letter)
        return origin.id


def _matches(stored: Job, change: Change) -> bool:
    return all(getattr(stored, name) == getattr(change.before, name) for name in change.guard)


def _collides(stored: Job, job: Job) -> bool:
    if stored.service != job.service:
        return False
    same_live_bot = stored.live and job.live and stored.bot_id == job.bot_id
    return stored.event_id == job.event_id or same_live_bot
