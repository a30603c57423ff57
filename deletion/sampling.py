"""Which traces are recorded."""

from dataclasses import dataclass

from deletion.traceparent import SAMPLED, SPAN_BITS


@dataclass(frozen=True, slots=True)
class Sampling:
    """Which traces are recorded: of those that begin here, the fraction `ratio` (0 to 1).

    Those that continue another one follow it, unless `follows` is off. As in OpenTelemetry, the
    trace id decides, so that all processes with the same ratio choose the same traces.
    """

    ratio: float = 1.0
    follows: bool = True

    def flags(self, trace_id: str, before: bool | None) -> int:
        """Return `SAMPLED` or 0 for a new span. `before` says whether the span that it continues,
        or one that it is linked to, is recorded; None if there is no such span.
        """
        if self.follows and before is not None:
            return SAMPLED if before else 0
        if self.ratio in {0, 1}:
            return SAMPLED if self.ratio else 0
        return SAMPLED if int(trace_id[16:], 16) < round(self.ratio * 2**SPAN_BITS) else 0
