"""The gauges of unfinished jobs: read at a scrape, kept for a while, absent when they cannot be."""

from datetime import timedelta
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from deletion.dead_letter import DeadLetterStatus
from deletion.errors import StoreUnavailable
from deletion.job import Status
from deletion.ports import Unfinished
from recovery.gauges import (
    KEPT_SECONDS,
    MOST_DUE,
    READ_SECONDS,
    JobGauges,
    LetterGauge,
    ReadFailures,
)
from tests.support.clock import START, VirtualClock
from tests.support.factories import a_letter
from tests.support.memory_stores import MemoryDeadLetterStore
from tests.support.scripted_stores import CountedJobs

pytestmark = pytest.mark.virtual_time

OLDEST = START - timedelta(hours=3)


def gauges() -> tuple[JobGauges, CountedJobs, CollectorRegistry, VirtualClock]:
    registry, jobs, clock = CollectorRegistry(), CountedJobs(), VirtualClock()
    jobs.groups = [Unfinished("billing", Status.PENDING, 7, OLDEST)]
    return JobGauges(registry, jobs, clock, ReadFailures(registry)), jobs, registry, clock


def pending(registry: CollectorRegistry) -> float | None:
    return registry.get_sample_value("botdel_jobs", {"service": "billing", "status": "pending"})


def counted(registry: CollectorRegistry) -> float | None:
    return registry.get_sample_value("botdel_recovery_jobs_counted")


def failures(registry: CollectorRegistry, of: str) -> float | None:
    return registry.get_sample_value("botdel_recovery_read_failures_total", {"of": of})


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
    clock.pause(KEPT_SECONDS)
    await read.refresh()
    assert (jobs.reads, pending(registry)) == (2, None)


@pytest.mark.proves("clock-set-aside")
async def test_a_clock_that_is_set_back_does_not_make_them_old() -> None:
    read, jobs, registry, clock = gauges()
    await read.refresh()
    clock.set(timedelta(hours=-6))
    jobs.groups = []
    clock.pause(KEPT_SECONDS)
    await read.refresh()
    assert (jobs.reads, pending(registry)) == (2, None)


async def test_while_they_cannot_be_read_they_are_absent_and_that_is_counted() -> None:
    read, jobs, registry, clock = gauges()
    await read.refresh()
    jobs.down = True
    clock.pause(KEPT_SECONDS)
    await read.refresh()
    assert pending(registry) is None
    assert failures(registry, "jobs") == 1
    assert counted(registry) == 0


async def test_whether_they_are_counted_is_told_also_where_no_job_is() -> None:
    read, jobs, registry, clock = gauges()
    assert counted(registry) == 0
    jobs.groups = []
    await read.refresh()
    assert (pending(registry), counted(registry)) == (None, 1)
    jobs.down = True
    clock.pause(KEPT_SECONDS)
    await read.refresh()
    assert counted(registry) == 0
    jobs.down = False
    clock.pause(KEPT_SECONDS)
    await read.refresh()
    assert counted(registry) == 1


def due(registry: CollectorRegistry, service: str = "billing") -> float | None:
    return registry.get_sample_value("botdel_jobs_due", {"service": service})


async def test_they_say_how_many_jobs_a_worker_may_claim_now() -> None:
    read, jobs, registry, clock = gauges()
    jobs.groups.append(Unfinished("media", Status.FAILED, 3, OLDEST))
    jobs.waiting = {"billing": 4}
    await read.refresh()
    assert (due(registry), due(registry, "media")) == (4, 0)
    jobs.waiting = {"billing": MOST_DUE + 1}
    clock.pause(KEPT_SECONDS)
    await read.refresh()
    assert due(registry) == MOST_DUE
    jobs.groups = []
    clock.pause(KEPT_SECONDS)
    await read.refresh()
    assert (due(registry), counted(registry)) == (None, 1)


