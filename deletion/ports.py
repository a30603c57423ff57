"""The ports of storage (those of messages are in `deletion.bus`, that of time in `deletion.clock`).

Each docstring is the specification. `tests/conformance` runs one suite over every
implementation, the in-memory ones included.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from deletion.bus import Delivery
from deletion.dead_letter import DeadLetter, DeadLetterStatus, Reason
from deletion.job import Change, Job, Status


@dataclass(frozen=True, slots=True)
class Recorded:
    """The job that stands for an event: the one offered, or an earlier one in its place."""

    job: Job
    is_new: bool


class JobStore(Protocol):
    """Holds the jobs, and decides who owns one.

    Unique are (service, event) and, while live, (service, bot): the store enforces both
    at the insert, never by a read before it. Every method raises `StoreUnavailable` when
    the database does not answer.
    """

    async def ping(self) -> None:
        """Return when the database answers."""

    def new_id(self) -> str:
        """An unused job id, 24 hex digits, later ones sorting after earlier ones."""

    async def record(self, jobs: Sequence[Job]) -> list[Recorded]:
        """Insert all at once, all of one service; one outcome for each, in order.

        A duplicate answers with the job that stands in its place. A live job of the same bot
        is joined (`Job.joined`): its `placed_at` moves, and by that it cannot complete before it
        has looked for that request's data as well. Repeating a call whose
        answer was lost is safe: a job that is found stored under its own id is new,
        unless another claim has taken it up since.
        """

    async def apply(self, change: Change) -> Job:
        """Write `change.after`, if the guarded fields still are as in `change.before`.

        All but `placed_at`, which only `record` moves.

        Atomic. Raises `LeaseLost` otherwise. Repeating a change that was written answers
        as it did the first time.
        """

    async def get(self, job_id: str) -> Job | None:
        """The job of that id."""

    async def walk(
        self, status: Status, *, modified_before: datetime | None, after: str | None, limit: int
    ) -> list[Job]:
        """A page of at most `limit` jobs of `status`, ascending by id, behind id `after`.

        With `modified_before`, only those silent since.
        """

    async def count(self, status: Status) -> int:
        """How many jobs are of `status`."""

    async def find(
        self,
        *,
        service: str | None = None,
        bot_id: str | None = None,
        status: Status | None = None,
        limit: int,
    ) -> list[Job]:
        """The newest jobs that fit every filter given, at most `limit`, newest first."""


class EventArchive(Protocol):
    """Keeps events that are newer than this code, for the release that knows them."""

    async def keep(self, service: str, delivery: Delivery) -> None:
        """Record bytes and attributes once per (service, message). Raises `StoreUnavailable`."""


class DeadLetterStore(Protocol):
    """Keeps messages that were given up, until somebody decides what becomes of them.

    The store makes `DeadLetter.identity` unique. Every method raises `StoreUnavailable` when the
    database does not answer.
    """

    def new_id(self) -> str:
        """An unused id, 24 hex digits, later ones sorting after earlier ones."""

    async def record(self, letters: Sequence[DeadLetter]) -> list[DeadLetter]:
        """Record all, and answer with those somebody has to be told of, as they stand now.

        These are the new ones, and the replays that came back: a letter that `is_replay_of` a
        record is joined to it by `DeadLetter.returned`, whatever its status. A message that is
        recorded or joined already is counted there by `seen_again`, and not answered with. Of
        concurrent calls with one message exactly one answers with it. Repeating a call whose
        answer was lost may count a message once more, and does not answer with it again.
        """

    async def get(self, letter_id: str) -> DeadLetter | None:
        """The dead letter of that id (24 hex digits)."""

    async def find(
        self,
        *,
        service: str | None = None,
        reason: Reason | None = None,
        status: DeadLetterStatus | None = None,
        before: str | None = None,
        limit: int,
    ) -> list[DeadLetter]:
        """The newest that fit every filter given, below the id `before`, newest first."""

    async def settle(self, letter: DeadLetter, status: DeadLetterStatus) -> bool:
        """Write `status`, if the message was not given up again since `letter` was read.

        Guarded by `count` alone: what somebody else settled meanwhile is settled anew. Answers
        whether it was written, and the same when it is repeated.
        """
