"""What the gateway counts. Labels name outcomes, never a bot."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

OUTCOMES: Final[Mapping[int, str]] = {
    HTTPStatus.ACCEPTED: "accepted",
    HTTPStatus.UNAUTHORIZED: "unauthorized",
    HTTPStatus.TOO_MANY_REQUESTS: "overloaded",
    HTTPStatus.SERVICE_UNAVAILABLE: "unavailable",
    HTTPStatus.INTERNAL_SERVER_ERROR: "error",
}
INVALID: Final = "invalid"
"""The outcome of every other answer: the request itself was wrong."""
SECONDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)


class Metrics:
    """One gateway's metrics, registered where `/metrics` reads them."""

    def __init__(self, registry: CollectorRegistry) -> None:
        requests = Counter(
            "botdel_gateway_requests", "Answers by outcome", ["outcome"], registry=registry
        )
        seconds = Histogram(
            "botdel_gateway_request_seconds",
            "Seconds until the answer, by outcome",
            ["outcome"],
            buckets=SECONDS,
            registry=registry,
        )
        self.pending = Gauge(
            "botdel_gateway_pending", "Events Pub/Sub has not confirmed yet", registry=registry
        )
        self._of = {
            outcome: (requests.labels(outcome), seconds.labels(outcome))
            for outcome in (*OUTCOMES.values(), INVALID)
        }

    def answered(self, status: int, seconds: float) -> None:
        """One request was answered with `status` after `seconds`."""
        count, times = self._of[OUTCOMES.get(status, INVALID)]
        count.inc()
        times.observe(seconds)
