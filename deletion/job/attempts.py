"""How attempts end, and what a job keeps of them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

STALE: Final = "stale"
"""How an attempt ended that fell silent: mostly because its process was killed."""
INTERRUPTED: Final = "interrupted"
"""How an attempt ended that was handed over, because its process was asked to stop."""
RETRIED: Final = "retried"
"""Marks an operator's retry: attempts that ended with their process before it no longer count."""
TURNED_BACK: Final = "turned back"
"""Marks where a job turned back: from there it makes other calls, so earlier ends do not count."""
ANEW: Final = frozenset({RETRIED, TURNED_BACK})
"""The marks behind which a job has had all its attempts again."""
KEPT_ATTEMPTS: Final = 20
"""How many of its past attempts a job keeps, the latest ones."""
SUSPECT_ENDS: Final = 2
"""Attempts that ended with their process before a job goes to the queue of suspects: it may be what
kills the process."""


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a run ended without completing; `interrupted` means that nothing was wrong."""

    type: str
    message: str
    at: datetime
    interrupted: bool = False
    extra: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class PastAttempt:
    """Where an attempt stood when it was last heard of: at batch `batch`, from 1, of `step`.

    `step` is None when every step was done. `reason` is the type of its failure, `STALE`,
    `INTERRUPTED`, `RETRIED` or `TURNED_BACK`. Interruptions are dropped once the job has got a
    batch further.
    """

    attempt: int
    claimed_by: str
    step: str | None
    batch: int
    at: datetime
    reason: str
    extra: Mapping[str, object] = field(default_factory=dict)

    @property
    def place(self) -> tuple[str | None, int]:
        """The step and its batch."""
        return self.step, self.batch
