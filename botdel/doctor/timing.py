"""Checks that periods fit together: grace and batch, stale threshold and heartbeat; and clocks."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from time import perf_counter

from botdel.doctor.findings import failed, guarded, ok, together, warning
from deletion.adapters.mongo.connection import Database, ping, translated
from deletion.clock import Clock
from deletion.doctor import Finding
from deletion.job import Job, LeasePolicy, StepProgress
from deletion.ports import JobStore
from deletion.process.grace import RUNS

NEWEST = 100
"""Jobs of a service whose batches are checked, newest first."""
SAMPLES = 5
"""Round trips to measure; the slowest counts."""
HEARTBEAT, CLOCK = "heartbeat", "clock"
EVERYWHERE = "the same for every process of the installation"


@dataclass(frozen=True, slots=True)
class RoundTrips:
    """The slowest round trip to the database, and how far this clock is ahead of the database's,
    both in seconds. `ahead` is None if the database does not report its time.
    """

    slowest: float
    ahead: float | None


async def grace_findings(store: JobStore, services: Sequence[str], grace: float) -> list[Finding]:
    """Return the finding for each service. `grace` is in seconds."""
    return await together(
        *(guarded(_label(service), _grace(store, service, grace)) for service in services)
    )


async def lease_findings(database: Database, clock: Clock, policy: LeasePolicy) -> list[Finding]:
    """Return the findings for heartbeat and clock, measured against this database."""
    trips = await round_trips(database, clock)
    return [heartbeat_finding(trips.slowest, policy), clock_finding(trips.ahead, policy)]


async def round_trips(database: Database, clock: Clock) -> RoundTrips:
    """Measure round trips on an open connection. Raises `StoreUnavailable`."""
    await ping(database)
    seconds: list[float] = []
    ahead: float | None = None
    for _ in range(SAMPLES):
        began = perf_counter()
        with translated():
            hello = await database.command("hello")
        seconds.append(perf_counter() - began)
        there = hello.get("localTime")
        if isinstance(there, datetime):
            difference = (clock.now() - there.replace(tzinfo=UTC)).total_seconds()
            ahead = difference - seconds[-1] / 2  # the answer took about half of the round trip
    return RoundTrips(max(seconds), ahead)


async def _grace(store: JobStore, service: str, grace: float) -> list[Finding]:
    found = await store.find(service=service, limit=NEWEST)
    jobs = [job for job in found if isinstance(job, Job)]
    return [grace_finding(service, slowest_batch(jobs), grace)]


def slowest_batch(jobs: Iterable[Job]) -> StepProgress | None:
    """Return the progress with the slowest batch of all, or None if none was measured."""
    measured = [step for job in jobs for step in job.steps if step.slowest]
    return max(measured, key=lambda step: step.slowest, default=None)


def grace_finding(service: str, slowest: StepProgress | None, grace: float) -> Finding:
    """Check that batches fit: every deployment interrupts one that outlasts its share of grace."""
    check, share = _label(service), grace * RUNS
    if slowest is None:
        return warning(
            check,
            f"not known: no batch was measured in its newest {NEWEST} jobs",
            "look again after a deletion that finds data",
        )
    measured = f"the slowest batch, of step {slowest.name}, took {slowest.slowest:.2g} s"
    allowed = f"a run has {share:g} s to end between two batches"
    if slowest.slowest < share:
        return ok(check, f"{measured}; {allowed}")
    return failed(
        check,
        f"{measured}; {allowed} (half of BOTDEL_SHUTDOWN_GRACE_SECONDS)",
        f"lower `batch_size` of step {slowest.name}, or set BOTDEL_SHUTDOWN_GRACE_SECONDS above "
        f"{slowest.slowest / RUNS:.0f} and the platform's grace period above that",
    )


def heartbeat_finding(round_trip: float, policy: LeasePolicy) -> Finding:
    """Check that a heartbeat, which is one round trip, is in time: a late one loses the job."""
    interval, stale_after = policy.heartbeat_interval, policy.stale_after.total_seconds()
    detail = (
        f"due every {interval:g} s, a round trip to the database takes {round_trip * 1000:.1f} ms, "
        f"and a job is stale after {stale_after:g} s"
    )
    if round_trip >= interval:
        remedy = f"raise BOTDEL_STALE_AFTER_SECONDS, {EVERYWHERE}"
        return failed(HEARTBEAT, detail, remedy)
    return ok(HEARTBEAT, detail)


def clock_finding(ahead: float | None, policy: LeasePolicy) -> Finding:
    """Check the clock: whether a job is stale is decided by another clock than its heartbeat's."""
    if ahead is None:
        return warning(CLOCK, "the database does not report its time", "synchronise clocks by NTP")
    allowed = policy.max_skew.total_seconds()
    detail = (
        f"{abs(ahead):.3f} s {'ahead of' if ahead > 0 else 'behind'} the database server's; "
        f"no sweep starts and no job is retried if it is more than {allowed:g} s"
    )
    if abs(ahead) > allowed:
        return failed(CLOCK, detail, "synchronise the clocks of all machines by NTP")
    return ok(CLOCK, detail)


def _label(service: str) -> str:
    return f"grace period of {service}"
