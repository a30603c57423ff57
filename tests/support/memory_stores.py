"""Stores in memory, for tests. They pass the same conformance suites as the real ones."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from itertools import count, islice

from deletion.clock import truncated
from deletion.dead_letter import DeadLetter, DeadLetterStatus, Reason
from deletion.errors import LeaseLost, TransitionError
from deletion.job import MAX_EVENTS, Change, Job, Status, later
from deletion.ledger import EventLetter
from deletion.ports import Read, ReadLetter, Recorded, RecordOutcome
from deletion.silence import EPOCH
from deletion.sweep import WENT_SILENT, Sweep, SweepStatus


class MemoryJobStore:
    """`deletion.ports.JobStore` over a dict. No await inside a method: each is atomic."""

    def __init__(self, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self.jobs: dict[str, Job] = {}
        self.unreported: dict[str, datetime] = {}
        """When each complete job that the ledger has not settled yet completed."""
        self._now = now
        self._ids = count(1)

    async def check_writes(self) -> None:
        """It always accepts writes."""

    async def ping(self) -> None:
        """It is always available."""

    async def time(self) -> datetime:
        """See the port."""
        return truncated(self._now())

    def new_id(self) -> str:
        """Ids that sort in the order they were made."""
        return f"{next(self._ids):024x}"

    async def record(self, jobs: Sequence[Job]) -> list[Recorded]:
        """See the port."""
        return [self._record(job) for job in jobs]

    async def due(self, queue: str, since: datetime, until: datetime, limit: int) -> Sequence[Read]:
        """See the port."""
        fitting = [
            (job.due, job.id, job)
            for job in self.jobs.values()
            if job.due and since <= job.due <= until and job.queue == queue
        ]
        return [job for _, _, job in sorted(fitting)[:limit]]

    async def apply(self, change: Change) -> Job:
        """See the port."""
        stored = self.jobs.get(change.after.id)
        if stored is None:
            raise LeaseLost(f"there is no job {change.after.id}")
        written = replace(change.after, placed_at=stored.placed_at, event_ids=stored.event_ids)
        if stored != written and not _matches(stored, change):
            raise LeaseLost(f"job {change.after.id} has moved on")
        others = (job for job in self._of_bot(written) if job.id != written.id)
        if written.live and any(job.live for job in others):
            raise TransitionError(f"job {written.id}: another job of its bot is live")
        if stored.status is not Status.COMPLETE:
            self._mark(written)
        self.jobs[change.after.id] = written
        return change.after

    async def get(self, job_id: str) -> Job | None:
        """See the port."""
        return self.jobs.get(job_id)

    async def silent(
        self,
        status: Status,
        *,
        since: datetime,
        until: datetime,
        skip: Collection[str] = (),
        limit: int,
    ) -> Sequence[Read]:
        """See the port."""
        fitting = [
            job
            for job in self.jobs.values()
            if job.status is status
            and since <= job.last_modified_at <= until
            and job.id not in skip
        ]
        return sorted(fitting, key=lambda job: (job.last_modified_at, job.id))[:limit]

    async def count(self, status: Status) -> int:
        """See the port."""
        return sum(job.status is status for job in self.jobs.values())

    async def count_waiting(self, status: Status, *, until: datetime, limit: int) -> int:
        """See the port."""
        waiting = sum(
            job.status is status and max(job.last_modified_at, job.due or EPOCH) <= until
            for job in self.jobs.values()
        )
        return min(waiting, limit)

    async def find(
        self,
        *,
        service: str | None = None,
        bot_id: str | None = None,
        status: Status | None = None,
        limit: int,
    ) -> Sequence[Read]:
        """See the port."""
        fitting = [
            job
            for job in self.jobs.values()
            if service in (None, job.service)
            and bot_id in (None, job.bot_id)
            and status in (None, job.status)
        ]
        alone = status and not (service or bot_id)
        fitting.sort(key=lambda job: (job.last_modified_at if alone else job.created_at, job.id))
        return fitting[::-1][:limit]

    def _mark(self, job: Job) -> None:
        if job.status is Status.COMPLETE and job.finished_at:
            self.unreported[job.id] = job.finished_at

    def _of_bot(self, job: Job) -> list[Job]:
        """Those of its bot and service, in one comprehension: each write looks through all jobs."""
        bot_id, service = job.bot_id, job.service
        return [
            each for each in self.jobs.values() if each.bot_id == bot_id and each.service == service
        ]

    def _record(self, job: Job) -> Recorded:
        of_bot = self._of_bot(job)
        for standing in of_bot:
            if job.event_id in standing.event_ids:
                if standing.id == job.id:
                    return Recorded(RecordOutcome.NEW, job.id)
                return _recorded(RecordOutcome.KNOWN, standing)
        live = next((standing for standing in of_bot if standing.live), None)
        if live is None or not job.live:
            self._mark(job)
            self.jobs[job.id] = job
            return Recorded(RecordOutcome.NEW, job.id)
        if len(live.event_ids) >= MAX_EVENTS:
            return _recorded(RecordOutcome.FULL, live)
        event_ids, placed_at = (*live.event_ids, job.event_id), later(live.placed_at, job.placed_at)
        self.jobs[live.id] = replace(live, event_ids=event_ids, placed_at=placed_at)
        return _recorded(RecordOutcome.JOINED, live)


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

    async def get(self, letter_id: str) -> ReadLetter | None:
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
    ) -> Sequence[ReadLetter]:
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

    async def count(self, status: DeadLetterStatus, limit: int) -> int:
        """See the port."""
        return min(limit, sum(each.status is status for each in self.letters.values()))

    async def mark(self, letter: DeadLetter, status: DeadLetterStatus) -> bool:
        """See the port."""
        stored = self.letters.get(letter.id)
        if stored is None or stored.count != letter.count:
            return False
        self.letters[letter.id] = replace(stored, status=status)
        return True

    async def of_events(self, events: Collection[tuple[str, str]]) -> Sequence[EventLetter]:
        """See `deletion.ledger.EventLetters`."""
        return [
            EventLetter(
                letter.id,
                letter.service,
                letter.attributes["event_id"],
                letter.status,
                letter.reason,
                letter.first_seen_at,
            )
            for letter in self.letters.values()
            if (letter.service, letter.attributes.get("event_id")) in events
        ]

    def _record(self, letter: DeadLetter) -> str | None:
        """The id of the record for which an alert has to be raised."""
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
        self.letters[origin.id] = origin.came_back(letter)
        return origin.id


def _matches(stored: Job, change: Change) -> bool:
    return all(getattr(stored, name) == getattr(change.before, name) for name in change.guard)


def _recorded(outcome: RecordOutcome, job: Job) -> Recorded:
    return Recorded(outcome, job.id, job.status is Status.EXHAUSTED)


class MemorySweepStore:
    """`recovery.ports.SweepStore` over a dict. No await inside a method: each is atomic."""

    def __init__(self) -> None:
        self.sweeps: dict[str, Sweep] = {}
        self._ids = count(1)

    def new_id(self) -> str:
        """See the port."""
        return f"{next(self._ids):024x}"

    async def start(self, sweep: Sweep, *, silent_since: datetime) -> Sweep:
        """See the port."""
        if sweep.id in self.sweeps:
            return self.sweeps[sweep.id]
        running = next((s for s in self.sweeps.values() if s.status is SweepStatus.RUNNING), None)
        if running and running.last_modified_at >= silent_since:
            return running
        if running:
            self.sweeps[running.id] = running.failed(sweep.started_at, WENT_SILENT)
        self.sweeps[sweep.id] = sweep
        return sweep

    async def save(self, sweep: Sweep) -> None:
        """See the port."""
        stored = self.sweeps.get(sweep.id)
        if stored is None or (stored != sweep and stored.status is not SweepStatus.RUNNING):
            raise LeaseLost(f"sweep {sweep.id} is no longer running")
        self.sweeps[sweep.id] = sweep

    async def get(self, sweep_id: str) -> Sweep | None:
        """See the port."""
        return self.sweeps.get(sweep_id)
