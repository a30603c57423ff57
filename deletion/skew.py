"""Skew: a process whose clock is wrong takes runs that beat for silent ones, or its own look so."""

from deletion.clock import Clock
from deletion.errors import ClockSkew
from deletion.job import LeasePolicy
from deletion.ports import JobStore


async def check_clock(jobs: JobStore, clock: Clock, policy: LeasePolicy) -> None:
    """Raises `ClockSkew` when this process's clock differs from the database's by so much that
    runs whose heartbeats are on time would look silent, and `StoreUnavailable`.
    """
    apart = clock.now() - await jobs.time()
    if abs(apart) > policy.max_skew:
        raise ClockSkew(
            f"this process's clock is {apart.total_seconds():+.1f} s off the database's, more than "
            f"{policy.max_skew.total_seconds():g} s: synchronise them (NTP), then try again"
        )
