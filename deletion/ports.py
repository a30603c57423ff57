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
    """What became of a request, and the job that was made for it or found in its place."""

    placing: Placing
    job_id: str
    is_exhausted: bool = False


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A record this code cannot read, written by a later version or damaged.

    The times are those of a job, None where it has none that can be read.
    """

    id: str
    reason: str
    due: datetime | None = None
    last_modified_at: datetime | None = None


Read = Job | Unreadable
ReadLetter = DeadLetter | Unreadable


class JobStore(Protocol):
    """Holds the jobs, and decides who owns one.

    Unique are (bot, service, each of `event_ids`) and, while live, (bot, service): the store
    enforces both when it writes, never by a read before it. Every method raises `StoreUnavailable`
    when the database does not answer in time.
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
        """Insert all at once, all of one service; one outcome for each, in order.

        A request that a job already covers is known, whatever the state of that job. A live job of
        the same bot is joined (`Job.joined`) and otherwise left as it is: so it cannot
        complete before its run has looked for that request's data as well. A job that covers
        `MAX_EVENTS` requests takes no more. Repeating a call whose answer was lost is safe.
        """

    async def due(self, queue: str, since: datetime, until: datetime, limit: int) -> Sequence[Read]:
        """The jobs of `queue` due in [since, until], at most `limit`, the earliest first."""

    async def apply(self, change: Change) -> Job:
        """Write `change.after`, if the guarded fields still are as in `change.before`.

        All but `placed_at` and `event_ids`, which only `record` moves. Atomic. Raises `LeaseLost`
        otherwise. Repeating a change that was written returns what it returned the first time.
        """

    async def get(self, job_id: str) -> Job | None:
        """The job of that id. Raises `UnreadableJob` for one this code cannot read."""

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
        """How many jobs are of `status`; with `until`, of those last modified by then."""

    async def find(
        self,
        *,
        service: str | None = None,
        bot_id: str | None = None,
        status: Status | None = None,
        limit: int,
    ) -> Sequence[Read]:
        """At most `limit` jobs that fit every filter given, the newest first.

        With a status alone, those that were last modified first.
        """


@dataclass(frozen=True, slots=True)
class Unfinished:
    """How many jobs of a service stand at a status, and when the oldest was created (UTC).

    `service` is empty, and `oldest` None, where no record says so.
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
    """Keeps messages that were given up, until somebody decides what becomes of them.

    The store makes `DeadLetter.identity` unique. Every method raises `StoreUnavailable` when the
    database does not answer.
    """

    def new_id(self) -> str:
        """An unused id, 24 hex digits, later ones sorting after earlier ones."""

    async def record(self, letters: Sequence[DeadLetter]) -> list[DeadLetter]:
        """Record all, and return those that somebody has to know about, as they stand now.

        These are the new ones, and the replays that came back: a letter that `is_replay_of` a
        record is joined to it by `DeadLetter.returned`, whatever its status, unless this code
        cannot read that record: then it is kept by itself. A message that is
        recorded or joined already is counted there by `seen_again`, and not returned. Of
        concurrent calls with one message exactly one returns it. Repeating a call whose
        answer was lost may count a message once more, and does not return it again.
        """

    async def get(self, letter_id: str) -> ReadLetter | None:
        """The dead letter of that id (24 hex digits)."""

    async def find(
        self,
        *,
        service: str | None = None,
        reason: Reason | None = None,
        status: DeadLetterStatus | None = None,
        before: str | None = None,
        limit: int,
    ) -> Sequence[ReadLetter]:
        """The newest that fit every filter given, below the id `before`, newest first."""

    async def settle(self, letter: DeadLetter, status: DeadLetterStatus) -> bool:
        """Write `status`, if the message was not given up again since `letter` was read.

        Guarded by `count` alone: what somebody else settled meanwhile is settled anew. Returns
        whether it was written, and the same when it is repeated.
        """
