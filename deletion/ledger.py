"""The ports of the request ledger: requests, the services that owe them, and their jobs.

Each docstring is the specification. `tests/conformance` runs one suite over every implementation.
Every method raises `StoreUnavailable` when the database does not answer in time.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final, Protocol

from deletion.dead_letter import DeadLetterStatus, Reason
from deletion.errors import ConfigurationError
from deletion.ports import Unreadable
from deletion.request import MAX_SERVICES, Chore, DeletionRequest, RequestState

SHOWN: Final = 5

ReadRequest = DeletionRequest | Unreadable
"""Of an `Unreadable` request, `last_modified_at` is when it was received, and `due` when the chore
is due that was asked for; both None when they cannot be read."""


@dataclass(frozen=True, slots=True)
class RequestChange:
    """Write `after` if the stored request still has the revision of `before`."""

    before: DeletionRequest
    after: DeletionRequest


class Concern(StrEnum):
    """What an open request may need a person for."""

    NEAR = "near"  # its deadline is near, and not past
    MISSING = "missing"  # it was published again for a service, and still lacks its job


@dataclass(frozen=True, slots=True)
class RequestFilter:
    """Which requests: those that match all given filters. `owed_by` names a service; `state` and
    `concern` are those at the time of the query.
    """

    bot_id: str | None = None
    owed_by: str | None = None
    state: RequestState | None = None
    concern: Concern | None = None


@dataclass(frozen=True, slots=True)
class RequestCensus:
    """How many open requests there are, each count at most the limit that was given.

    `unsettled` counts all of them, `near` those whose deadline is near or past, and `overdue`
    those whose deadline is past. `missing` counts those that were published again for a service
    and still lack its job. `oldest` is when the oldest was received, and `oldest_deadline` its
    deadline (UTC); both are None if there is none.
    """

    unsettled: int
    near: int
    overdue: int
    missing: int
    oldest: datetime | None
    oldest_deadline: datetime | None


class RequestStore(Protocol):
    """Holds the requests."""

    async def record(self, requests: Sequence[DeletionRequest]) -> None:
        """Insert `requests` together. One that is recorded already stays as it is."""

    async def get(self, event_ids: Collection[str]) -> Sequence[ReadRequest]:
        """Those of `event_ids` that are recorded, in no particular order."""

    async def save(self, changes: Sequence[RequestChange]) -> Sequence[RequestChange]:
        """Write the changes, each guarded and atomic, and return those that were refused, because
        their request was written meanwhile. The written ones have one revision more.

        Repeating a change that this object has written does not refuse it, until somebody else
        has written. The same change by another object is refused, so that only one of several
        replicas claims a chore.
        """

    async def due(
        self, chore: Chore, since: datetime, until: datetime, limit: int
    ) -> Sequence[ReadRequest]:
        """At most `limit` requests whose `chore` is due in [since, until], the earliest first."""

    async def find(
        self,
        wanted: RequestFilter,
        now: datetime,
        *,
        before: tuple[datetime, str] | None = None,
        limit: int,
    ) -> Sequence[ReadRequest]:
        """At most `limit` requests, the last received first (by `received_at`, then id), with
        keys below `before`, the key of the last one of the previous page.
        """

    async def census(self, now: datetime, limit: int) -> RequestCensus:
        """Count the open requests, up to `limit` of each kind."""


@dataclass(frozen=True, slots=True)
class Service:
    """A service of the installation. It owes each request that is received until it is retired."""

    name: str
    registered_at: datetime
    retired_at: datetime | None = None
    retired_by: str | None = None
    reason: str | None = None


def check_room(recorded: Sequence[Service], names: Collection[str]) -> None:
    """Raise `ConfigurationError` if more than `MAX_SERVICES` would be in use together with
    `names`. Names that are in use already are never refused.
    """
    in_use = {service.name for service in recorded if service.retired_at is None}
    new = sorted(set(names).difference(in_use))
    if new and len(in_use) + len(new) > MAX_SERVICES:
        raise ConfigurationError(
            f"an installation has at most {MAX_SERVICES} services in use: there are "
            f"{len(in_use)}, and {', '.join(new[:SHOWN])}{' …' if new[SHOWN:] else ''} would make "
            f"it {len(in_use) + len(new)}",
            "retire services that no longer hold data of bots with `botdel services retire`, or "
            "divide the installation",
        )


class ServiceStore(Protocol):
    """Holds the services. `topology apply` registers them; only an operator retires one."""

    async def register(self, names: Collection[str], now: datetime) -> None:
        """Add those that are not recorded. One that was retired is in use again.

        Raises `ConfigurationError`, and adds none, if there would be too many: see `check_room`. Of
        processes that add too many at once, each may add none.
        """

    async def all(self) -> Sequence[Service]:
        """All services, retired ones too, by name. One whose record is damaged is not retired.

        Raises `ConfigurationError` if too many are recorded: none is left out.
        """

    async def first(self, limit: int) -> Sequence[Service]:
        """The first `limit` services by name, however many there are, as `all` returns them."""

    async def retire(self, name: str, by: str, reason: str, now: datetime) -> bool:
        """Retire a service. Returns whether there is one of this name that was not retired."""


@dataclass(frozen=True, slots=True)
class Coverage:
    """What the ledger needs of a job: which requests it covers, and when it completed."""

    job_id: str
    service: str
    bot_id: str
    event_ids: tuple[str, ...]
    completed_at: datetime | None

    @property
    def is_complete(self) -> bool:
        """Whether everything that was written before each of its requests is gone."""
        return self.completed_at is not None


class CoverageStore(Protocol):
    """The jobs as the ledger sees them. Completing a job marks it as unreported, in the same write;
    the mark keeps its record from expiring.
    """

    async def unreported(
        self, since: datetime, until: datetime, limit: int
    ) -> Sequence[Coverage | Unreadable]:
        """At most `limit` unreported jobs completed in [since, until], the earliest first.

        `due` of an `Unreadable` is when it completed.
        """

    async def mark_reported(self, job_ids: Collection[str]) -> None:
        """Take the mark off these jobs. Repeating it does nothing."""

    async def covering(self, requests: Collection[tuple[str, str]]) -> Sequence[Coverage]:
        """The jobs of any service that cover one of `requests`, pairs of bot and event.

        A compensated job, and one whose status cannot be read, covers its requests but is not
        complete. A job without a service or a list of events is left out.
        """


@dataclass(frozen=True, slots=True)
class EventLetter:
    """A dead letter that carries an event, and what an operator has decided.

    `reason` and `first_seen_at` are None when they cannot be read.
    """

    letter_id: str
    service: str
    event_id: str
    status: DeadLetterStatus
    reason: Reason | None = None
    first_seen_at: datetime | None = None


class EventLetters(Protocol):
    """The dead letters as the ledger sees them."""

    async def of_events(self, events: Collection[tuple[str, str]]) -> Sequence[EventLetter]:
        """The dead letters of `events`, pairs of service and event, as their attributes say. One
        whose status this code does not know is new: somebody has to look at it. One whose service
        or event cannot be read is left out.
        """
