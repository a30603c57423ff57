"""The metrics of a consumer. Labels name its service, steps and outcomes, never a bot."""

import asyncio
from collections.abc import Collection, Iterable
from typing import Final

import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge

from deletion.errors import TransientError
from deletion.gate import Gates
from deletion.turns import BY_PRESSURE, BY_SHARE, Wait

INTERRUPTED: Final = "interrupted"
LOST: Final = "lost"
REFUSED: Final = "refused"
RUN_OUTCOMES: Final = ("complete", "failed", INTERRUPTED, "pending", "compensated", LOST)
"""The outcomes of a run: the status of its job, handed over (interrupted), or the lease lost."""


READ_SECONDS: Final = 5.0
"""How long a scrape waits for the database, in seconds."""

log = structlog.get_logger(__name__)


class Metrics:
    """The metrics of one process, in their own registry.

    Every child exists from the start, so that `increase()` shows the first event too.
    """

    def __init__(self, service: str, steps: Collection[str], outcomes: Iterable[str]) -> None:
        self.registry = CollectorRegistry()
        self._service = service
        self._messages = self._counter(
            "messages",
            "Deliveries; quarantined ones are dead letters now, returned ones were nacked",
            "outcome",
            outcomes,
        )
        self._runs = self._counter(
            "runs",
            "Runs by how they ended; pending ones were parked, or are being rolled back",
            "outcome",
            RUN_OUTCOMES,
        )
        self._claims = self._counter(
            "claims",
            "Claims won, lost to other replicas, and refused by the database; the log says why",
            "outcome",
            ("won", LOST, REFUSED),
        )
        self._deleted = self._counter("deleted_items", "Items deleted by step", "step", steps)
        self._throttled = Counter(
            "botdel_consumer_throttled_seconds",
            "Seconds for which the pace of a step held runs back, summed over the runs",
            ["service", "step", "by"],
            registry=self.registry,
        )
        self._unread = Counter(
            "botdel_consumer_pressure_unread",
            "Readings of a step's pressure that failed; the step kept its normal pace",
            ["service", "step"],
            registry=self.registry,
        )
        for step in steps:
            self._unread.labels(service, step)
            for by in (BY_SHARE, BY_PRESSURE):
                self._throttled.labels(service, step, by)
        running = Gauge(
            "botdel_consumer_running", "Jobs running now", ["service"], registry=self.registry
        )
        self.running = running.labels(service)
        self.breakers = Gauge(
            "botdel_consumer_breaker_open",
            "1 while calls to a host of the plan are suspended, else 0; absent while not readable",
            ["host"],
            registry=self.registry,
        )

    def took(self, outcome: str) -> None:
        """Count a delivery by its `consumers.intake.Outcome`."""
        self._messages.labels(self._service, outcome).inc()

    def claimed(self, won: int, lost: int, refused: int) -> None:
        """Count the claims that were won, lost to faster processes, and refused by the database."""
        self._claims.labels(self._service, "won").inc(won)
        self._claims.labels(self._service, LOST).inc(lost)
        self._claims.labels(self._service, REFUSED).inc(refused)

    def ended(self, outcome: str) -> None:
        """Count a run by its outcome, one of `RUN_OUTCOMES`."""
        self._runs.labels(self._service, outcome).inc()

    def deleted(self, step: str, items: int) -> None:
        """Count the items that a batch of `step` deleted."""
        self._deleted.labels(self._service, step).inc(items)

    def waited(self, step: str, wait: Wait) -> None:
        """Count a wait of a run of `step`, when it begins (0 seconds) and when it has ended."""
        self._throttled.labels(self._service, step, wait.kind).inc(wait.seconds)

    def unread(self, step: str) -> None:
        """Count a failed reading of the pressure of `step`."""
        self._unread.labels(self._service, step).inc()

    def _counter(self, name: str, meaning: str, label: str, children: Iterable[str]) -> Counter:
        counter = Counter(
            f"botdel_consumer_{name}", meaning, ["service", label], registry=self.registry
        )
        for child in children:
            counter.labels(self._service, child)
        return counter


class BreakerGauge:
    """`botdel_consumer_breaker_open` for each host of the plan. It reads the breakers when it is
    scraped, because no call reads the breaker of a host whose jobs are all parked. Hosts are absent
    while their breakers cannot be read.
    """

    def __init__(self, gauge: Gauge, gates: Gates) -> None:
        self._gauge = gauge
        self._gates = gates

    async def refresh(self) -> None:
        """Read the breakers again. A database that does not answer is logged, not raised."""
        self._gauge.clear()
        try:
            async with asyncio.timeout(READ_SECONDS):
                found = await self._gates.are_open()
        except (TransientError, TimeoutError) as error:
            log.warning("breakers not read", reason=str(error) or type(error).__name__)
            return
        for host, is_open in found.items():
            self._gauge.labels(host).set(is_open)
