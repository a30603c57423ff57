"""The ports of the pages that list records. Each docstring is the specification, which
tests/conformance checks. Every method raises `StoreUnavailable` when the database does not answer.

A page of a list begins beyond a position, the time and the id of the last record of the page
before; no query skips records by counting.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Protocol

from deletion.dead_letter import DeadLetterStatus, Reason
from deletion.job import Status
from deletion.ports import Read, Unreadable
from deletion.sweep import Sweep

Position = tuple[datetime, str]
"""The time by which a list is sorted (UTC), and the id of a record."""


class JobState(StrEnum):
    """A state that the status of a job does not show."""

    PARKED = "parked"  # pending, and not due yet
    STALE = "stale"  # in progress, and silent for the stale threshold

    @property
    def status(self) -> Status:
        """The status of jobs in this state. A retry that filters by it chooses no other jobs."""
        return Status.PENDING if self is JobState.PARKED else Status.IN_PROGRESS


class SortedBy(StrEnum):
    """A time of a job by which a list is sorted."""

    CREATED = "created"
    MODIFIED = "last modified"
    DUE = "due"


@dataclass(frozen=True, slots=True)
class JobFilter:
    """Which jobs: those that match all given filters. `state` is that at the time of the query."""

    service: str | None = None
    bot_id: str | None = None
    status: Status | None = None
    state: JobState | None = None

    @property
    def sorted_by(self) -> SortedBy:
        """By which of their times they are sorted."""
        if self.state is JobState.PARKED:
            return SortedBy.DUE
        is_narrow = self.service is not None or self.bot_id is not None
        return SortedBy.CREATED if is_narrow else SortedBy.MODIFIED


@dataclass(frozen=True, slots=True)
class Listed:
    """One job of a list, and its position there."""

    position: Position
    job: Read


class JobLists(Protocol):
    """The jobs as lists show them."""

    async def page(
        self, wanted: JobFilter, *, beyond: Position | None, oldest_first: bool, limit: int
    ) -> Sequence[Listed]:
        """At most `limit` jobs that match, from beyond a position in the order that was asked for.

        One whose time or status cannot be read may be left out. Parked ones of all services are
        those of services that are registered, or were.
        """

    async def completed(self, since: datetime, until: datetime, limit: int) -> int:
        """How many jobs completed in [since, until). Stops counting at `limit`."""


@dataclass(frozen=True, slots=True)
class LetterGroup:
    """How many new dead letters a service has for a reason, and when one was seen last."""

    service: str
    reason: str
    letters: int
    last_seen_at: datetime | None


@dataclass(frozen=True, slots=True)
class LetterHead:
    """A dead letter without its bytes and attributes, which may be 10 MB."""

    id: str
    service: str
    reason: Reason
    detail: str
    status: DeadLetterStatus
    count: int
    returns: int
    last_seen_at: datetime


@dataclass(frozen=True, slots=True)
class LetterFilter:
    """Which dead letters: those that match all given filters."""

    service: str | None = None
    reason: Reason | None = None
    status: DeadLetterStatus | None = None


class LetterLists(Protocol):
    """The dead letters as lists show them."""

    async def groups(self, limit: int) -> Sequence[LetterGroup]:
        """The new ones by service and reason, the largest group first. Counts `limit` of them."""

    async def heads(
        self, wanted: LetterFilter, *, before: str | None, limit: int
    ) -> Sequence[LetterHead | Unreadable]:
        """At most `limit` that match, with ids below `before`, newest first."""


class SweepLists(Protocol):
    """The sweeps as lists show them."""

    async def newest(self, *, before: str | None, limit: int) -> Sequence[Sweep | Unreadable]:
        """At most `limit` sweeps with ids below `before`, the last started first."""
