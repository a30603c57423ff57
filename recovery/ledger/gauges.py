"""Gauges of the requests, counted when they are scraped and kept for a while."""

from collections.abc import Iterator
from datetime import datetime
from functools import partial
from typing import Final

from prometheus_client import CollectorRegistry, Gauge, Metric
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from deletion.clock import Clock
from deletion.due_window import Earliest
from deletion.kept import Kept
from deletion.ledger import ReadRequest, RequestCensus, RequestStore
from deletion.ports import Unreadable
from deletion.request import Chore, DeletionRequest
from deletion.silence import EPOCH
from recovery.gauges import KEPT_SECONDS, ReadFailures

MOST_COUNTED: Final = 10_000
"""How many requests of each kind are counted: an alert needs no more."""
MOST_WAITING: Final = 500
"""How many settled requests that wait for a chore are read to find the oldest."""
STATES: Final = ("unsettled", "near", "overdue", "missing")
RECEIVED: Final = "botdel_requests_oldest_received_timestamp_seconds"
DEADLINE: Final = "botdel_requests_oldest_deadline_timestamp_seconds"
WAITING: Final = {
    Chore.ANNOUNCE: "botdel_ledger_unannounced_oldest_timestamp_seconds",
    Chore.CALL: "botdel_ledger_uncalled_oldest_timestamp_seconds",
}
TIMES: Final = {
    RECEIVED: "When the oldest unsettled request was received; absent without one",
    DEADLINE: "The deadline of the oldest unsettled request; absent without one",
    WAITING[Chore.ANNOUNCE]: "When the oldest request that is not announced yet was settled; "
    "absent without one",
    WAITING[Chore.CALL]: "When the oldest request whose callback is not confirmed yet was settled; "
    "absent without one",
}
"""In seconds since 1970."""


class Times(Collector):
    """Gauges that are absent, not 0, while there is no time to show."""

    def __init__(self) -> None:
        self.since: dict[str, datetime | None] = {}

    def collect(self) -> Iterator[Metric]:
        """Each gauge, with its value if there is one."""
        for name, documentation in TIMES.items():
            family = GaugeMetricFamily(name, documentation)
            if at := self.since.get(name):
                family.add_metric([], at.timestamp())
            yield family


class RequestGauges:
    """`botdel_requests`, and the times of the oldest requests.

    While they cannot be read, the gauges are absent rather than old, and `failures` counts that.
    """

    def __init__(
        self,
        registry: CollectorRegistry,
        requests: RequestStore,
        clock: Clock,
        failures: ReadFailures,
        *,
        calls_back: bool,
    ) -> None:
        self._states = Gauge(
            "botdel_requests",
            "Requests that services owe, at most 10,000 of each state, counted when they are "
            "scraped, at most every 30 s; overdue ones are near too, and all are unsettled",
            ["state"],
            registry=registry,
        )
        self._times = Times()
        registry.register(self._times)
        self._requests = requests
        self._clock = clock
        self._failures = failures
        self._chores = [Chore.ANNOUNCE, Chore.CALL] if calls_back else [Chore.ANNOUNCE]
        self._earliest = {each: self._earliest_of(each) for each in self._chores}
        self._counted = Kept(self._count, KEPT_SECONDS, clock.monotonic)

    async def refresh(self) -> None:
        """Count again if the gauges are older than `KEPT_SECONDS`. Never raises."""
        await self._counted.get()

    async def _count(self) -> None:
        self._states.clear()
        self._times.since.clear()
        async with self._failures.counted("requests"):
            census = await self._requests.census(self._clock.now(), MOST_COUNTED)
            waiting = {chore: await self._waiting(chore) for chore in self._chores}
            self.show(census)
            for chore, since in waiting.items():
                self._times.since[WAITING[chore]] = since

    def _earliest_of(self, chore: Chore) -> Earliest[ReadRequest]:
        def due(request: ReadRequest) -> datetime | None:
            return request.due if isinstance(request, Unreadable) else request.chores.get(chore)

        return Earliest(partial(self._requests.due, chore), due)

    async def _waiting(self, chore: Chore) -> datetime | None:
        """When the oldest settled request that waits for `chore` was settled; None without one.

        Each is due again within an hour, so the oldest is among the first that are due, unless more
        than `MOST_WAITING` wait.
        """
        found = await self._earliest[chore].read(
            EPOCH, self._clock.now(), MOST_WAITING, beyond_now=True, fewest=MOST_WAITING
        )
        readable = (each for each in found if isinstance(each, DeletionRequest))
        return min((each.settled_at for each in readable if each.settled_at), default=None)

    def show(self, census: RequestCensus) -> None:
        """Set the gauges to the counts and times of a census."""
        for state in STATES:
            self._states.labels(state).set(getattr(census, state))
        self._times.since[RECEIVED] = census.oldest
        self._times.since[DEADLINE] = census.oldest_deadline
