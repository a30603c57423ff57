"""What the console counts. Labels name outcomes and kinds of actions, never a bot or a user."""

from http import HTTPStatus
from typing import Final

from prometheus_client import CollectorRegistry, Counter

from deletion.operating.record import ActionKind

OUTCOMES: Final = {
    HTTPStatus.UNAUTHORIZED: "refused",
    HTTPStatus.FORBIDDEN: "refused",
    HTTPStatus.SERVICE_UNAVAILABLE: "unavailable",
    HTTPStatus.INTERNAL_SERVER_ERROR: "error",
}
ANSWERED: Final = "answered"
"""The outcome of every answer below 400."""
INVALID: Final = "invalid"
"""The outcome of every other answer: the request itself was wrong."""
KINDS: Final = tuple(kind for kind in ActionKind if kind is not ActionKind.RETIRE)
"""What operators do in the console; a service is retired on the command line only."""
COMPLETE: Final = "complete"
FAILED: Final = "failed"


class Metrics:
    """One console's metrics, registered where `/metrics` reads them."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.registry = registry
        self._requests = Counter(
            "botdel_console_requests", "Answers by outcome", ["outcome"], registry=registry
        )
        self._actions = Counter(
            "botdel_console_actions",
            "Runs of operators' actions in this process, by how they ended",
            ["kind", "outcome"],
            registry=registry,
        )
        self.refused_logins = Counter(
            "botdel_console_refused_logins",
            "Log-ins with a token that is not valid",
            registry=registry,
        )
        for outcome in (ANSWERED, *OUTCOMES.values(), INVALID):
            self._requests.labels(outcome)
        for kind in KINDS:
            for outcome in (COMPLETE, FAILED):
                self._actions.labels(kind, outcome)

    def answered(self, status: int, _: float) -> None:
        """Count an answer with this status."""
        otherwise = ANSWERED if status < HTTPStatus.BAD_REQUEST else INVALID
        self._requests.labels(OUTCOMES.get(HTTPStatus(status), otherwise)).inc()

    def acted(self, kind: ActionKind, failure: str | None) -> None:
        """A run of an action has ended: complete, or failed with the reason."""
        self._actions.labels(kind, COMPLETE if failure is None else FAILED).inc()
