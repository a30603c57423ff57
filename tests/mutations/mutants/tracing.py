"""Traces: deletion/tracing.py, what opens spans, and what exports them."""

from typing import Final

from tests.mutations.mutants.base import TRACES, UNIT, Mutant

MUTANTS: Final = (
    Mutant(
        "every batch has a span",
        "deletion/runner/spans.py",
        "return number <= FIRST or number & (number - 1) == 0",
        "return True",
        TRACES,
    ),
    Mutant(
        "a run is not linked to its request",
        "deletion/runner/spans.py",
        "links=[job.traceparent]",
        "links=[]",
        TRACES,
    ),
    Mutant(
        "a span has the path, which names a bot",
        "deletion/process/http_spans.py",
        'span.name = f"{name} {template}"',
        "span.name = f\"{name} {scope['path']}\"",
        TRACES,
    ),
    Mutant(
        "spans wait without a bound",
        "deletion/adapters/traces.py",
        "if len(waiting) >= QUEUE_LIMIT:",
        "if False:",
        TRACES,
    ),
    Mutant(
        "a trace begins that has no room",
        "deletion/adapters/traces.py",
        "if len(self._waiting) < ADMITTED_LIMIT:",
        "if True:",
        TRACES,
    ),
    Mutant(
        "what is lost while an exporter hangs for ever is in no log",
        "deletion/adapters/traces.py",
        "        if now - since >= REPORT_SECONDS:\n",
        "        if False:\n",
        TRACES,
    ),
    Mutant(
        "a trace is recorded from its middle on",
        "deletion/tracing.py",
        "                flags &= ~SAMPLED\n",
        "                pass\n",
        TRACES,
    ),
    Mutant(
        "a process ends only when its exporter does",
        "deletion/adapters/traces.py",
        "while self._thread.is_alive() and time.monotonic() < until:",
        "while self._thread.is_alive():",
        TRACES,
    ),
    Mutant(
        "a command has a span below one that is not recorded",
        "deletion/adapters/mongo/command_spans.py",
        "if outer is None or not outer.is_recorded:",
        "if False:",
        TRACES,
    ),
    Mutant(
        "an empty pull has a span",
        "deletion/message_spans.py",
        "        if deliveries:\n            self._received(began, deliveries)",
        "        self._received(began, deliveries)",
        TRACES,
    ),
    Mutant(
        "a trace that its caller does not record is recorded",
        "deletion/sampling.py",
        "return SAMPLED if before else 0",
        "return SAMPLED",
        TRACES,
    ),
    Mutant(
        "a pass of the ledger that found nothing to do has a span",
        "recovery/ledger/part.py",
        "            if records:",
        "            if True:",
        ("unit",),
    ),
    Mutant(
        "probes of the console have spans",
        "console/web.py",
        "    return not path.startswith(UNTRACED)",
        "    return True",
        ("unit",),
    ),
    Mutant(
        "a stranger's request has a span",
        "deletion/process/http_spans.py",
        "    if ADMITTED not in scope:",
        "    if False:",
        TRACES,
    ),
    Mutant(
        "whoever shows a wrong token has a span",
        "deletion/process/tokens.py",
        "        if name is None:\n",
        "        admitted(request.scope)\n        if name is None:\n",
        UNIT,
    ),
)
