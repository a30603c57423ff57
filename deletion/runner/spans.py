"""The spans of runs: one trace for each attempt, linked to the request; steps and batches below.

Of a million batches 31 have a span, so that no trace grows with the data. The others' database
commands have none either.
"""

from contextlib import AbstractContextManager
from typing import Final

from deletion.job import Job
from deletion.tracing import NO_SPAN, Attribute, NoSpan, Span, Tracer, muted

FIRST: Final = 16
"""How many batches of a step have a span each; after them, each power of two has one."""
DELETED: Final = "botdel.deleted"
"""The attribute with the number of items that were deleted."""
PAUSED: Final = frozenset({"Parked", "Busy"})
"""Types of failures that are no errors of a run: it goes on later."""


def has_span(number: int) -> bool:
    """Whether the batch with this number, from 1, has a span."""
    return number <= FIRST or number & (number - 1) == 0


class RunSpans:
    """The spans of one process's runs: none without a tracer."""

    def __init__(self, tracer: Tracer | None) -> None:
        self._tracer = tracer

    def attempt(self, job: Job) -> Span | NoSpan:
        """The root of the trace of a run."""
        if self._tracer is None:
            return NO_SPAN
        attributes: dict[str, Attribute] = {
            "botdel.service": job.service,
            "botdel.job.id": job.id,
            "botdel.event.id": job.event_id,
            "botdel.attempt": job.attempt,
        }
        return self._tracer.root(
            f"run {job.service}", attributes=attributes, links=[job.traceparent]
        )

    def step(self, name: str, *, is_rollback: bool) -> Span | NoSpan:
        """One step, or its compensation, with everything until its last checkpoint."""
        return self._of_step("compensate" if is_rollback else "step", name)

    def read_back(self, name: str) -> Span | NoSpan:
        """One look at whether a step still finds data."""
        return self._of_step("read back", name)

    def batch(self, number: int) -> AbstractContextManager[Span | NoSpan]:
        """One batch and its checkpoint; batches are numbered from 1 in each step of a run."""
        if self._tracer is None:
            return NO_SPAN
        if not has_span(number):
            return muted()
        return self._tracer.span("batch", attributes={"botdel.batch.number": number})

    def _of_step(self, what: str, name: str) -> Span | NoSpan:
        if self._tracer is None:
            return NO_SPAN
        return self._tracer.span(f"{what} {name}", attributes={"botdel.step": name})


def note_end(span: Span | NoSpan, job: Job) -> None:
    """Note how a run left its job."""
    span.note({"botdel.job.status": job.status.value})
    failure = job.failure
    if failure and not failure.interrupted and failure.type not in PAUSED:
        span.failed(failure.type)
