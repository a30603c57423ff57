"""What a consumer counts. Labels name steps and outcomes, never a bot."""

from prometheus_client import CollectorRegistry, Counter, Gauge


class Metrics:
    """One process's metrics, in a registry of its own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._messages = Counter(
            "botdel_consumer_messages", "Deliveries by outcome", ["outcome"], registry=self.registry
        )
        self._runs = Counter(
            "botdel_consumer_runs", "Runs by how they ended", ["outcome"], registry=self.registry
        )
        self._deleted = Counter(
            "botdel_consumer_deleted_items",
            "Items deleted by step",
            ["step"],
            registry=self.registry,
        )
        self.running = Gauge("botdel_consumer_running", "Jobs running now", registry=self.registry)

    def took(self, outcome: str) -> None:
        """One delivery was taken in, with that `consumers.intake.Outcome`."""
        self._messages.labels(outcome).inc()

    def ended(self, outcome: str) -> None:
        """One run ended as a job's status, `interrupted`, or `lost`."""
        self._runs.labels(outcome).inc()

    def deleted(self, step: str, items: int) -> None:
        """A batch of `step` deleted `items`."""
        self._deleted.labels(step).inc(items)
