"""The port of alerts: what a person has to know."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol


class AlertKind(StrEnum):
    """What has happened."""

    DEAD_LETTER = "dead_letter"  # a message was given up
    JOB_EXHAUSTED = "job_exhausted"  # a job's attempts are spent
    JOB_COMPENSATED = "job_compensated"  # a saga was rolled back: the bot is not deleted
    JOBS_WAITING = "jobs_waiting"  # jobs have been pending, or handed over, for too long
    JOBS_STALE = "jobs_stale"  # a sweep found a large share of the running jobs silent
    BREAKER_OPEN = "breaker_open"  # calls to an external API are suspended, because it fails
    JOBS_IMMOVABLE = "jobs_immovable"  # a sweep could not read jobs, or not move them


@dataclass(frozen=True, slots=True)
class Alert:
    """One thing that happened, or `count` of them at once.

    Alerts of equal kind, service and reason are sent as one, so a reason names a category, not a
    single case. `service` is empty when it is not known, or when several are concerned. `example`
    is the id of the dead letter, the job or the sweep, or a host, never the id of a bot.
    """

    kind: AlertKind
    service: str
    reason: str
    example: str
    count: int = 1


class Alerts(Protocol):
    """The way to whoever is on call."""

    def tell(self, alert: Alert) -> None:
        """Accept the alert: never waits and never raises. Call it on the event loop only."""
