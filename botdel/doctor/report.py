"""The findings for whoever reads them: a table on a terminal, a line each elsewhere, or JSON."""

import json
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from typing import Final

from rich.console import Console
from rich.table import Table
from rich.text import Text

from botdel.doctor.findings import Finding, Status

MARKS: Final = {Status.OK: "✓", Status.WARNING: "!", Status.FAILED: "✗"}
COLOURS: Final = {Status.OK: "green", Status.WARNING: "yellow", Status.FAILED: "red"}


def show(findings: Sequence[Finding], *, as_json: bool) -> None:
    """Print them in their order."""
    if as_json:
        print(json.dumps([asdict(finding) for finding in findings]))
    elif sys.stdout.isatty():
        tabulate(findings, Console())
    else:
        print("\n".join(map(line, findings)))


def tabulate(findings: Sequence[Finding], out: Console) -> None:
    """A table, and below it what to do: unbroken, so that a command can be copied."""
    table = Table.grid(padding=(0, 1))
    for finding in findings:
        mark = Text(MARKS[finding.status], style=COLOURS[finding.status])
        table.add_row(mark, finding.check, Text(finding.detail, overflow="fold"))
    out.print(table)
    for finding in findings:
        if finding.remedy:
            out.print(Text(f"{finding.check} → {finding.remedy}"), soft_wrap=True)


def line(finding: Finding) -> str:
    """One finding: mark, check, how it is, and after an arrow what to do."""
    remedy = f" → {finding.remedy}" if finding.remedy else ""
    return f"{MARKS[finding.status]} {finding.check}: {finding.detail}{remedy}"


@contextmanager
def progress() -> Iterator[Callable[[str], None]]:
    """A line that shows what is waited for, on a terminal alone; it is given the text."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield lambda _: None
        return
    with console.status("looking") as spinner:
        yield spinner.update
