"""What the checkpoint of an HTTP step keeps, so that a resumed run repeats no work."""

import json
import secrets
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

VERIFY: Final = "verify"
"""Stands for a location when the host named none: `verify` then shows when the call is done."""


@dataclass(frozen=True, slots=True)
class CallState:
    """The state of one call. Every try of it sends `key` as its Idempotency-Key.

    Once the host has accepted the call with 202, `location` is the URL to poll, and `since` is when
    the host first accepted it. `forgotten` counts how often the host had nothing at `location`, so
    that the call had to be made again.
    """

    key: str
    location: str | None = None
    since: datetime | None = None
    forgotten: int = 0
    polls: int = 0

    @classmethod
    def begun(cls) -> "CallState":
        """The state of a call that was not made yet."""
        return cls(secrets.token_hex(16))

    @classmethod
    def read(cls, cursor: str | None) -> "CallState | None":
        """Parse `cursor`. Returns None if no `CallState` wrote it: the step then begins again."""
        try:
            found = json.loads(cursor or "")
            location, since = found.get("location"), found.get("since")
            return cls(
                _text(found["key"]),
                None if location is None else _text(location),
                None if since is None else datetime.fromisoformat(since),
                _number(found.get("forgotten", 0)),
                _number(found.get("polls", 0)),
            )
        except (ValueError, KeyError, TypeError, AttributeError):
            return None

    @property
    def cursor(self) -> str:
        """The state as JSON, for the checkpoint."""
        since = None if self.since is None else self.since.isoformat()
        every: dict[str, object] = {"key": self.key, "location": self.location, "since": since}
        every["forgotten"] = self.forgotten or None
        every["polls"] = self.polls or None
        return json.dumps({name: value for name, value in every.items() if value is not None})

    def accepted(self, now: datetime, location: str) -> "CallState":
        """The state after a 202. The first one sets `since`."""
        return replace(self, location=location, since=self.since or now)

    def polled(self, location: str) -> "CallState":
        """The state after a poll whose answer says that the host still works on it."""
        return replace(self, location=location, polls=self.polls + 1)

    def forgot(self) -> "CallState":
        """The state when nothing is at `location` any more: the call has to be made again."""
        return replace(self, location=None, forgotten=self.forgotten + 1)


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(type(value).__name__)
    return value


def _number(value: object) -> int:
    if not isinstance(value, int):
        raise TypeError(type(value).__name__)
    return value
