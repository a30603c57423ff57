"""Gauges of the unfinished jobs, counted when they are scraped and kept for a while."""

import asyncio
from typing import Final

import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge

from deletion.clock import Clock
from deletion.kept import Kept
from deletion.ports import Census, Unfinished

KEPT_SECONDS: Final = 30.0
"""Seconds between two reads of the database, however many scrapes there are."""
READ_SECONDS: Final = 5.0
"""How long a scrape waits for the database."""

log = structlog.get_logger(__name__)


class JobGauges:
    """`botdel_jobs` and `botdel_jobs_oldest_created_timestamp_seconds`, by service and status.

    While the jobs cannot be counted, the gauges are absent rather than old, and the failures are
    counted.
    """

    def __init__(self, registry: CollectorRegistry, census: Census, clock: Clock) -> None:
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
        self.failures = Counter(
            "botdel_jobs_read_failures",
            "Scrapes that could not count the jobs, or the requests; their gauges are absent then",
            registry=registry,
        )
        self._census = census
        self._counted = Kept(self._count, KEPT_SECONDS, clock.monotonic)

    async def refresh(self) -> None:
        """Count again if the gauges are older than `KEPT_SECONDS`. Never raises."""
        await self._counted.get()

    async def _count(self) -> None:
        self._jobs.clear()
        self._oldest.clear()
        try:
            async with asyncio.timeout(READ_SECONDS):
                found = await self._census.unfinished()
            for group in found:
                self._show(group)
        except Exception:
            log.exception("jobs not counted")
            self.failures.inc()

    def _show(self, group: Unfinished) -> None:
        self._jobs.labels(group.service, group.status).set(group.jobs)
        if group.oldest:
            self._oldest.labels(group.service, group.status).set(group.oldest.timestamp())
