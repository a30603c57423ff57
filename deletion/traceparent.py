"""The `traceparent` of a span, by which others name it: W3C Trace Context, level 2.

https://www.w3.org/TR/trace-context-2/
"""

import re
from typing import Final, NamedTuple

SAMPLED: Final = 0b01
"""The flag of a span that is recorded."""
RANDOM: Final = 0b10
"""The flag of a trace id that is random."""
SPAN_BITS: Final = 64
TRACE_BITS: Final = 128

_parse = re.compile(
    r"(?P<version>(?!ff)[0-9a-f]{2})"
    r"-(?P<trace>(?!0{32})[0-9a-f]{32})"
    r"-(?P<span>(?!0{16})[0-9a-f]{16})"
    r"-(?P<flags>[0-9a-f]{2})"
    r"(?P<more>-.*)?"
).fullmatch


class Remote(NamedTuple):
    """A span of any process. The ids are hex."""

    trace_id: str
    span_id: str
    flags: int


def parsed(traceparent: str | None) -> Remote | None:
    """The span that a `traceparent` names, or None if its format is wrong.

    A version above 00 may have more fields at its end, which are left out. So are flags of later
    versions: nobody here knows what they promise.
    """
    found = _parse(traceparent) if traceparent else None
    if found is None or (found["version"] == "00" and found["more"]):
        return None
    return Remote(found["trace"], found["span"], int(found["flags"], 16) & (SAMPLED | RANDOM))


def formatted(trace_id: str, span_id: str, flags: int) -> str:
    """The `traceparent` of a span."""
    return f"00-{trace_id}-{span_id}-{flags:02x}"
