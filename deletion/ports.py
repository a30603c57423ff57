"""The ports of storage (those of messages are in `deletion.bus`, that of time in `deletion.clock`).

Each docstring is the specification. `tests/conformance` runs one suite over every
implementation, the in-memory ones included.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Protocol

from deletion.dead_letter import DeadLetter, DeadLetterStatus, Reason
from deletion.job import Change, Job, Status


class Placing(StrEnum):
    """What became of a request."""

    NEW = "new"  # it has a job of its own
    JOINED = "joined"  # a live job of its bot covers it from now on
    KNOWN = "known"  # a job covers it already: a duplicate
    FULL = "full"  # the live job of its bot covers as many requests as it may


@dataclass(frozen=True, slots=True)
class Recorded:
    """What became of a request, and the job that was created for it or already covers its bot."""

    placing: Placing
    job_id: str
    is_exhausted: bool = False


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A record that this code cannot read: damaged, or written by a later version.

    The times are those of a job; None when they are missing or cannot be read either.
    """

    id: str
    reason: str
    due: datetime | None = None
    last_modified_at: datetime | None = None


Read = Job | Unreadable
ReadLetter = DeadLetter | Unreadable


class JobStore(Protocol):
    """Holds the jobs, and decides who owns one.

    (bot, service, each of `event_ids`) is unique, and while the job is live (bot, service) too. The
    store enforces both in the write itself, never by reading first. Every method raises
    `StoreUnavailable` when the database does not answer in time.
    """

    async def ping(self) -> None:
        """Return when the database answers."""

    async def check_writes(self) -> None:
        """Return when the database has taken and confirmed a write, which touches no job.

        One that answers may take none: without its majority, full, or locked.
        """

    async def time(self) -> datetime:
        """The database's clock, UTC."""

    def new_id(self) -> str:
        """An unused job id, 24 hex digits, later ones sorting after earlier ones."""

    async def record(self, jobs: Sequence[Job]) -> list[Recorded]:
        """Insert `jobs`, all of one service, together. Returns one outcome for each, in order.

        A request that a job already covers is `KNOWN`, whatever the status of that job. A request
        for a bot with a live job joins it (`Job.joined`), which changes nothing else; the job then
        cannot complete before its run has looked for that request's data as well. A job that covers
        `MAX_EVENTS` requests is `FULL`. Repeating a call whose answer was lost is safe.
        """

    async def due(self, queue: str, since: datetime, until: datetime, limit: int) -> Sequence[Read]:
        """The jobs of `queue` due in [since, until], at most `limit`, the earliest first."""

    async def apply(self, change: Change) -> Job:
        """Write `change.after` if the guarded fields are still as in `change.before`; atomic.

        Writes all fields but `placed_at` and `event_ids`, which only `record` changes. Raises
        `LeaseLost` when a guarded field differs, and `TransitionError` when the job would be live
        beside another one of its bot. Repeating a change that was written returns what it returned
        the first time.
        """

    async def get(self, job_id: str) -> Job | None:
        """The job of that id, or None. Raises `UnreadableJob` for one this code cannot read."""

    async def silent(
        self,
        status: Status,
        *,
        since: datetime,
        until: datetime,
        skip: Collection[str] = (),
        limit: int,
    ) -> Sequence[Read]:
        """The jobs of `status` last modified in [since, until], the longest silent first.

        At most `limit` of them, without those whose ids are in `skip`.
        """

    async def count(self, status: Status, *, until: datetime | None = None) -> int:
        """How many jobs have `status`; with `until`, only those last modified by then."""

    async def find(
        self,
        *,
        service: str | None = None,
        bot_id: str | None = None,
        status: Status | None = None,
        limit: int,
    ) -> Sequence[Read]:
        """At most `limit` jobs that fit every filter given, the newest first.

        With a status alone, the most recently modified first.
        """


@dataclass(frozen=True, slots=True)
class Unfinished:
    """How many jobs of a service have a status, and when the oldest was created (UTC).

    `service` is empty, and `oldest` None, when the records do not say.
    """

    service: str
    status: Status
    jobs: int
    oldest: datetime | None


class Census(Protocol):
    """Counts the jobs that are not complete, for metrics."""

    async def unfinished(self) -> Sequence[Unfinished]:
        """The jobs that are not complete, by service and status. Raises `StoreUnavailable`."""


class DeadLetterStore(Protocol):
    """Keeps messages that were given up, until an operator decides what becomes of them.

    The store makes `DeadLetter.identity` unique. Every method raises `StoreUnavailable` when the
    database does not answer.
    """

    def new_id(self) -> str:
        """An unused id, 24 hex digits, later ones sorting after earlier ones."""

    async def record(self, letters: Sequence[DeadLetter]) -> list[DeadLetter]:
        """Record all, and return those that call for an alert, as they are stored now.

        These are the new ones, and the replays that came back. A letter that `is_replay_of` a
        record joins it by `DeadLetter.returned`, whatever its status; if this code cannot read
        that record, the letter is recorded by itself. A message that is already recorded or
        joined is counted there by `seen_again`, and not returned. Of concurrent calls with one
        message exactly one returns it. Repeating a call whose answer was lost may count a message
        once more, but does not return it again.
        """

    async def get(self, letter_id: str) -> ReadLetter | None:
        """The dead letter of that id (24 hex digits), or None."""

    async def find(
        self,
        *,
        service: str | None = None,
        reason: Reason | None = None,
        status: DeadLetterStatus | None = None,
        before: str | None = None,
        limit: int,
    ) -> Sequence[ReadLetter]:
        """At most `limit` that fit every filter given and have ids below `before`, newest first."""

    async def settle(self, letter: DeadLetter, status: DeadLetterStatus) -> bool:
        """Write `status` unless the message was given up again since `letter` was read.

        Guarded by `count` alone: a status that somebody else wrote meanwhile is overwritten.
        Returns whether it was written; a repeated call returns the same.
        """
