"""Groups of alerts of equal kind, service and reason: when one is due, and what it says."""

import html
import shlex
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from deletion.alerts import Alert, AlertKind
from deletion.clock import Clock, rfc3339

MOST_GROUPS: Final = 1_000
"""Groups in memory at a time; further alerts join the group `OTHER` of their kind."""
MOST_EXAMPLES: Final = 5
LONGEST: Final = 100
"""Characters of a service, a reason or an example; a longer one is cut off."""
LONGEST_WAIT: Final = 10
"""A group is due this many quiet times after its first alert, even if alerts keep coming."""
OTHER: Final = "other"


@dataclass(slots=True)
class AlertGroup:
    """Alerts that are sent as one: how many, from when to when, and the first few ids.

    `due` and `latest` are seconds of `Clock.monotonic`, so setting the clock delays no alert.
    """

    kind: AlertKind
    service: str
    reason: str
    first_at: datetime
    last_at: datetime
    latest: float
    due: float = 0.0
    count: int = 0
    examples: list[str] = field(default_factory=list)

    def add(self, alert: Alert, now: datetime) -> None:
        """Add an alert that was raised `now`."""
        self.count += alert.count
        self.last_at = now
        example = _plain(alert.example)
        if example and example not in self.examples and len(self.examples) < MOST_EXAMPLES:
            self.examples.append(example)

    @property
    def text(self) -> str:
        """What happened, and the commands that show it."""
        of = f" of {self.service}" if self.service else ""
        match self.kind:
            case AlertKind.DEAD_LETTER:
                what = f"{_number(self.count, 'new dead letter')}{of}"
                commands = [["dead-letters", "list", *self._filters("service", "reason")]]
            case AlertKind.JOB_EXHAUSTED:
                what = f"{_number(self.count, 'job')}{of} exhausted"
                commands = self._lists_of_jobs("exhausted")
            case AlertKind.JOB_COMPENSATED:
                what = f"{_number(self.count, 'job')}{of} rolled back, the bot is not deleted"
                commands = self._lists_of_jobs("compensated")
            case AlertKind.JOBS_WAITING:
                what = f"{_number(self.count, 'job')}{of} waiting for a worker"
                commands = self._lists_of_jobs("pending", "failed")
            case AlertKind.JOBS_STALE:
                what = f"{_number(self.count, 'job')}{of} found stale by a sweep"
                commands = self._lists_of_jobs("in_progress")
            case AlertKind.BREAKER_OPEN:
                what = f"calls{of} to an external API fail and are suspended"
                commands = [["doctor"], *self._lists_of_jobs("pending")]
            case AlertKind.JOBS_IMMOVABLE:
                what = f"{_number(self.count, 'job')}{of} that no sweep can move on"
                commands = self._lists_of_jobs("failed", "in_progress")
            case AlertKind.REQUESTS_NEAR:
                what = f"{_number(self.count, 'open request')}{of} near the deadline"
                commands = self._lists_of_requests("open")
            case AlertKind.REQUESTS_OVERDUE:
                what = f"{_number(self.count, 'open request')}{of} past the deadline"
                commands = self._lists_of_requests("overdue")
            case AlertKind.REQUESTS_MISSING:
                what = f"{_number(self.count, 'request')}{of} without a job"
                commands = [["doctor"], *self._lists_of_requests("open")]
        shown = " and ".join(shlex.join(["botdel", *command]) for command in commands)
        return f"{what} ({self.reason}): {shown}"

    @property
    def facts(self) -> dict[str, object]:
        """The same as fields."""
        return {
            "kind": self.kind.value,
            "service": self.service,
            "reason": self.reason,
            "count": self.count,
            "examples": self.examples,
            "first_at": rfc3339(self.first_at),
            "last_at": rfc3339(self.last_at),
        }

    @property
    def body(self) -> dict[str, object]:
        """What is posted. Slack wants three characters of `text` escaped, and no others:
        https://docs.slack.dev/messaging/formatting-message-text
        """
        return {"text": html.escape(self.text, quote=False), **self.facts}

    def _lists_of_jobs(self, *statuses: str) -> list[list[str]]:
        """A command for each status, because `botdel jobs list` takes one."""
        listed = ["jobs", "list", *self._filters("service"), "--status"]
        return [[*listed, status] for status in statuses]

    def _lists_of_requests(self, state: str) -> list[list[str]]:
        owed_by = ["--owed-by", self.service] if self.service else []
        return [["requests", "list", *owed_by, "--state", state]]

    def _filters(self, *names: str) -> list[str]:
        """The options of a command that filter by the known ones of `names`."""
        known = {"service": self.service, "reason": "" if self.reason == OTHER else self.reason}
        return [part for name in names if known[name] for part in (f"--{name}", known[name])]


class AlertGroups:
    """The alerts that are not sent yet, in at most `MOST_GROUPS` groups and one for each kind.

    A group is due once nothing was added to it for `quiet` seconds, and at the latest
    `LONGEST_WAIT` times that after its first alert.
    """

    def __init__(self, clock: Clock, quiet: float) -> None:
        self._clock = clock
        self._quiet = quiet
        self._groups: dict[tuple[AlertKind, str, str], AlertGroup] = {}

    def __len__(self) -> int:
        return len(self._groups)

    def add(self, alert: Alert) -> None:
        """Add the alert to its group."""
        key = (alert.kind, _plain(alert.service), _plain(alert.reason))
        if key not in self._groups and len(self) >= MOST_GROUPS:
            key = (alert.kind, "", OTHER)
        now, elapsed = self._clock.now(), self._clock.monotonic()
        latest = elapsed + self._quiet * LONGEST_WAIT
        group = self._groups.setdefault(key, AlertGroup(*key, now, now, latest))
        group.add(alert, now)
        group.due = min(elapsed + self._quiet, group.latest)

    def due_in(self) -> float:
        """Seconds until the first group is due. Further alerts can only postpone that."""
        return min(group.due for group in self._groups.values()) - self._clock.monotonic()

    def take(self) -> AlertGroup:
        """Remove and return the group that is due first. Later alerts open another one."""
        return self._groups.pop(min(self._groups, key=lambda key: self._groups[key].due))


def _plain(text: str) -> str:
    """`text` on one line, cut to `LONGEST`, without characters that cannot be printed."""
    printable = (character if character.isprintable() else " " for character in text[:LONGEST])
    return " ".join("".join(printable).split())


def _number(count: int, noun: str) -> str:
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"
