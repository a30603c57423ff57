"""Traces: spans, the one that is current, and the port that takes those that have ended.

A process without traces has no tracer, so that none can be called: everything that opens spans
takes `Tracer | None`. Spans are values of this module, not of a library, because they are opened
for every request: docs/decisions/0038.
"""

import random
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar, Token
from dataclasses import dataclass
from enum import Enum
from typing import Final, Protocol, Self

from deletion.traceparent import RANDOM, SAMPLED, SPAN_BITS, TRACE_BITS, Remote, formatted, parsed

ERROR_TYPE: Final = "error.type"

Attribute = str | int | float
Attributes = Mapping[str, Attribute]
"""Names and values by OpenTelemetry's conventions, or beginning with `botdel.`; never a bot."""
NOTHING: Final[Attributes] = {}


class Kind(Enum):
    """What a span is to others: see OpenTelemetry's kinds of spans."""

    INTERNAL = "internal"
    SERVER = "server"
    CLIENT = "client"
    PRODUCER = "producer"
    CONSUMER = "consumer"


class Sink(Protocol):
    """Takes the spans that have ended. It never waits and never raises."""

    def put(self, span: "Span") -> None:
        """Keep `span` until it is exported, or drop it."""


class Span:
    """Current inside its `with` block, and ended by it. Times are nanoseconds since 1970.

    An error that leaves the block is kept as its type. Its text is not: it may name a bot.
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
        place: Remote,
        parent_id: str | None,
        attributes: Attributes,
        links: tuple[Remote, ...],
        sink: Sink,
    ) -> None:
        self.name = name
        self.kind = kind
        self.trace_id, self.span_id, self.flags = place
        self.parent_id = parent_id
        self.attributes = dict(attributes)
        self.links = links
        self.error: str | None = None
        self.ended = 0
        self.sink = sink
        self._token: Token[Span | None] | None = None
        self.began = time.time_ns()

    @property
    def is_recorded(self) -> bool:
        """Whether it will be exported. One that is not has an id all the same, for others."""
        return bool(self.flags & SAMPLED)

    @property
    def traceparent(self) -> str:
        """How a message, a header or a record names this span."""
        return formatted(self.trace_id, self.span_id, self.flags)

    def note(self, attributes: Attributes) -> None:
        """Add what is known only by now."""
        self.attributes.update(attributes)

    def failed(self, error: str) -> None:
        """Note that what it is about failed; `error` is one of few values."""
        self.error = error
        self.attributes[ERROR_TYPE] = error

    def end(self) -> None:
        """End it now, and give it to the sink."""
        self.ended = time.time_ns()
        if self.flags & SAMPLED:
            self.sink.put(self)

    def __enter__(self) -> Self:
        self._token = _current.set(self)
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if self._token:
            _current.reset(self._token)
        if kind and not self.error:
            self.failed(kind.__name__)
        self.end()


_current: Final[ContextVar[Span | None]] = ContextVar("span", default=None)


def current() -> Span | None:
    """The span that is current in this task or thread."""
    return _current.get()


@dataclass(frozen=True, slots=True)
class Sampling:
    """Which traces are recorded: `share` (0 to 1) of those that begin here.

    Those that continue another one follow it, unless `follows` is off. As in OpenTelemetry, a share
    is taken by the trace id, so that all processes with the same share choose the same traces.
    """

    share: float = 1.0
    follows: bool = True

    def flags(self, trace_id: str, before: Iterable[Remote]) -> int:
        """`SAMPLED` or 0 for a span that continues the spans `before`, or is linked to them.

        One of them that is recorded suffices.
        """
        if self.follows and (flags := [span.flags for span in before]):
            return SAMPLED if any(each & SAMPLED for each in flags) else 0
        if self.share >= 1:
            return SAMPLED
        return SAMPLED if int(trace_id[16:], 16) < round(self.share * 2**SPAN_BITS) else 0


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
        kind: Kind = Kind.INTERNAL,
        attributes: Attributes = NOTHING,
        *,
        links: Iterable[str | None] = (),
    ) -> Span:
        """A child of the current span; without one, the first of a trace.

        `links` are `traceparent` values. Those whose format is wrong are left out.
        """
        outer = _current.get()
        if outer is None:
            return self.root(name, kind, attributes, links=links)
        place = Remote(outer.trace_id, self._new_id(), outer.flags)
        return Span(name, kind, place, outer.span_id, attributes, _valid(links), self._sink)

    def root(
        self,
        name: str,
        kind: Kind = Kind.INTERNAL,
        attributes: Attributes = NOTHING,
        *,
        parent: Remote | None = None,
        links: Iterable[str | None] = (),
    ) -> Span:
        """A span without a parent in this process, whatever is current.

        It continues the trace of `parent`, or begins one, which `links` connect with others.
        """
        linked = _valid(links)
        if parent:
            trace_id, is_random = parent.trace_id, parent.flags & RANDOM
        else:
            trace_id, is_random = f"{self._random_bits(TRACE_BITS) or 1:032x}", RANDOM
        flags = self._sampling.flags(trace_id, (parent,) if parent else linked) | is_random
        place = Remote(trace_id, self._new_id(), flags)
        return Span(name, kind, place, parent and parent.span_id, attributes, linked, self._sink)

    def _new_id(self) -> str:
        return f"{self._random_bits(SPAN_BITS) or 1:016x}"


def _valid(links: Iterable[str | None]) -> tuple[Remote, ...]:
    return tuple(link for link in map(parsed, links) if link)


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
    place = Remote(outer.trace_id, outer.span_id, outer.flags & ~SAMPLED)
    token = _current.set(Span(outer.name, outer.kind, place, None, NOTHING, (), outer.sink))
    try:
        yield NO_SPAN
    finally:
        _current.reset(token)
