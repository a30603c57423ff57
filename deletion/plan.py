"""The plan: what one service deletes, step by step, in order."""

from collections import Counter
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Protocol

from deletion.errors import PlanError
from deletion.ids import is_service_name


@dataclass(frozen=True, slots=True)
class Batch:
    """What one bounded call deleted: a count of items, and where to go on from."""

    deleted: int
    cursor: str | None


class Step(Protocol):
    """One idempotent, resumable part of a deletion.

    An implementation raises `TransientError` for what may pass by itself; any other
    exception fails the job. It never touches what does not belong to `bot_id`.
    """

    @property
    def name(self) -> str:
        """Unique within the plan; checkpoints are kept under it."""

    def delete(self, bot_id: str, cursor: str | None) -> AsyncGenerator[Batch, None]:
        """Delete in bounded batches after `cursor`, yielding once each batch is gone.

        The caller writes a checkpoint between two batches and may stop there for good, so
        nothing may be deleted before it is asked for. `None` starts at the beginning.
        """

    async def is_empty(self, bot_id: str) -> bool:
        """Read back: whether nothing of the bot is left. It changes nothing."""


@dataclass(frozen=True, slots=True)
class Plan:
    """The ordered steps of one service. Raises `PlanError` when names do not fit."""

    service: str
    steps: tuple[Step, ...]

    def __post_init__(self) -> None:
        if not is_service_name(self.service):
            raise PlanError(f"service: expected [a-z][a-z0-9-]{{2,}}, found {self.service!r}")
        if not self.steps:
            raise PlanError("steps: expected at least one")
        twice = [name for name, n in Counter(s.name for s in self.steps).items() if n > 1]
        if twice:
            raise PlanError(f"steps: expected unique names, found {twice[0]!r} more than once")
