"""The gauge of open breakers: read at a scrape, absent when it cannot be read."""

import pytest
from prometheus_client import generate_latest
from structlog.testing import capture_logs

from consumers.metrics import BreakerGauge, Metrics
from deletion.breaker import Breaker, LocalBreakerStore
from deletion.errors import HttpUnavailable, Parked, StoreUnavailable
from deletion.gate import KEEP_SECONDS, Gates
from tests.support.clock import VirtualClock
from tests.support.factories import BOT, OTHER_BOT, SERVICE

pytestmark = pytest.mark.virtual_time

HOST = "billing.example"


class Store(LocalBreakerStore):
    """Does not answer while `away`."""

    away = False

    async def get(self, host: str) -> Breaker:
        if self.away:
            raise StoreUnavailable("away")
        return await super().get(host)


@pytest.mark.proves("breaker-alert")
async def test_it_shows_each_host_of_the_plan_and_nothing_old() -> None:
    clock = VirtualClock()
    store, metrics = Store(clock), Metrics(SERVICE, ["account"], [])
    gates = Gates(store, clock)
    gauge, gate = BreakerGauge(metrics.breakers, gates), gates.to(HOST, 2)

    async def shown() -> float | None:
        with capture_logs():
            await gauge.refresh()
        return metrics.registry.get_sample_value("botdel_consumer_breaker_open", {"host": HOST})

    assert await shown() == 0
    for bot in (BOT, OTHER_BOT):
        with pytest.raises((HttpUnavailable, Parked)):
            async with gate.call(bot, 5):
                raise HttpUnavailable("503")
    assert await shown() == 1
    store.away = True
    await clock.sleep(KEEP_SECONDS)
    assert await shown() is None
    assert HOST not in generate_latest(metrics.registry).decode()
    store.away = False
    assert await shown() == 1
