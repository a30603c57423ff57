"""Which trace an event belongs to: https://www.w3.org/TR/trace-context-2/."""

import re
from collections.abc import Callable
from typing import Final

RandomBytes = Callable[[int], bytes]
"""Returns that many unpredictable bytes, as `os.urandom` does."""

_FRESH_FLAGS: Final = 0b11
"""Sampled, because deletions are rare and worth a trace, and with a random trace id."""
_KNOWN_FLAGS: Final = 0b11
"""Flags of later versions are not passed on: nobody here knows what they promise."""

_parse = re.compile(
    r"(?P<version>(?!ff)[0-9a-f]{2})"
    r"-(?P<trace>(?!0{32})[0-9a-f]{32})"
    r"-(?!0{16})[0-9a-f]{16}"
    r"-(?P<flags>[0-9a-f]{2})"
    r"(?P<more>-.*)?"
).fullmatch


def continued(traceparent: str | None, random_bytes: RandomBytes) -> str:
    """A `traceparent` for a new span, in the caller's trace or in a new one.

    A header with a wrong format is ignored. A version above 00 may have more fields at its end,
    which are left out.
    """
    parent = _parse(traceparent) if traceparent else None
    if parent is None or (parent["version"] == "00" and parent["more"]):
        return _format(random_bytes(16).hex(), random_bytes, _FRESH_FLAGS)
    return _format(parent["trace"], random_bytes, int(parent["flags"], 16) & _KNOWN_FLAGS)


def _format(trace_id: str, random_bytes: RandomBytes, flags: int) -> str:
    return f"00-{trace_id}-{random_bytes(8).hex()}-{flags:02x}"
