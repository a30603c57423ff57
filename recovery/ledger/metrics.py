"""What the ledger counts."""

from enum import StrEnum

from prometheus_client import CollectorRegistry, Counter, Gauge


class PartName(StrEnum):
    """The parts of the ledger, as its metrics and its log name them."""

    INTAKE = "intake"
    SETTLE = "settle"
    REPUBLISH = "republish"
    WARN = "warn"
    ANNOUNCE = "announce"
    CALL = "call"


class LedgerMetrics:
    """The ledger's counters, in the registry of its process."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._recorded = Counter(
            "botdel_ledger_recorded",
            "Requests received by the ledger; a redelivered one counts again",
            registry=registry,
        )
        self._settled = Counter(
            "botdel_ledger_settled",
            "Requests that recovery settled; one whose last share was waived is not counted",
            registry=registry,
        )
        self._republished = Counter(
            "botdel_ledger_republished",
            "Requests published again for a service that had no job for them",
            ["service"],
            registry=registry,
        )
        self._failures = Counter(
            "botdel_ledger_failures",
            "Passes of a part of the ledger that failed, and single records that failed in other "
            "passes; it tries again, except for a message that is no event; the log says what "
            "failed and why",
            ["part"],
            registry=registry,
        )
        self._recording = Gauge(
            "botdel_ledger_recording",
            "1 while the last pull of the ledger's subscription worked, else 0",
            registry=registry,
        )
        # A counter that exists from the start can be alerted on when it first counts.
        for part in PartName:
            self._failures.labels(part)

    def pulled(self) -> None:
        """A pull succeeded, and what it brought is recorded and acked."""
        self._recording.set(1)

    def failed(self) -> None:
        """A pull, a record or an ack failed; the messages will be delivered again."""
        self.failure(PartName.INTAKE)
        self._recording.set(0)

    def failure(self, part: PartName, count: int = 1) -> None:
        """A part failed `count` times."""
        self._failures.labels(part).inc(count)

    def recorded(self, count: int) -> None:
        """`count` requests are recorded, or were already."""
        self._recorded.inc(count)

    def settled(self, count: int) -> None:
        """`count` requests are settled."""
        self._settled.inc(count)

    def republished(self, service: str) -> None:
        """A request was published again for `service`."""
        self._republished.labels(service).inc()