async def test_due_jobs_are_counted_only_where_one_can_be_due() -> None:
    read, jobs, _, _ = gauges()
    jobs.groups = [
        Unfinished("media", Status.FAILED, 1, OLDEST),
        Unfinished("media", Status.PENDING, 1, OLDEST),
        Unfinished("running", Status.IN_PROGRESS, 1, OLDEST),
        Unfinished("spent", Status.EXHAUSTED, 1, OLDEST),
        Unfinished("", Status.PENDING, 1, OLDEST),
    ]
    await read.refresh()
    assert jobs.asked == ["media"]


async def test_due_jobs_that_cannot_be_counted_are_absent_and_hide_no_others() -> None:
    read, jobs, registry, clock = gauges()
    jobs.waiting = {"billing": 4}
    await read.refresh()
    jobs.due_down = True
    clock.pause(KEPT_SECONDS)
    await read.refresh()
    assert (due(registry), pending(registry)) == (None, 7)
    assert (failures(registry, "jobs"), failures(registry, "due_jobs")) == (0, 1)
    assert counted(registry) == 0, "otherwise an autoscaler would take an absent series for no jobs"


async def test_without_the_other_jobs_the_due_ones_are_absent_too() -> None:
    read, jobs, registry, clock = gauges()
    await read.refresh()
    jobs.down, jobs.asked = True, []
    clock.pause(KEPT_SECONDS)
    await read.refresh()
    assert (due(registry), jobs.asked) == (None, [])
    assert (failures(registry, "jobs"), failures(registry, "due_jobs")) == (1, 0)


async def test_both_counts_together_take_no_longer_than_a_scrape_waits() -> None:
    read, jobs, registry, clock = gauges()
    jobs.seconds = READ_SECONDS * 0.75
    begun = clock.monotonic()
    await read.refresh()
    assert clock.monotonic() - begun == READ_SECONDS
    assert (pending(registry), due(registry), counted(registry)) == (7, None, 0)
    assert failures(registry, "due_jobs") == 1


async def test_a_group_without_a_time_is_counted_and_hides_no_other() -> None:
    read, jobs, registry, _ = gauges()
    jobs.groups.insert(0, Unfinished("damaged", Status.FAILED, 2, None))
    await read.refresh()
    labels = {"service": "damaged", "status": "failed"}
    assert registry.get_sample_value("botdel_jobs", labels) == 2
    oldest = "botdel_jobs_oldest_created_timestamp_seconds"
    assert registry.get_sample_value(oldest, labels) is None
    assert pending(registry) == 7


async def test_what_a_gauge_does_not_take_is_counted_and_breaks_no_scrape() -> None:
    read, jobs, registry, _ = gauges()
    odd: Any = "yesterday"
    jobs.groups = [Unfinished("odd", Status.FAILED, 2, odd)]
    await read.refresh()
    assert failures(registry, "jobs") == 1
    assert counted(registry) == 0


class Letters(MemoryDeadLetterStore):
    """Dead letters that may be away."""

    down = False

    async def count(self, status: DeadLetterStatus, limit: int) -> int:
        if self.down:
            raise StoreUnavailable("the database is down")
        return await super().count(status, limit)


async def test_new_dead_letters_are_counted_until_an_operator_deals_with_them() -> None:
    registry, letters, clock = CollectorRegistry(), Letters(), VirtualClock()
    gauge = LetterGauge(registry, letters, clock, ReadFailures(registry))

    async def new() -> float | None:
        clock.pause(KEPT_SECONDS)
        await gauge.refresh()
        return registry.get_sample_value("botdel_dead_letters", {"status": "new"})

    assert await new() == 0
    first, second = a_letter(message_id="1", id="a" * 24), a_letter(message_id="2", id="b" * 24)
    await letters.record([first, second])
    assert await new() == 2
    await letters.mark(first, DeadLetterStatus.DISCARDED)
    assert await new() == 1
    letters.down = True
    assert await new() is None
    assert failures(registry, "dead_letters") == 1
    letters.down = False
    assert await new() == 1
