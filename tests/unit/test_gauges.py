"""The gauges of unfinished jobs: read at a scrape, kept for a while, absent when they cannot be."""

from collections.abc import Sequence
from datetime import timedelta

from prometheus_client import CollectorRegistry

from deletion.errors import StoreUnavailable
from deletion.job import Status
from deletion.ports import Unfinished
from recovery.gauges import KEPT_FOR, JobGauges
from tests.support.fakes import START, VirtualClock

OLDEST = START - timedelta(hours=3)


class CountedJobs:
    """A census that says what it is told to, or nothing while `down`."""

    def __init__(self) -> None:
        self.groups: list[Unfinished] = []
        self.down = False
        self.reads = 0

    async def unfinished(self) -> Sequence[Unfinished]:
        self.reads += 1
        if self.down:
            raise StoreUnavailable("the database is down")
        return self.groups


def gauges() -> tuple[JobGauges, CountedJobs, CollectorRegistry, VirtualClock]:
    registry, jobs, clock = CollectorRegistry(), CountedJobs(), VirtualClock()
    jobs.groups = [Unfinished("billing", Status.PENDING, 7, OLDEST)]
    return JobGauges(registry, jobs, clock), jobs, registry, clock


def pending(registry: CollectorRegistry) -> float | None:
    return registry.get_sample_value("botdel_jobs", {"service": "billing", "status": "pending"})


async def test_they_say_how_many_jobs_wait_and_since_when() -> None:
    read, _, registry, _ = gauges()
    await read.refresh()
    labels = {"service": "billing", "status": "pending"}
    oldest = registry.get_sample_value("botdel_jobs_oldest_created_timestamp_seconds", labels)
    assert (pending(registry), oldest) == (7, OLDEST.timestamp())


async def test_many_scrapes_are_one_read_until_it_is_old() -> None:
    read, jobs, registry, clock = gauges()
    await read.refresh()
    jobs.groups = []
    await read.refresh()
    assert (jobs.reads, pending(registry)) == (1, 7)
    clock.pause(KEPT_FOR.total_seconds())
    await read.refresh()
    assert (jobs.reads, pending(registry)) == (2, None)


async def test_while_they_cannot_be_read_they_are_absent_and_that_is_counted() -> None:
    read, jobs, registry, clock = gauges()
    await read.refresh()
    jobs.down = True
    clock.pause(KEPT_FOR.total_seconds())
    await read.refresh()
    assert pending(registry) is None
    assert registry.get_sample_value("botdel_jobs_read_failures_total") == 1
