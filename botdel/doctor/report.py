"""Prints the findings: as a table on a terminal, one line each elsewhere, or as JSON."""

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from typing import Final

from rich.table import Table
from rich.text import Text

from botdel.terminal import Terminal, console, printable
from deletion.doctor import Finding, Verdict
from deletion.process.run import escaped

MARKS: Final = {Verdict.OK: "✓", Verdict.SKIPPED: "-", Verdict.WARNING: "!", Verdict.FAILED: "✗"}
COLOURS: Final = {
    Verdict.OK: "green",
    Verdict.SKIPPED: "dim",
    Verdict.WARNING: "yellow",
    Verdict.FAILED: "red",
}


def show(findings: Sequence[Finding], *, as_json: bool) -> None:
    """Print the findings in order."""
    if as_json:
        print(json.dumps([asdict(finding) for finding in findings]))
    elif sys.stdout.isatty():
        tabulate(findings, console())
    else:
        for finding in findings:
            console().print(printable(line(finding)), soft_wrap=True)


def tabulate(findings: Sequence[Finding], out: Terminal) -> None:
    """Print a table, and below it the remedies unwrapped, so that a command can be copied."""
    table = Table.grid(padding=(0, 1))
    for finding in findings:
        mark = Text(MARKS[finding.status], style=COLOURS[finding.status])
        table.add_row(mark, finding.check, Text(escaped(finding.detail), overflow="fold"))
    out.print(table)
    for finding in findings:
        if finding.remedy:
            out.print(printable(f"{finding.check} → {finding.remedy}"), soft_wrap=True)


def line(finding: Finding) -> str:
    """Return a finding in one line: mark, check, detail, and its remedy after an arrow."""
    remedy = f" → {finding.remedy}" if finding.remedy else ""
    return f"{MARKS[finding.status]} {finding.check}: {finding.detail}{remedy}"
