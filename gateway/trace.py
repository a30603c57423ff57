"""Which trace an event belongs to."""

from collections.abc import Callable
from typing import Final

from fastapi import Request

from deletion.message_spans import TRACEPARENT, MessageSpans
from deletion.traceparent import RANDOM, SAMPLED, SPAN_BITS, TRACE_BITS, formatted, parsed

RandomBytes = Callable[[int], bytes]
"""Returns that many unpredictable bytes, as `os.urandom` does."""

TraceOf = Callable[[Request], str]
"""Returns the `traceparent` of a request's event."""

_FRESH_FLAGS: Final = SAMPLED | RANDOM
"""Sampled, because deletions are rare and worth a trace."""


def continued(traceparent: str | None, random_bytes: RandomBytes) -> str:
    """A `traceparent` for a new span, in the caller's trace or in a new one.

    A header with a wrong format is ignored.
    """
    span_id = random_bytes(SPAN_BITS // 8).hex()
    if parent := parsed(traceparent):
        return formatted(parent.trace_id, span_id, parent.flags)
    return formatted(random_bytes(TRACE_BITS // 8).hex(), span_id, _FRESH_FLAGS)


def trace_of(spans: MessageSpans | None, random_bytes: RandomBytes) -> TraceOf:
    """How events get their `traceparent`: from a span of their own, or by `continued`."""
    if spans is None:
        return lambda request: continued(_header(request), random_bytes)
    return lambda _: spans.created()  # below the span of the request, which has read the header


def _header(request: Request) -> str | None:
    given = request.headers.getlist(TRACEPARENT)
    return given[0] if len(given) == 1 else None
