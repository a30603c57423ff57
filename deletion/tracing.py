"""Traces: spans, the one that is current, and the port that takes those that have ended.

A process without traces has no tracer, so that none can be called: everything that opens spans
takes `Tracer | None`. Spans are values of this module, not of a library, because they are opened
for every request: docs/decisions/0038.
"""

import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar, Token
from enum import Enum
from typing import Final, Protocol, Self

from deletion.sampling import Sampling
from deletion.traceparent import (
    LENGTH,
    RANDOM,
    SAMPLED,
    SPAN_BITS,
    TRACE_BITS,
    Remote,
    is_sampled,
)

ERROR_TYPE: Final = "error.type"
TRACE_DIGITS: Final = TRACE_BITS // 4

Attribute = str | int | float
Attributes = Mapping[str, Attribute]
"""Names and values by OpenTelemetry's conventions, or beginning with `botdel.`; never a bot."""
NOTHING: Final[Attributes] = {}


class Kind(Enum):
    """The kind of a span, as OpenTelemetry defines it."""

    INTERNAL = "internal"
    SERVER = "server"
    CLIENT = "client"
    PRODUCER = "producer"
    CONSUMER = "consumer"


INTERNAL: Final = Kind.INTERNAL
SERVER: Final = Kind.SERVER
PRODUCER: Final = Kind.PRODUCER
"""Constants for the kinds that every request needs: Python 3.11 looks a member up by a call."""


class Sink(Protocol):
    """Takes the spans that have ended. It never waits and never raises."""

    def admits(self) -> bool:
        """Whether there is room for a trace that begins now."""

    def put(self, span: "Span") -> None:
        """Keep `span` until it is exported, or drop it."""


class Span:
    """Current inside its `with` block, and ended by it. Times are nanoseconds since 1970.

    An error that leaves the block is kept as its type. Its text is not: it may name a bot. Spans
    may share `attributes`, so these are replaced and never modified.
    """

    __slots__ = (
        "_token",
        "attributes",
        "began",
        "ended",
        "error",
        "flags",
        "kind",
        "links",
        "name",
        "parent_id",
        "sink",
        "span_id",
        "trace_id",
    )

    def __init__(
        self,
        name: str,
        kind: Kind,
        trace_id: str,
        span_id: str,
        flags: int,
        parent_id: str | None,
        attributes: Attributes,
        links: tuple[str, ...],
        sink: Sink,
    ) -> None:
        self.name = name
        self.kind = kind
        self.trace_id = trace_id
        self.span_id = span_id
        self.flags = flags
        self.parent_id = parent_id
        self.attributes = attributes
        self.links = links
        self.error: str | None = None
        self.ended = 0
        self.sink = sink
        self._token: Token[Span | None] | None = None
        self.began = time.time_ns()

    @property
    def is_recorded(self) -> bool:
        """Whether it will be exported. A span that is not still has an id, for its children."""
        return bool(self.flags & SAMPLED)

    @property
    def traceparent(self) -> str:
        """How a message, a header or a record names this span."""
        return f"00-{self.trace_id}-{self.span_id}-0{self.flags}"

    def note(self, attributes: Attributes) -> None:
        """Add attributes that are known only now."""
        self.attributes = {**self.attributes, **attributes}

    def failed(self, error: str) -> None:
        """Note that the work failed; `error` is a type or a code, one of few values."""
        self.error = error
        self.attributes = {**self.attributes, ERROR_TYPE: error}

    def end(self) -> None:
        """End it now, and give it to the sink."""
        self.ended = time.time_ns()
        if self.flags & SAMPLED:
            self.sink.put(self)

    def drop(self) -> None:
        """Do not record it, whatever was decided when it began."""
        self.flags &= ~SAMPLED

    def enter(self) -> Self:
        """Make it current, as a `with` block does; the same task has to `leave` it."""
        self._token = _current.set(self)
        return self

    def leave(self) -> None:
        """End it; what was current before is current again."""
        if self._token:
            _current.reset(self._token)
            self._token = None  # it would keep the context alive, with all that is in it
        self.ended = time.time_ns()
        if self.flags & SAMPLED:
            self.sink.put(self)

    def __enter__(self) -> Self:
        return self.enter()

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind and not self.error:
            self.failed(kind.__name__)
        self.leave()


