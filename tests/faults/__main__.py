"""`python -m tests.faults [--seed N] [--deletions 500] [--minutes 10]`: the long form.

Prints what it injects as it goes, and at the end what it found. Exits 1 when an invariant did not
hold; the same seed then gives the same schedule.
"""

import argparse
import asyncio
import secrets
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

from rich.console import Console
from rich.table import Table

from botdel.local.broker_choice import choose_broker
from tests.faults.schedule import schedule
from tests.faults.suite import play

FAULT_EVERY = 2.0
"""Seconds, on average."""


async def main(seed: int, deletions: int, seconds: float, folder: Path) -> int:
    """Play it through; the exit code."""
    out = Console(width=None if sys.stdout.isatty() else 120, highlight=False)
    began = time.monotonic()

    def tell(line: str) -> None:
        out.print(f"{time.monotonic() - began:7.1f} s  {line}", soft_wrap=True)

    out.print(f"seed {seed}: {deletions} deletions in {seconds:g} s; logs and ledger in {folder}")
    chosen = choose_broker(folder=folder / "pubsub")
    out.print(f"over {chosen}")
    plan = schedule(seed, seconds, round(seconds / FAULT_EVERY))
    out.print("clocks off by", *(f"{name} {skew:+.2f} s" for name, skew in plan.skews.items()))
    report = await play(plan, deletions, seconds, folder, tell, chosen.broker)
    injected = sorted(report.injected.items())
    out.print(_table("injected", {f"{kind} {target}": n for (kind, target), n in injected}))
    out.print(_table("found", report.found))
    for line in report.broken:
        out.print(f"broken: {line}", style="red", soft_wrap=True)
    out.print(f"seed {seed}: {'broken' if report.broken else 'every invariant held'}")
    return 1 if report.broken else 0


def _table(title: str, figures: Mapping[str, object]) -> Table:
    table = Table("what", "how often", title=title)
    for name, value in figures.items():
        table.add_row(name, str(value))
    return table


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="tests.faults")
    parser.add_argument("--seed", type=int, default=secrets.randbelow(2**32))
    parser.add_argument("--deletions", type=int, default=500)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--folder", type=Path, help="kept; a temporary one by default")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = chosen.folder or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        seconds = chosen.minutes * 60
        sys.exit(asyncio.run(main(chosen.seed, chosen.deletions, seconds, folder)))
