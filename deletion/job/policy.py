"""How long a job may be silent, how often it is tried, and how long it rests in between."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Final

LONGEST_REST: Final = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class LeasePolicy:
    """How long a silent job keeps its lease, how many claims it may spend, and how long it rests.

    A job is stale after being silent for `stale_after`, and exhausted after `max_attempts`. `rest`
    is how long it rests after its first failed attempt; each further rest is four times as long, up
    to a day. `longest_batch` is how long the heartbeat goes on during one batch of a step.
    """

    stale_after: timedelta
    max_attempts: int
    rest: timedelta = timedelta(minutes=20)
    longest_batch: timedelta = timedelta(minutes=5)

    @property
    def heartbeat_interval(self) -> float:
        """Seconds between heartbeats: a quarter of the threshold, so that one may be missed."""
        return self.stale_after.total_seconds() / 4

    @property
    def call_seconds(self) -> float:
        """Timeout of one database call, in seconds: it ends well before the lease is stale."""
        return min(10.0, self.stale_after.total_seconds() / 3)

    @property
    def max_skew(self) -> timedelta:
        """How far a process's clock may be off the database's when it claims, sweeps or retries."""
        return self.stale_after / 3

    def rest_after(self, attempt: int) -> timedelta:
        """How long a job rests after its `attempt`, counted from 1, has failed."""
        longer: int = 4 ** min(max(0, attempt - 1), 16)
        return min(LONGEST_REST, self.rest * longer)
