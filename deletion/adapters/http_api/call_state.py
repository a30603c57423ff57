"""What the checkpoint of an HTTP step keeps, so that a resumed run repeats no work."""

import json
import secrets
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

VERIFY: Final = "verify"
"""In place of a location: the host named none, so `verify` says when it is done."""


@dataclass(frozen=True, slots=True)
class CallState:
    """Where one call stands. `key` is the Idempotency-Key of every try of it. Once the host has
    accepted the call with 202, `location` is where to ask what became of it, and `since` is when it
    was accepted first. `forgotten` counts how often it had nothing at its `location`, so that the
    call had to be made again.
    """

    key: str
    location: str | None = None
    since: datetime | None = None
    forgotten: int = 0

    @classmethod
    def begun(cls) -> "CallState":
        """A call that was not made yet."""
        return cls(secrets.token_hex(16))

    @classmethod
    def read(cls, cursor: str | None) -> "CallState | None":
        """None for a cursor that no `CallState` wrote: the step begins again."""
        try:
            found = json.loads(cursor or "")
            location, since = found.get("location"), found.get("since")
            return cls(
                _text(found["key"]),
                None if location is None else _text(location),
                None if since is None else datetime.fromisoformat(since),
                _number(found.get("forgotten", 0)),
            )
        except (ValueError, KeyError, TypeError, AttributeError):
            return None

    @property
    def cursor(self) -> str:
        """As text, for the checkpoint."""
        since = None if self.since is None else self.since.isoformat()
        every: dict[str, object] = {"key": self.key, "location": self.location, "since": since}
        every["forgotten"] = self.forgotten or None
        return json.dumps({name: value for name, value in every.items() if value is not None})

    def accepted(self, now: datetime, location: str) -> "CallState":
        """The host works on it. The first 202 counts."""
        return replace(self, location=location, since=self.since or now)

    def forgot(self) -> "CallState":
        """The host has nothing at `location` any more: only the call itself can find out."""
        return replace(self, location=None, forgotten=self.forgotten + 1)


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(type(value).__name__)
    return value


def _number(value: object) -> int:
    if not isinstance(value, int):
        raise TypeError(type(value).__name__)
    return value
