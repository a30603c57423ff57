"""`make bench`: every figure, each with its ratio to a baseline of the same run.

`python -m tests.bench [NAME]...` runs some of them: gateway, intake, small-jobs, deletion, pace,
memory, scale, claims, sweep, ledger, breaker, console, objects, broker, traces. Each gets an
emulator and a database of its own, or what it needs. Takes about three quarters of an hour. The
first time `console` takes about 22 minutes more: it builds a database of a million jobs, which it
keeps in `build/bench`. Use a machine that does nothing else.
"""

import asyncio
import os
import sys
import tempfile
from collections.abc import Awaitable, Callable, Mapping
from contextlib import redirect_stdout
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.table import Table

from botdel.local.broker_choice import choose_broker
from botdel.local.database import EmbeddedMongo
from deletion.process.logs import configure
from tests.bench import (
    breaker,
    broker,
    claims,
    console,
    deletion,
    gateway,
    intake,
    ledger,
    memory,
    objects,
    pace,
    scale,
    small_jobs,
    sweep,
    traces,
)

Figures = Mapping[str, float]
OVER_BOTH: Final[Mapping[str, tuple[str, Callable[[str, str], Awaitable[Figures]]]]] = {
    "intake": ("events per second", intake.bench),
    "small-jobs": ("jobs per second", small_jobs.bench),
    "deletion": ("documents per second", deletion.bench),
    "pace": ("others beside a deletion", pace.bench),
    "memory": ("a consumer with a backlog", memory.bench),
    "scale": ("costs by backlog", scale.bench),
}
"""What needs a broker and a database."""
OVER_DATABASE: Final[Mapping[str, tuple[str, Callable[[str], Awaitable[Figures]]]]] = {
    "claims": ("eight at a time", claims.bench),
    "sweep": ("finding 100 jobs", sweep.bench),
    "ledger": ("settling what completes", ledger.bench),
    "breaker": ("an API that is down", breaker.bench),
}
NAMES: Final = ("gateway", *OVER_BOTH, *OVER_DATABASE, "console", "objects", "broker", "traces")


async def main(wanted: tuple[str, ...], out: Console) -> None:
    """Run the benchmarks that are wanted and print a table for each."""
    if "gateway" in wanted:
        async with choose_broker().broker as pubsub:
            for row in await gateway.bench(pubsub.host):
                out.print(_table("gateway: DELETEs per second", row))
    if "traces" in wanted:
        async with choose_broker().broker as pubsub:
            out.print(_table("traces: a gateway with them", await traces.bench(pubsub.host)))
    for name, (what, over_both) in OVER_BOTH.items():
        if name in wanted:
            with tempfile.TemporaryDirectory() as folder:
                async with (
                    choose_broker().broker as pubsub,
                    EmbeddedMongo(Path(folder)) as database,
                ):
                    found = await over_both(pubsub.host, database.uri)
                    out.print(_table(f"{name}: {what}", found))
    for name, (what, over_database) in OVER_DATABASE.items():
        if name in wanted:
            with tempfile.TemporaryDirectory() as folder:
                async with EmbeddedMongo(Path(folder)) as database:
                    out.print(_table(f"{name}: {what}", await over_database(database.uri)))
    if "console" in wanted:
        async for table in console.bench():
            out.print(table)
    if "objects" in wanted:
        out.print(_table("objects: objects per second", await objects.bench()))
    if "broker" in wanted:
        out.print(_table("broker: messages per second", await broker.bench()))


def _table(title: str, figures: Figures) -> Table:
    table = Table("figure", "value", title=title, min_width=len(title))
    for name, value in figures.items():
        table.add_row(name, f"{value:,.2f}")
    return table


if __name__ == "__main__":
    chosen = tuple(sys.argv[1:]) or NAMES
    if unknown := set(chosen) - set(NAMES):
        sys.exit(f"expected some of {', '.join(NAMES)}, found {', '.join(unknown)}")
    tables = Console(file=sys.stdout, width=None if sys.stdout.isatty() else 120)
    with Path(os.devnull).open("w") as nowhere, redirect_stdout(nowhere):
        configure("json")  # what runs in this process logs as a process of its own would
        asyncio.run(main(chosen, tables))
