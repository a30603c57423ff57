"""The sweep: one walk over the failed and the stale jobs, as a value.

running → complete: every job was looked at. running → failed: it could not go on, was interrupted,
or went silent, and the process that started the next one ended it.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum

from deletion.job import LeasePolicy

PATH = "/v1/recovery/sweeps"
"""The path of sweeps, for recovery and its callers."""
SHORTEST_SILENCE = timedelta(seconds=60)
"""A running sweep may always be silent for this long, however short the stale threshold: pages
may be slow."""


WENT_SILENT = "its process went silent"
"""The error of a sweep that went silent; whoever starts the next sweep records it."""


class SweepStatus(StrEnum):
    """Where a sweep stands."""

    RUNNING = "running"
    COMPLETE = "complete"
    FAILED = "failed"


class Outcome(StrEnum):
    """What a sweep did about one job."""

    RESUMED = "resumed"  # it is pending again
    EXHAUSTED = "exhausted"  # its attempts were spent
    SKIPPED = "skipped"  # it moved meanwhile, or its record cannot be read or moved


@dataclass(frozen=True, slots=True)
class Sweep:
    """The record of one sweep. Its id is 24 hex digits, its times are UTC in milliseconds."""

    id: str
    status: SweepStatus
    started_at: datetime
    last_modified_at: datetime
    finished_at: datetime | None = None
    resumed: int = 0
    exhausted: int = 0
    skipped: int = 0
    error: str | None = None

    @classmethod
    def started(cls, sweep_id: str, now: datetime) -> "Sweep":
        """A sweep that has not looked at any job yet."""
        return cls(sweep_id, SweepStatus.RUNNING, started_at=now, last_modified_at=now)

    def advanced(self, now: datetime, outcomes: Sequence[Outcome]) -> "Sweep":
        """One page further: its outcomes counted, its heartbeat renewed."""
        return replace(
            self,
            last_modified_at=now,
            resumed=self.resumed + outcomes.count(Outcome.RESUMED),
            exhausted=self.exhausted + outcomes.count(Outcome.EXHAUSTED),
            skipped=self.skipped + outcomes.count(Outcome.SKIPPED),
        )

    def completed(self, now: datetime) -> "Sweep":
        """Every job was looked at."""
        return replace(self, status=SweepStatus.COMPLETE, last_modified_at=now, finished_at=now)

    def failed(self, now: datetime, error: str) -> "Sweep":
        """It could not go on; what it has counted stays true."""
        return replace(
            self, status=SweepStatus.FAILED, last_modified_at=now, finished_at=now, error=error
        )


def silence(policy: LeasePolicy) -> timedelta:
    """How long a running sweep may be silent before the next call ends it."""
    return max(policy.stale_after, SHORTEST_SILENCE)
