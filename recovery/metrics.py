"""What recovery counts. Labels name outcomes, never a job or a bot."""

from prometheus_client import CollectorRegistry, Counter, Gauge

from deletion.sweep import Outcome, Sweep, SweepStatus


class Metrics:
    """One process's metrics, in their own registry."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._sweeps = Counter(
            "botdel_recovery_sweeps",
            "Sweeps of this process by how they ended",
            ["status"],
            registry=self.registry,
        )
        self._jobs = Counter(
            "botdel_recovery_jobs",
            "Jobs by what a sweep did about them; one that it rolls back counts as resumed",
            ["outcome"],
            registry=self.registry,
        )
        self._last_end = Gauge(
            "botdel_recovery_last_sweep_end_timestamp_seconds",
            "When the last sweep of this process ended, in seconds since 1970; 0 for never",
            registry=self.registry,
        )
        self._recorded = Counter(
            "botdel_recovery_dead_letters_recorded",
            "Messages of the dead-letter subscription that were recorded, except canaries",
            registry=self.registry,
        )
        self._failures = Counter(
            "botdel_recovery_dead_letters_failures",
            "Pulls of the dead-letter subscription that failed, or whose messages were not kept",
            registry=self.registry,
        )
        self._recording = Gauge(
            "botdel_recovery_dead_letters_recording",
            "1 while the last pull of the dead-letter subscription worked, else 0",
            registry=self.registry,
        )
        # A counter that exists from the start can be alerted on when it first counts.
        for status in (SweepStatus.COMPLETE, SweepStatus.FAILED):
            self._sweeps.labels(status)
        for outcome in Outcome:
            self._jobs.labels(outcome)

    def pulled(self) -> None:
        """A pull of dead letters succeeded, and what it brought is recorded and acked."""
        self._recording.set(1)

    def failed(self) -> None:
        """A pull, a record or an ack failed; the messages will be delivered again."""
        self._failures.inc()
        self._recording.set(0)

    def recorded(self, count: int) -> None:
        """`count` dead letters are recorded and acked, canaries not counted."""
        self._recorded.inc(count)

    def ended(self, sweep: Sweep) -> None:
        """One sweep of this process has ended; count what it did."""
        self._sweeps.labels(sweep.status).inc()
        self._jobs.labels(Outcome.RESUMED).inc(sweep.resumed)
        self._jobs.labels(Outcome.EXHAUSTED).inc(sweep.exhausted)
        self._jobs.labels(Outcome.SKIPPED).inc(sweep.skipped)
        self._last_end.set(sweep.last_modified_at.timestamp())
