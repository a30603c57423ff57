"""What recovery counts. Labels name outcomes, never a job or a bot."""

from prometheus_client import CollectorRegistry, Counter, Gauge

from recovery.sweep import Outcome, Sweep, SweepStatus


class Metrics:
    """One process's metrics, in a registry of its own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._sweeps = Counter(
            "botdel_recovery_sweeps", "Sweeps by how they ended", ["status"], registry=self.registry
        )
        self._jobs = Counter(
            "botdel_recovery_jobs",
            "Jobs by what a sweep did about them",
            ["outcome"],
            registry=self.registry,
        )
        self._last_end = Gauge(
            "botdel_recovery_last_sweep_end_timestamp_seconds",
            "When the last sweep of this process ended, in seconds since 1970; 0 for never",
            registry=self.registry,
        )
        # A counter that is there from the start can be alerted on before it first counts.
        for status in (SweepStatus.COMPLETE, SweepStatus.FAILED):
            self._sweeps.labels(status)
        for outcome in Outcome:
            self._jobs.labels(outcome)

    def ended(self, sweep: Sweep) -> None:
        """One sweep of this process ended, with all it has counted."""
        self._sweeps.labels(sweep.status).inc()
        self._jobs.labels(Outcome.RESUMED).inc(sweep.resumed)
        self._jobs.labels(Outcome.EXHAUSTED).inc(sweep.exhausted)
        self._jobs.labels(Outcome.SKIPPED).inc(sweep.skipped)
        self._last_end.set(sweep.last_modified_at.timestamp())
