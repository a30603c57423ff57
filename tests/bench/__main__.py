"""`make bench`: every figure, each with its ratio to a baseline of the same run.

`python -m tests.bench [gateway] [intake] [small-jobs] [deletion] [claims] [sweep]` runs some of
them. Each gets an emulator and a database of its own. Takes about fifteen minutes; use a machine
that does nothing else.
"""

import asyncio
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from rich.console import Console
from rich.table import Table

from botdel.local.database import EmbeddedMongo
from botdel.local.emulator import PubSubEmulator
from tests.bench import claims, deletion, gateway, intake, small_jobs, sweep

NAMES = ("gateway", "intake", "small-jobs", "deletion", "claims", "sweep")


async def main(wanted: tuple[str, ...]) -> None:
    """Run the benchmarks that are wanted and print a table for each."""
    out = Console(width=None if sys.stdout.isatty() else 120)
    if "gateway" in wanted:
        async with PubSubEmulator() as emulator:
            for row in await gateway.bench(emulator.host):
                out.print(_table("gateway: DELETEs per second", row))
    for name, module in (("intake", intake), ("small-jobs", small_jobs), ("deletion", deletion)):
        if name in wanted:
            with tempfile.TemporaryDirectory() as folder:
                async with PubSubEmulator() as emulator, EmbeddedMongo(Path(folder)) as database:
                    found = await module.bench(emulator.host, database.uri)
                    out.print(_table(f"{name}: each per second", found))
    if "claims" in wanted:
        with tempfile.TemporaryDirectory() as folder:
            async with EmbeddedMongo(Path(folder)) as database:
                out.print(_table("claims: eight at a time", await claims.bench(database.uri)))
    if "sweep" in wanted:
        with tempfile.TemporaryDirectory() as folder:
            async with EmbeddedMongo(Path(folder)) as database:
                out.print(_table("sweep: finding 100 jobs", await sweep.bench(database.uri)))


def _table(title: str, figures: Mapping[str, float]) -> Table:
    table = Table("figure", "value", title=title)
    for name, value in figures.items():
        table.add_row(name, f"{value:,.2f}")
    return table


if __name__ == "__main__":
    chosen = tuple(sys.argv[1:]) or NAMES
    if unknown := set(chosen) - set(NAMES):
        sys.exit(f"expected some of {', '.join(NAMES)}, found {', '.join(unknown)}")
    asyncio.run(main(chosen))
