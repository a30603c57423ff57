"""How attempts end, and what a job records about them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from deletion.job.status import Direction

STALE: Final = "stale"
"""The end of an attempt that fell silent, mostly because its process was killed."""
INTERRUPTED: Final = "interrupted"
"""The end of an attempt that was handed over because its process was asked to stop."""
RETRIED: Final = "retried"
"""Marks an operator's retry: earlier attempts that ended with their process no longer count."""
ROLLED_BACK: Final = "turned back"
"""Marks, in the word that records keep, where a rollback began: the job makes other calls from
there on, so earlier attempts no longer count against it."""
FRESH_STARTS: Final = frozenset({RETRIED, ROLLED_BACK})
"""Attempts before the latest of these marks are not counted."""
KEPT_ATTEMPTS: Final = 20
"""How many past attempts a job keeps: the latest ones."""
SUSPECT_ENDS: Final = 2
"""After this many attempts that ended with their process, a job goes to the queue of suspects: it
may be what kills the process."""
MAX_INTERRUPTIONS: Final = 2
"""How often a job is handed over at the same batch; one more interruption there is a failure."""


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a run ended without completing. `interrupted` means that nothing was wrong."""

    type: str
    message: str
    at: datetime
    interrupted: bool = False
    extra: Mapping[str, object] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.message} ({self.type})" if self.message else self.type


@dataclass(frozen=True, slots=True)
class PastAttempt:
    """How an attempt ended, and its last known position: batch number `batch`, from 1, of `step`.

    `step` is None, and `batch` 0, when every step was done or, in a rollback (`direction`), undone.
    `reason` is the type of its failure, `STALE`, `INTERRUPTED`, `RETRIED` or `ROLLED_BACK`.
    An interruption is dropped once its batch or its step is done; without a step, it is kept.
    """

    attempt: int
    claimed_by: str
    step: str | None
    batch: int
    at: datetime
    reason: str
    extra: Mapping[str, object] = field(default_factory=dict)
    direction: Direction = Direction.FORWARD

    @property
    def place(self) -> tuple[str | None, int]:
        """The step and the number of its batch."""
        return self.step, self.batch
