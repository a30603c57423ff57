"""The port for alerts: what the person on call has to know."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol


class AlertKind(StrEnum):
    """What happened."""

    DEAD_LETTER = "dead_letter"  # a message was quarantined
    JOB_EXHAUSTED = "job_exhausted"  # a job's attempts are spent
    JOB_COMPENSATED = "job_compensated"  # a saga was rolled back: the bot is not deleted
    JOBS_WAITING = "jobs_waiting"  # jobs have been due, or handed over, for too long
    JOBS_STALE = "jobs_stale"  # a sweep found a large share of the running jobs stale
    BREAKER_OPEN = "breaker_open"  # calls to an external API are suspended, because it fails
    JOBS_IMMOVABLE = "jobs_immovable"  # a sweep could not read or move some jobs
    REQUESTS_NEAR = "requests_near"  # open requests are near their deadline
    REQUESTS_OVERDUE = "requests_overdue"  # open requests are past their deadline
    REQUESTS_MISSING = "requests_missing"  # a service had no job for some requests


@dataclass(frozen=True, slots=True)
class Alert:
    """Something that happened, `count` times.

    Alerts with the same kind, service and reason are sent as one, so `reason` names a category, not
    a single case. `service` is empty when it is unknown or when several services are concerned.
    `example` is the id of a dead letter, a job, a sweep or an event, or the name of a host; never
    the id of a bot.
    """

    kind: AlertKind
    service: str
    reason: str
    example: str
    count: int = 1


class Alerts(Protocol):
    """Sends alerts to whoever is on call."""

    def tell(self, alert: Alert) -> None:
        """Accept the alert. Never blocks and never raises. Call it on the event loop only."""
