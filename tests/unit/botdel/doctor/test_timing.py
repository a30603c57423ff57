"""Periods that do not fit each other, and clocks that differ."""

from datetime import timedelta

import pytest

from botdel.doctor.timing import (
    clock_finding,
    grace_finding,
    grace_findings,
    heartbeat_finding,
    slowest_batch,
)
from deletion.doctor import Verdict
from deletion.job import LeasePolicy, StepProgress
from tests.support.clock import VirtualClock
from tests.support.factories import SERVICE, a_job
from tests.support.scripted_stores import ScriptedStore
from tests.unit.botdel.doctor.installation import by_check

pytestmark = pytest.mark.virtual_time


def progress(name: str, slowest: float) -> StepProgress:
    return StepProgress(name, batches=1 if slowest else 0, slowest=slowest)


def test_the_slowest_batch_is_that_of_all_jobs_and_steps() -> None:
    jobs = [
        a_job(steps=(progress("messages", 0.5), progress("sessions", 2.5))),
        a_job(steps=(progress("messages", 1.5), progress("sessions", 0))),
    ]
    assert slowest_batch(jobs) == progress("sessions", 2.5)
    assert slowest_batch([a_job(steps=(progress("messages", 0),)), a_job()]) is None


@pytest.mark.parametrize(("seconds", "status"), [(9.9, Verdict.OK), (10.0, Verdict.FAILED)])
def test_a_batch_has_half_of_the_grace_period(seconds: float, status: Verdict) -> None:
    assert grace_finding(SERVICE, progress("messages", seconds), 20).status is status


def test_a_batch_that_is_too_slow_is_named_with_both_ways_out() -> None:
    found = grace_finding(SERVICE, progress("messages", 15.2), 20)
    assert "of step messages, took 15 s; a run has 10 s" in found.detail
    assert "lower `batch_size` of step messages" in found.remedy
    assert "BOTDEL_SHUTDOWN_GRACE_SECONDS above 30" in found.remedy


async def test_each_service_has_its_own_and_without_a_batch_it_cannot_be_told() -> None:
    store = ScriptedStore(VirtualClock())
    store.put(a_job(steps=(progress("messages", 15),)))
    found = by_check(await grace_findings(store, [SERVICE, "analytics"], 20))
    assert found[f"grace period of {SERVICE}"].status is Verdict.FAILED
    unknown = found["grace period of analytics"]
    assert (unknown.status, "not known" in unknown.detail) == (Verdict.WARNING, True)
    assert unknown.remedy == "look again after a deletion that finds data"


@pytest.mark.parametrize(
    ("stale_after", "round_trip", "status"),
    [
        (600, 0.002, Verdict.OK),
        (600, 149.9, Verdict.OK),
        (600, 150, Verdict.FAILED),
        (2, 0.49, Verdict.OK),
        (2, 0.5, Verdict.FAILED),
    ],
)
def test_a_heartbeat_has_to_get_through(
    stale_after: float, round_trip: float, status: Verdict
) -> None:
    found = heartbeat_finding(round_trip, lease(stale_after))
    assert found.status is status
    assert ("BOTDEL_STALE_AFTER_SECONDS" in found.remedy) == (status is not Verdict.OK)


@pytest.mark.parametrize(
    ("ahead", "status"),
    [
        (0.001, Verdict.OK),
        (200.0, Verdict.OK),
        (200.1, Verdict.FAILED),
        (-200.1, Verdict.FAILED),
        (None, Verdict.WARNING),
    ],
)
def test_clocks_may_differ_by_what_a_sweep_accepts(ahead: float | None, status: Verdict) -> None:
    found = clock_finding(ahead, lease(600))
    assert found.status is status
    assert ("NTP" in found.remedy) == (status is not Verdict.OK)


def lease(stale_after: float) -> LeasePolicy:
    return LeasePolicy(timedelta(seconds=stale_after), max_attempts=5)