_current: Final[ContextVar[Span | None]] = ContextVar("span", default=None)


def current() -> Span | None:
    """The span that is current in this task or thread."""
    return _current.get()


class Tracer:
    """Opens spans. Those that are recorded go to `sink` when they end."""

    def __init__(
        self,
        sink: Sink,
        sampling: Sampling | None = None,
        *,
        random_bits: Callable[[int], int] = random.getrandbits,
    ) -> None:
        self._sink = sink
        self._sampling = sampling or Sampling()
        self._random_bits = random_bits

    def span(
        self,
        name: str,
        kind: Kind = INTERNAL,
        attributes: Attributes = NOTHING,
        *,
        links: Sequence[str | None] = (),
    ) -> Span:
        """A child of the current span; without one, the first of a trace.

        `links` are `traceparent` values; those whose format is wrong are not exported.
        """
        outer = _current.get()
        if outer is None:
            return self.root(name, kind, attributes, links=links)
        return Span(
            name,
            kind,
            outer.trace_id,
            self._new_id(),
            outer.flags,
            outer.span_id,
            attributes,
            _given(links) if links else (),
            self._sink,
        )

    def root(
        self,
        name: str,
        kind: Kind = INTERNAL,
        attributes: Attributes = NOTHING,
        *,
        parent: Remote | None = None,
        links: Sequence[str | None] = (),
    ) -> Span:
        """A span without a parent in this process, whatever is current.

        It continues the trace of `parent`, or begins one, which `links` connect with others. One
        that begins while the sink has no room is not recorded: a trace that is missing altogether
        misleads nobody, and costs less than one whose spans are recorded and then dropped.
        """
        linked = _given(links) if links else ()
        if parent:
            trace_id, span_id = parent.trace_id, self._new_id()
            flags = self._sampling.flags(trace_id, parent.flags & SAMPLED > 0)
            flags |= parent.flags & RANDOM
        else:
            both = self._new_id(TRACE_BITS + SPAN_BITS)
            trace_id, span_id = both[:TRACE_DIGITS], both[TRACE_DIGITS:]
            before = any(map(is_sampled, linked)) if linked else None
            flags = self._sampling.flags(trace_id, before) | RANDOM
            if flags & SAMPLED and not self._sink.admits():
                flags &= ~SAMPLED
        parent_id = parent.span_id if parent else None
        return Span(name, kind, trace_id, span_id, flags, parent_id, attributes, linked, self._sink)

    def _new_id(self, bits: int = SPAN_BITS) -> str:
        """Return a random id as hex. It is odd, so neither it nor the span id in its last 16 digits
        is 0. Formatting a number takes four times as long.
        """
        return (self._random_bits(bits) | 1).to_bytes(bits // 8).hex()


def _given(links: Sequence[str | None]) -> tuple[str, ...]:
    """Those that may be valid. A group has hundreds, which are parsed only when it is exported."""
    return tuple([link for link in links if link and len(link) >= LENGTH])


class NoSpan:
    """What a block has instead of a span while there is no tracer."""

    def note(self, attributes: Attributes) -> None:
        """Do nothing."""

    def failed(self, error: str) -> None:
        """Do nothing."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None: ...


NO_SPAN: Final = NoSpan()


@contextmanager
def muted() -> Iterator[NoSpan]:
    """Record no span inside the block. Log lines and messages still name the current one."""
    outer = _current.get()
    if outer is None:
        yield NO_SPAN
        return
    flags = outer.flags & ~SAMPLED
    named = (outer.name, outer.kind, outer.trace_id, outer.span_id, flags)
    token = _current.set(Span(*named, None, {}, (), outer.sink))
    try:
        yield NO_SPAN
    finally:
        _current.reset(token)
