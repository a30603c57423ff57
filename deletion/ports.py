"""The ports for jobs and dead letters.

Others are where they are used: for messages in `deletion.bus`, for breakers in `deletion.breaker`,
for time in `deletion.clock`, for alerts in `deletion.alerts`.

Each docstring is the specification. `tests/conformance` runs one suite over every implementation,
including those in memory.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Protocol

from deletion.dead_letter import DeadLetter, DeadLetterStatus, Reason
from deletion.job import Change, Job, Status


class RecordOutcome(StrEnum):
    """What became of a request that was recorded."""

    NEW = "new"  # a job was created for it
    JOINED = "joined"  # the live job of its bot now covers it
    KNOWN = "known"  # a job covers it already: a duplicate
    FULL = "full"  # the live job of its bot covers as many requests as it may


@dataclass(frozen=True, slots=True)
class Recorded:
    """What became of a request, and the id of its job."""

    outcome: RecordOutcome
    job_id: str
    is_exhausted: bool = False


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A record that this code cannot read: damaged, or written by a later version.

    The other fields are those of `Job`, None when they are missing or cannot be read either.
    """

    id: str
    reason: str
    due: datetime | None = None
    last_modified_at: datetime | None = None
    service: str | None = None
    bot_id: str | None = None


Read = Job | Unreadable
ReadLetter = DeadLetter | Unreadable


class JobStore(Protocol):
    """Holds the jobs, and decides who holds each.

    Two jobs never share a bot, a service and an event of `event_ids`, and two live jobs never share
    a bot and a service. The store enforces both in the write itself, never by reading first. Every
    method raises `StoreUnavailable` when the database does not answer in time.
    """

    async def ping(self) -> None:
        """Return when the database answers."""

    async def check_writes(self) -> None:
        """Return when the database has confirmed a write, which touches no job.

        A database that answers reads may refuse writes: without a majority, full, or locked.
        """

    async def time(self) -> datetime:
        """The database's clock, UTC."""

    def new_id(self) -> str:
        """An unused job id, 24 hex digits. Later ids sort after earlier ones."""

    async def record(self, jobs: Sequence[Job]) -> list[Recorded]:
        """Insert `jobs`, all of one service, together. Returns one outcome for each, in order.

        A request that a job already covers is `KNOWN`, whatever the status of that job. A request
        for a bot with a live job joins it: its event is added to `event_ids`, `placed_at` moves
        (`deletion.job.later`), and nothing else changes. From then on the job cannot complete
        before its run has looked for data again. If that job covers `MAX_EVENTS` requests, the
        request is `FULL`. Repeating a call whose answer was lost is safe.
        """

    async def due(self, queue: str, since: datetime, until: datetime, limit: int) -> Sequence[Read]:
        """The jobs of `queue` due in [since, until], at most `limit`, the earliest first."""

    async def apply(self, change: Change) -> Job:
        """Write `change.after` atomically if the guarded fields are still those of `change.before`.

        Writes all fields except `placed_at` and `event_ids`, which only `record` changes. Raises
        `LeaseLost` when a guarded field differs, and `TransitionError` when the bot would have two
        live jobs. Repeating a change that was written returns the same result.
        """

    async def get(self, job_id: str) -> Job | None:
        """The job with that id, or None. Raises `UnreadableJob` if this code cannot read it."""

    async def silent(
        self,
        status: Status,
        *,
        since: datetime,
        until: datetime,
        skip: Collection[str] = (),
        limit: int,
    ) -> Sequence[Read]:
        """The jobs with `status` last modified in [since, until], the longest silent first.

        Returns at most `limit` jobs, without those whose ids are in `skip`.
        """

    async def count(self, status: Status) -> int:
        """How many jobs have `status`."""

    async def count_waiting(self, status: Status, *, until: datetime, limit: int) -> int:
        """How many jobs with `status` were last modified by `until`, and are not due only later.

        Stops counting at `limit`.
        """

    async def find(
        self,
        *,
        service: str | None = None,
        bot_id: str | None = None,
        status: Status | None = None,
        limit: int,
    ) -> Sequence[Read]:
        """At most `limit` jobs that match all given filters, the newest first.

        When `status` is the only filter, the most recently modified come first.
        """


@dataclass(frozen=True, slots=True)
class Unfinished:
    """How many jobs of a service have a status, and when the oldest was created (UTC).

    `service` is empty, and `oldest` None, when the records lack them.
    """

    service: str
    status: Status
    jobs: int
    oldest: datetime | None


class Census(Protocol):
    """Counts the live jobs, for metrics: those that are neither complete nor compensated.

    Both methods raise `StoreUnavailable`.
    """

    async def unfinished(self) -> Sequence[Unfinished]:
        """The live jobs, by service and status."""

    async def due(self, services: Collection[str], now: datetime, limit: int) -> Mapping[str, int]:
        """How many jobs of each of `services` a worker may claim at `now`, counted up to `limit`.

        Parked jobs do not count: they are due later. Suspects count, although they wait in a queue
        of their own. Each of `services` is in the answer, with 0 if it has no such job.
        """


class DeadLetterStore(Protocol):
    """Keeps dead letters until an operator decides what becomes of them.

    The store makes `DeadLetter.identity` unique. Every method raises `StoreUnavailable` when the
    database does not answer.
    """

    def new_id(self) -> str:
        """An unused id, 24 hex digits. Later ids sort after earlier ones."""

    async def record(self, letters: Sequence[DeadLetter]) -> list[DeadLetter]:
        """Record all, and return those that call for an alert, as they are stored now.

        These are new letters, and replays that came back. A letter that `is_replay_of` a record
        joins it through `DeadLetter.came_back`, whatever the record's status; if this code cannot
        read the record, the letter is recorded separately. A message that is already recorded, or
        has joined a record, is counted there through `seen_again`, and is not returned. Of
        concurrent calls with the same message, exactly one returns it. Repeating a call whose
        answer was lost may count a message once more, but does not return it again.
        """

    async def get(self, letter_id: str) -> ReadLetter | None:
        """The dead letter with that id (24 hex digits), or None."""

    async def find(
        self,
        *,
        service: str | None = None,
        reason: Reason | None = None,
        status: DeadLetterStatus | None = None,
        before: str | None = None,
        limit: int,
    ) -> Sequence[ReadLetter]:
        """At most `limit` that match all given filters, with ids below `before`, newest first."""

    async def count(self, status: DeadLetterStatus, limit: int) -> int:
        """How many have `status`, counted up to `limit`."""

    async def mark(self, letter: DeadLetter, status: DeadLetterStatus) -> bool:
        """Write `status`, unless the message was quarantined again since `letter` was read.

        Guarded by `count` alone: a status that somebody else wrote meanwhile is overwritten.
        Returns whether it was written; a repeated call returns the same.
        """
