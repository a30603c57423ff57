"""A day without the data database exhausts no job, however often recovery sweeps."""

import asyncio
from datetime import timedelta

import pytest

from deletion.job import Job, Status
from deletion.process.store_settings import LeaseSettings
from deletion.retry import Retry
from deletion.sweep import Sweep
from recovery.sweeper import Sweeper
from tests.simulation import loop
from tests.simulation.load import POLICY, Replicas
from tests.simulation.schedule import rng
from tests.simulation.simulation import polling_seldom, silence
from tests.support.alerts import RecordedAlerts
from tests.support.clock import VirtualClock
from tests.support.memory_stores import MemorySweepStore

MINUTE, HOUR, DAY = 60.0, 3600.0, 86_400.0
BEFORE = 8
"""Seconds before the outage that some of the jobs are placed, and run when it begins."""
PLACED_AT = (0.1 * HOUR, 2 * HOUR, 11 * HOUR, 23.9 * HOUR)
"""Into the outage."""


def test_the_policy_here_is_the_one_of_the_defaults() -> None:
    defaults = {name: field.default for name, field in LeaseSettings.model_fields.items()}
    assert LeaseSettings.model_construct(**defaults).lease == POLICY


@pytest.mark.proves("day-without-data")
@pytest.mark.parametrize(
    ("every", "phase"),
    [(MINUTE, 0.81), (HOUR, 0.0), (DAY, 0.37)],
)
def test_a_day_without_the_data_exhausts_no_job(every: float, phase: float) -> None:
    """The outage begins at the share `phase` of the time between two sweeps."""

    async def outage() -> list[Job]:
        replicas = Replicas(1, 16, seconds=BEFORE + 2)
        replicas.start()
        sweeping = asyncio.create_task(_sweeping(replicas, every))
        await asyncio.sleep(every * (1 + phase) - BEFORE)
        await replicas.place(2)
        await asyncio.sleep(BEFORE)
        replicas.step.is_out = True
        placed = 0.0
        for at in PLACED_AT:
            await asyncio.sleep(at - placed)
            placed = at
            await replicas.place(2)
        await asyncio.sleep(DAY - placed)
        assert {job.status for job in replicas.store.jobs.values()} <= {
            Status.PENDING,
            Status.IN_PROGRESS,
            Status.FAILED,
        }
        replicas.step.is_out = False
        await replicas.ended(within=2 * DAY + 2 * every, look=MINUTE)
        sweeping.cancel()
        await replicas.stop()
        return list(replicas.store.jobs.values())

    with silence(), polling_seldom():
        jobs = loop.run(outage())
    assert len(jobs) == 2 + 2 * len(PLACED_AT)
    assert {job.status for job in jobs} == {Status.COMPLETE}
    assert max(job.attempt for job in jobs) > 1


async def _sweeping(replicas: Replicas, every: float) -> None:
    clock, sweeps = VirtualClock(), MemorySweepStore()
    sweeper = Sweeper(
        jobs=replicas.store,
        sweeps=sweeps,
        clock=clock,
        policy=POLICY,
        retry=Retry(clock, rng=rng("sweeper")),
        page_size=100,
        alerts=RecordedAlerts(),
        stale_share=0.5,
        waiting_after=timedelta(hours=1),
    )
    while True:
        await asyncio.sleep(every)
        sweep = Sweep.started(sweeps.new_id(), clock.now())
        sweeps.sweeps = {sweep.id: sweep}
        await sweeper.run(sweep, asyncio.Event())
