"""An operator's action, on record: who did what, when, why, to what, and what came of it.

running → complete: each of its records is done or refused. running → failed: it could not go on.
One that failed, or whose process went silent, may be performed again, which does only the rest.

The record is append-only: a run adds what it is about to act on, and what came of that. Nothing
that was written is changed or removed, but for the counts, the status and the time of the last
write, which follow from what was added.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

MOST: Final = 1000
"""The most records that one action covers."""
SILENCE: Final = timedelta(minutes=2)
"""How long a running action may be silent before another run may take it over. A run writes more
often: see `deletion.operating.journal.WRITE_SECONDS`."""
KEPT_FOR: Final = timedelta(hours=1)
"""How old a preview may be when it is confirmed."""
LONGEST_NAME: Final = 200
LONGEST_REASON: Final = 1000
LONGEST_REFUSAL: Final = 500
"""Characters of each text that are kept."""
NAMED: Final = 20
"""The most ids that a choice names; the targets have all of them."""


class ActionKind(StrEnum):
    """What an operator may do."""

    RETRY = "retry"  # jobs become pending
    REPLAY = "replay"  # dead letters are published again
    DISCARD = "discard"  # dead letters are marked as discarded
    WAIVE = "waive"  # a service no longer owes requests
    RETIRE = "retire"  # a service owes no request that is received from now on
    SWEEP = "sweep"  # a sweep is started


class ActionStatus(StrEnum):
    """Where an action stands."""

    RUNNING = "running"
    COMPLETE = "complete"
    FAILED = "failed"


Looks = Mapping[str, str | int | datetime]
"""What shows whether a record has changed: its status and the like, by the stored names."""


@dataclass(frozen=True, slots=True)
class Target:
    """A record that is acted on, and what it looked like when it was chosen."""

    id: str
    looks: Looks = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one record: done, or refused with a reason."""

    id: str
    refusal: str | None = None


@dataclass(frozen=True, slots=True)
class Run:
    """One run of an action: who began it, when, and a claim that no other run has."""

    by: str
    at: datetime
    claim: str


@dataclass(frozen=True, slots=True)
class Order:
    """What somebody wants done, and why. `choice` is how its records are chosen, `options` how they
    are acted on, both as words. `reason` may be empty on the command line only.
    """

    kind: ActionKind
    by: str
    reason: str = ""
    choice: Mapping[str, str] = field(default_factory=dict)
    options: Mapping[str, str] = field(default_factory=dict)


def storable(text: str, longest: int = LONGEST_REFUSAL) -> str:
    """Return the beginning of `text`, which may come from outside, as any database can store it."""
    return text[:longest].encode(errors="replace").decode()


def in_words(ids: Sequence[str], **filters: object) -> dict[str, str]:
    """Return a choice of records for `Order.choice`: the ids, or the filters that are given."""
    if ids:
        more = f" and {len(ids) - NAMED:,} more" if len(ids) > NAMED else ""
        return {"ids": ", ".join(ids[:NAMED]) + more}
    given = {name: value for name, value in filters.items() if value is not None}
    return {name: storable(str(value), LONGEST_NAME) for name, value in given.items()}


@dataclass(frozen=True, slots=True)
class Entries:
    """What is added to an action's record in one write."""

    targets: Sequence[Target] = ()
    outcomes: Sequence[Outcome] = ()


@dataclass(frozen=True, slots=True)
class OperatorAction:
    """An action without its entries. Its id is 24 hex digits, its times are UTC in milliseconds.

    `total` counts its targets, and `begun` those that a run was about to act on, in their order.
    `is_frozen` says whether a preview chose all targets; a command chooses them page by page, and
    begins a further action, which `continues` the first, when it has acted on `MOST`. `revision`
    counts the writes, each of which is guarded by the one before.
    """

    id: str
    order: Order
    started_at: datetime
    last_modified_at: datetime
    runs: tuple[Run, ...]
    status: ActionStatus = ActionStatus.RUNNING
    is_frozen: bool = False
    continues: str | None = None
    total: int = 0
    begun: int = 0
    done: int = 0
    refused: int = 0
    finished_at: datetime | None = None
    failure: str | None = None
    revision: int = 0

    @classmethod
    def started(
        cls,
        action_id: str,
        order: Order,
        run: Run,
        *,
        frozen: int | None = None,
        continues: str | None = None,
    ) -> "OperatorAction":
        """An action that `run` begins, over as many `frozen` targets, or none so far."""
        return cls(
            id=action_id,
            order=replace(
                order,
                by=storable(order.by, LONGEST_NAME),
                reason=storable(order.reason, LONGEST_REASON),
            ),
            started_at=run.at,
            last_modified_at=run.at,
            runs=(run,),
            is_frozen=frozen is not None,
            continues=continues,
            total=frozen or 0,
        )

    def added(self, entries: Entries, now: datetime, *, begun: int) -> "OperatorAction":
        """After a write of `entries`, with `begun` targets begun. Each is a heartbeat too."""
        refused = sum(outcome.refusal is not None for outcome in entries.outcomes)
        return replace(
            self,
            last_modified_at=now,
            total=self.total + len(entries.targets),
            begun=max(self.begun, begun),
            done=self.done + len(entries.outcomes) - refused,
            refused=self.refused + refused,
            revision=self.revision + 1,
        )

    def ended(self, now: datetime, failure: str | None = None) -> "OperatorAction":
        """The same write, as the last one of its run: complete, or failed with the reason."""
        return replace(
            self,
            status=ActionStatus.COMPLETE if failure is None else ActionStatus.FAILED,
            last_modified_at=now,
            finished_at=now,
            failure=failure and storable(failure),
        )

    def taken_over(self, run: Run) -> "OperatorAction":
        """After `run` has begun to do the rest. Ask `obstacle` first."""
        return replace(
            self,
            status=ActionStatus.RUNNING,
            last_modified_at=run.at,
            finished_at=None,
            failure=None,
            runs=(*self.runs, run),
            revision=self.revision + 1,
        )

    def obstacle(self, now: datetime) -> str | None:
        """Return why it may not be performed again, or None."""
        if not self.is_frozen:
            return "a command chose its records as it went: run the command again"
        if self.status is ActionStatus.COMPLETE:
            return "it is complete: there is nothing left to do"
        if self.status is ActionStatus.RUNNING and not self.is_silent(now):
            return f"it is running, last heard of at {self.last_modified_at}"
        return None

    def is_silent(self, now: datetime) -> bool:
        """Whether its process has died or was cut off."""
        return self.status is ActionStatus.RUNNING and now - self.last_modified_at > SILENCE


@dataclass(frozen=True, slots=True)
class WholeAction:
    """An action with all that was added to its record."""

    action: OperatorAction
    targets: tuple[Target, ...]
    outcomes: tuple[Outcome, ...]

    @property
    def left(self) -> tuple[tuple[int, Target], ...]:
        """The targets without an outcome, each with its place among all targets."""
        ended = {outcome.id for outcome in self.outcomes}
        return tuple(each for each in enumerate(self.targets) if each[1].id not in ended)


@dataclass(frozen=True, slots=True)
class Preview:
    """What an action would be about: the records that are eligible, as they look now.

    `why_not` counts the others by the reason for which they would be refused. There may be more
    records that match: `is_cut_off`, because only `MOST` may be eligible, and not every record is
    looked at.
    """

    id: str
    order: Order
    at: datetime
    targets: tuple[Target, ...]
    why_not: Mapping[str, int]
    is_cut_off: bool
