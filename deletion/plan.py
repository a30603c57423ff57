"""The plan: what one service deletes, step by step, in order."""

from collections import Counter
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from deletion.errors import PlanError
from deletion.ids import RESERVED_SERVICES, is_service_name


@dataclass(frozen=True, slots=True)
class Batch:
    """What one bounded call deleted: the number of items, and where to go on from.

    `last` says that the step has found nothing more to delete. Raises `TypeError` for values that
    a checkpoint cannot keep: nobody could read the job any more.
    """

    deleted: int
    cursor: str | None
    last: bool = False

    def __post_init__(self) -> None:
        if not isinstance(self.deleted, int):
            raise TypeError(f"deleted: expected int, found {type(self.deleted).__name__}")
        if not isinstance(self.cursor, str | None):
            found = type(self.cursor).__name__
            raise TypeError(f"cursor: expected str or None, found {found}; write it as text")


class Step(Protocol):
    """One idempotent, resumable part of a deletion.

    An implementation raises `TransientError` for errors that may pass by themselves; any other
    exception fails the job. It never touches data that does not belong to `bot_id`.
    """

    @property
    def name(self) -> str:
        """Unique within the plan; checkpoints are kept under it."""

    def delete(self, bot_id: str, cursor: str | None) -> AsyncGenerator[Batch, None]:
        """Delete in bounded batches from `cursor` on, and yield after each batch.

        The caller writes a checkpoint between two batches and may stop there for good, so the
        next batch must not be deleted before it is asked for. `None` starts at the beginning.
        """

    async def is_empty(self, bot_id: str) -> bool:
        """Read back: return whether nothing of the bot is left. Changes nothing."""


@runtime_checkable
class Provisioned(Protocol):
    """A step that needs something to exist, such as an index, and can create it."""

    async def missing(self) -> str | None:
        """What is missing and what that costs; None when nothing is."""

    async def provide(self) -> None:
        """Create it; safe to repeat."""


@runtime_checkable
class Previewed(Protocol):
    """A step that can be looked at before it deletes anything. Neither call changes anything."""

    async def count(self, bot_id: str) -> int:
        """How many items `delete` would find now, by the query of `delete` itself."""

    async def faults(self) -> Sequence[str] | None:
        """What a sample of the data says against the step; None when there is no data."""


@runtime_checkable
class Verified(Protocol):
    """A step that reports how it last read back, for the record of the job."""

    @property
    def read_concern(self) -> str | None:
        """The read concern of the last `is_empty` that returned; None before the first.

        Concurrent runs share a step: read it before anything else is awaited.
        """


@dataclass(frozen=True, slots=True)
class Plan:
    """The ordered steps of one service. Raises `PlanError` for a wrong name, or without steps."""

    service: str
    steps: tuple[Step, ...]

    def __post_init__(self) -> None:
        check(self.service, [step.name for step in self.steps])


def check(service: str, steps: Sequence[str]) -> None:
    """Check the rules of a plan. Raises `PlanError` naming the field, `service` or `steps`."""
    if not is_service_name(service):
        reserved = ", ".join(sorted(RESERVED_SERVICES))
        raise PlanError(
            "service: expected a name of 3 to 63 characters like [a-z][a-z0-9-]*, and none of "
            f"{reserved}; found {service!r}"
        )
    if not steps:
        raise PlanError("steps: expected at least one")
    twice = [name for name, times in Counter(steps).items() if times > 1]
    if twice:
        raise PlanError(f"steps: expected unique names, found {twice[0]!r} more than once")
