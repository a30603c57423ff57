"""Gauges of unfinished jobs, due jobs and new dead letters, counted at a scrape and kept."""

import asyncio
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from typing import Final

import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge

from deletion.clock import Clock
from deletion.dead_letter import DeadLetterStatus
from deletion.job import Status
from deletion.kept import Kept
from deletion.ports import Census, DeadLetterStore, Unfinished

KEPT_SECONDS: Final = 30.0
"""Seconds between two reads of the database, however many scrapes there are."""
READ_SECONDS: Final = 5.0
"""How long a scrape waits for the database."""
MAY_BE_DUE: Final = frozenset({Status.PENDING, Status.FAILED})
"""A failed job is due if it was interrupted."""

MOST_DUE: Final = 10_000
"""The most due jobs of a service that are counted: an autoscaler needs no more."""
MOST_LETTERS: Final = 10_000
"""The most new dead letters that are counted: an alert needs no more."""

log = structlog.get_logger(__name__)


class ReadFailures:
    """Counts the scrapes that could not read what the gauges show."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._failures = Counter(
            "botdel_recovery_read_failures",
            "Scrapes that could not count the jobs, the due jobs, the requests or the new dead "
            "letters; their gauges are absent then",
            ["of"],
            registry=registry,
        )
        # A counter that exists from the start can be alerted on when it first counts.
        for of in ("jobs", "due_jobs", "requests", "dead_letters"):
            self._failures.labels(of)

    @asynccontextmanager
    async def counted(self, of: str, until: float | None = None) -> AsyncIterator[None]:
        """Give the block, which reads `of`, `READ_SECONDS`, or until `until` by the loop's clock.
        An error in it, or its timeout, is logged and counted, and not raised.
        """
        try:
            async with asyncio.timeout_at(reading_ends() if until is None else until):
                yield
        except Exception:
            log.exception(f"{of.replace('_', ' ')} not counted")
            self._failures.labels(of).inc()


def reading_ends() -> float:
    """When a read that begins now must end, by the clock of the running loop."""
    return asyncio.get_running_loop().time() + READ_SECONDS


class JobGauges:
    """`botdel_jobs` and `botdel_jobs_oldest_created_timestamp_seconds`, by service and status, and
    `botdel_jobs_due`, by service.

    While the jobs cannot be counted, the gauges are absent rather than old, and the failures are
    counted. If only the due jobs cannot be counted, only `botdel_jobs_due` is absent. A service
    without jobs has no gauges either: `botdel_recovery_jobs_counted` tells the two cases apart.
    """

    def __init__(
        self, registry: CollectorRegistry, census: Census, clock: Clock, failures: ReadFailures
    ) -> None:
        labels = ["service", "status"]
        self._jobs = Gauge(
            "botdel_jobs",
            "Unfinished jobs, counted when they are scraped, at most every 30 s",
            labels,
            registry=registry,
        )
        self._oldest = Gauge(
            "botdel_jobs_oldest_created_timestamp_seconds",
            "When the oldest unfinished job was created, in seconds since 1970",
            labels,
            registry=registry,
        )
        self._due = Gauge(
            "botdel_jobs_due",
            "Jobs that a worker may claim now, at most 10,000 of each service, counted when they "
            "are scraped, at most every 30 s; parked and resting jobs are not due",
            ["service"],
            registry=registry,
        )
        self._is_counted = Gauge(
            "botdel_recovery_jobs_counted",
            "1 if the jobs and the due jobs were counted for this scrape, so that a service "
            "without botdel_jobs or botdel_jobs_due has none; 0 if one of the counts failed",
            registry=registry,
        )
        self._failures = failures
        self._clock = clock
        self._census = census
        self._counted = Kept(self._count, KEPT_SECONDS, clock.monotonic)

    async def refresh(self) -> None:
        """Count again if the gauges are older than `KEPT_SECONDS`. Never raises."""
        await self._counted.get()

    async def _count(self) -> None:
        self._jobs.clear()
        self._oldest.clear()
        self._due.clear()
        self._is_counted.set(0)
        until = reading_ends()
        services: Collection[str] | None = None
        async with self._failures.counted("jobs", until):
            groups = await self._census.unfinished()
            for group in groups:
                self._show(group)
            services = {each.service for each in groups if each.status in MAY_BE_DUE} - {""}
        if services is not None:
            await self._count_due(services, until)

    async def _count_due(self, services: Collection[str], until: float) -> None:
        async with self._failures.counted("due_jobs", until):
            counts = await self._census.due(services, self._clock.now(), MOST_DUE)
            for service, jobs in counts.items():
                self._due.labels(service).set(jobs)
            self._is_counted.set(1)

    def _show(self, group: Unfinished) -> None:
        self._jobs.labels(group.service, group.status).set(group.jobs)
        if group.oldest:
            self._oldest.labels(group.service, group.status).set(group.oldest.timestamp())


class LetterGauge:
    """`botdel_dead_letters`. It is absent while they cannot be counted; `failures` counts that."""

    def __init__(
        self,
        registry: CollectorRegistry,
        letters: DeadLetterStore,
        clock: Clock,
        failures: ReadFailures,
    ) -> None:
        self._new = Gauge(
            "botdel_dead_letters",
            "Dead letters that nobody has replayed or discarded, at most 10,000, counted when they "
            "are scraped, at most every 30 s",
            ["status"],
            registry=registry,
        )
        self._letters = letters
        self._failures = failures
        self._counted = Kept(self._count, KEPT_SECONDS, clock.monotonic)

    async def refresh(self) -> None:
        """Count again if the gauge is older than `KEPT_SECONDS`. Never raises."""
        await self._counted.get()

    async def _count(self) -> None:
        self._new.clear()
        async with self._failures.counted("dead_letters"):
            self.show(await self._letters.count(DeadLetterStatus.NEW, MOST_LETTERS))

    def show(self, new: int) -> None:
        """Set the gauge."""
        self._new.labels(DeadLetterStatus.NEW).set(new)
