"""The ledger's record of one request: which services owe it, and by when.

open → settled, once no service owes it. A service owes its share until a complete job of that
service covers the request, or the share is waived. Overdue is a query, never a stored state.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from deletion.clock import truncated

CHECKS_APART: Final = timedelta(minutes=30)
"""How long after a check of an open request the ledger checks it again, at least. It doubles each
time, up to `LONGEST_CHECKS_APART`."""
LONGEST_CHECKS_APART: Final = timedelta(days=1)
WARNINGS_APART: Final = timedelta(days=1)
"""How long after an alert that a request is overdue there is another one."""
MOST_DOUBLINGS: Final = 10
MAX_SERVICES: Final = 500
"""The most services that may owe a request, so that the event of its completion is never too large
to be read."""
NEAR: Final = 0.75
"""The fraction of the time to its deadline after which an open request is near it."""


class RequestState(StrEnum):
    """Where a request stands."""

    OPEN = "open"  # at least one service owes it
    OVERDUE = "overdue"  # open, and its deadline has passed
    SETTLED = "settled"  # no service owes it; this is final, however late


class Chore(StrEnum):
    """What the ledger has to do about a request at some time."""

    REPUBLISH = "republish"  # publish it again for each service that owes it and has no job
    WARN = "warn"  # alert: its deadline is near, or has passed
    ANNOUNCE = "announce"  # publish `DeletionCompleted`
    CALL = "call"  # post to the callback


@dataclass(frozen=True, slots=True)
class Waiver:
    """Why a service no longer owes a request, and who decided that."""

    by: str
    reason: str

    def as_dict(self) -> dict[str, str]:
        """The form in which commands, the status API and the callback show it."""
        return {"by": self.by, "reason": self.reason}


@dataclass(frozen=True, slots=True)
class Share:
    """One service's share of a request: owed until `settled_at`.

    Then it has the complete job that covers the request, or a waiver. `republished` counts how
    often the request was published again for this service, and `lacks_job` says that the service
    had no job for it at the last check.
    """

    service: str
    settled_at: datetime | None = None
    job_id: str | None = None
    waiver: Waiver | None = None
    republished: int = 0
    lacks_job: bool = False

    @property
    def is_owed(self) -> bool:
        """Whether the service still owes it."""
        return self.settled_at is None


@dataclass(frozen=True, slots=True)
class LedgerPolicy:
    """How long after its receipt a request has to be settled, and is first looked for."""

    deadline: timedelta
    missing_after: timedelta


@dataclass(frozen=True, slots=True)
class DeletionRequest:
    """One request. Its id is the event's; times are UTC in milliseconds.

    `chores` holds when the ledger has to do each chore next. `revision` counts the writes of the
    record: a write is guarded by the one that was read.
    """

    id: str
    bot_id: str
    placed_at: datetime
    received_at: datetime
    deadline: datetime
    requested_by: str = ""
    traceparent: str | None = None
    shares: tuple[Share, ...] = ()
    settled_at: datetime | None = None
    chores: Mapping[Chore, datetime] = field(default_factory=dict)
    revision: int = 0

    @classmethod
    def received(
        cls,
        *,
        event_id: str,
        bot_id: str,
        placed_at: datetime,
        services: Collection[str],
        now: datetime,
        policy: LedgerPolicy,
        requested_by: str = "",
        traceparent: str | None = None,
    ) -> "DeletionRequest":
        """The record of a new request, which `services` owe. The deadline counts from `now`, when
        it was received, because gateways' clocks differ.

        Raises `ValueError` without a service: the request would be settled although nothing was
        deleted.
        """
        if not services:
            raise ValueError("no service owes the request")
        return cls(
            id=event_id,
            bot_id=bot_id,
            placed_at=truncated(placed_at),
            received_at=now,
            deadline=now + policy.deadline,
            requested_by=requested_by,
            traceparent=traceparent,
            shares=tuple(Share(service) for service in sorted(services)),
            chores={
                Chore.REPUBLISH: now + policy.missing_after,
                Chore.WARN: truncated(now + policy.deadline * NEAR),
            },
        )

    @property
    def owed(self) -> tuple[str, ...]:
        """The services that still owe it, sorted."""
        return tuple(share.service for share in self.shares if share.is_owed)

    def state(self, now: datetime) -> RequestState:
        """Where it stands at `now`."""
        if self.settled_at is not None:
            return RequestState.SETTLED
        return RequestState.OVERDUE if now >= self.deadline else RequestState.OPEN

    @property
    def near_at(self) -> datetime:
        """From when on it is near its deadline."""
        return truncated(self.received_at + (self.deadline - self.received_at) * NEAR)

    def is_near(self, now: datetime) -> bool:
        """Whether it is open and near its deadline, or past it."""
        return self.settled_at is None and now >= self.near_at

    @property
    def is_missing(self) -> bool:
        """Whether it was published again for a service that had no job at the last check."""
        return any(share.is_owed and share.lacks_job and share.republished for share in self.shares)

    def share(self, service: str) -> Share | None:
        """The share of `service`, or None if it never owed the request."""
        return next((share for share in self.shares if share.service == service), None)

    def completed(self, service: str, job_id: str, now: datetime) -> "DeletionRequest":
        """After a complete job of `service` that covers it. Unchanged if nothing was owed."""
        return self._settled(service, now, job_id=job_id)

    def waived(self, service: str, waiver: Waiver, now: datetime) -> "DeletionRequest":
        """After the share of `service` is waived. Unchanged if nothing was owed."""
        return self._settled(service, now, waiver=waiver)

    def checked(
        self, now: datetime, *, missing: Iterable[str], waiting: Iterable[str] = ()
    ) -> "DeletionRequest":
        """After a check for its jobs: it is about to be published again for the services `missing`;
        those `waiting` have a dead letter of it, which an operator has to replay or discard.

        Another check is due while a service owes it, even if each has a job by now: a consumer of
        an earlier release completes it without a mark, and a record may be lost with a backup.
        """
        again = set(missing)
        lacking = again.union(waiting)
        shares = tuple(_checked(share, again, lacking) for share in self.shares)
        owed = [share.republished for share in shares if share.is_owed]
        wait = _apart(owed) if lacking else _as_long_again(now - self.received_at)
        return replace(self, shares=shares)._due(Chore.REPUBLISH, now + wait if owed else None)

    def warned(self, now: datetime) -> "DeletionRequest":
        """After an alert that its deadline is near, or has passed. The next one is due at the
        deadline, and every day from then on.
        """
        next_warning = self.deadline if now < self.deadline else now + WARNINGS_APART
        return self._due(Chore.WARN, next_warning)

    def announced(self, call_at: datetime | None) -> "DeletionRequest":
        """After `DeletionCompleted` is published. Calls back at `call_at`, never if it is None."""
        return self._due(Chore.ANNOUNCE, None)._due(Chore.CALL, call_at)

    def called(self) -> "DeletionRequest":
        """After the callback has confirmed."""
        return self._due(Chore.CALL, None)

    def postponed(self, chore: Chore, until: datetime) -> "DeletionRequest":
        """With the chore due at `until`: the process that writes this does it, and no other."""
        return self._due(chore, until)

    def _settled(self, service: str, now: datetime, **how: object) -> "DeletionRequest":
        if service not in self.owed:
            return self
        settled = replace(
            self,
            shares=tuple(
                replace(share, settled_at=now, **how)  # type: ignore[arg-type]
                if share.service == service
                else share
                for share in self.shares
            ),
        )
        if settled.owed:
            return settled
        return replace(settled, settled_at=now, chores={Chore.ANNOUNCE: now})

    def _due(self, chore: Chore, at: datetime | None) -> "DeletionRequest":
        others = {name: due for name, due in self.chores.items() if name is not chore}
        return replace(self, chores=others if at is None else {**others, chore: truncated(at)})


def _checked(share: Share, again: Collection[str], lacking: Collection[str]) -> Share:
    """The share after a check, which publishes the request `again` for some of those `lacking`."""
    return replace(
        share,
        republished=share.republished + (share.service in again),
        lacks_job=share.service in lacking,
    )


def _as_long_again(open_for: timedelta) -> timedelta:
    """How long until the next check of a request whose jobs are all there: the waits double."""
    return min(max(open_for, CHECKS_APART), LONGEST_CHECKS_APART)


def _apart(republished: Iterable[int]) -> timedelta:
    """How long until the next check, after a request was published again this many times."""
    times = min(max(republished, default=1), MOST_DOUBLINGS)
    return min(CHECKS_APART * (1 << max(times - 1, 0)), LONGEST_CHECKS_APART)
