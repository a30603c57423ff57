"""What the suites of job stores share: jobs, and what becomes of them."""

from collections.abc import Awaitable, Callable, Iterable
from datetime import timedelta

from deletion.errors import LeaseLost
from deletion.job import NOT_LIVE, Job, LeasePolicy, Status
from deletion.ports import JobStore, Read, Recorded, RecordOutcome
from tests.support.clock import START
from tests.support.factories import LATER

POLICY = LeasePolicy(timedelta(seconds=60), max_attempts=3, rest=timedelta(seconds=60))
TICK = timedelta(milliseconds=1)
SILENT = START + timedelta(days=2)
"""Stale by then, and rested after any attempt."""
SERVICE = "conversations"
LIVE = [status for status in Status if status not in NOT_LIVE]
Open = Callable[[], Awaitable[JobStore]]
"""Another store object on the same jobs, with a connection of its own where there is one."""


async def stored(store: JobStore, job: Job) -> Job:
    """`job` as the store holds it now."""
    found = await store.get(job.id)
    assert found is not None
    return found


async def put(store: JobStore, job: Job) -> Job:
    """Record `job`, in whatever state."""
    assert await store.record([job]) == [Recorded(RecordOutcome.NEW, job.id)]
    return job


def outcomes_of(recorded: Iterable[Recorded]) -> list[RecordOutcome]:
    return [each.outcome for each in recorded]


def ids(jobs: Iterable[Read]) -> list[str]:
    return [job.id for job in jobs]


async def completed(store: JobStore, job: Job) -> bool:
    """Whether `job` could be completed as it was read."""
    try:
        await store.apply(job.complete(LATER))
    except LeaseLost:
        return False
    return True
