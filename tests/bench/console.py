"""Console: what each list, the overview and a status cost among few jobs and among many.

Every page has as many records as the console asks for. Each figure is measured among 1,000 jobs,
the baseline, and alternately among the other sizes, on the same server, and has its ratio to the
baseline. The number of documents that the queries of a page match is what it reads on a server that
does not push a limit down, whatever else the machine does. `tests/bench/crowd.py` describes the
jobs.
"""

import asyncio
import statistics
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Final

from motor.motor_asyncio import AsyncIOMotorClient
from rich.table import Table

from console.snapshots import Snapshots
from deletion.adapters.mongo.connection import Client, Database, connect
from deletion.process.problems import Problem
from tests.bench.crowd import Built, UnsyncedMongo, build, database_of, folder
from tests.bench.reads import Read, reads
from tests.support.measured import Listener

SIZES: Final = (1_000, 100_000, 1_000_000)
ROUNDS: Final = 9
TABS: Final = (
    "overview, again",
    "jobs, newest",
    "jobs failed, newest",
    "jobs of a service, newest",
    "requests, newest",
    "requests open, newest",
    "a deletion that waits",
)
"""The pages that seven browsers show."""
POLLED_EVERY: Final = 1.0
"""Seconds between two reads of a page that is shown, however many browsers show it."""
BESIDE_TABS: Final = "jobs of a service, from the middle"
LOOKS: Final = 40
LOOKED_APART: Final = 0.2
"""Seconds between two looks at a page."""


@dataclass(frozen=True, slots=True)
class Row:
    """Milliseconds by the number of jobs, and the documents that its queries match, if counted."""

    what: str
    took: Mapping[int, float]
    matched: Mapping[int, int]


async def bench(sizes: Sequence[int] = SIZES, rounds: int = ROUNDS) -> AsyncIterator[Table]:
    """Yields a table of how the databases were built, one of what each page costs, and one of what
    a page costs while seven browsers show others.
    """
    async with UnsyncedMongo(folder()) as server:
        client = connect(server.uri)
        built = {size: await build(client, size) for size in sizes}
        yield _built_table(built)
        yield _table(await _pages(client, server.uri, sizes, rounds), sizes)
        yield _tabs_table({size: await _beside_tabs(client, size) for size in sizes})
        client.close()


async def _pages(client: Client, uri: str, sizes: Sequence[int], rounds: int) -> list[Row]:
    pages = {size: await reads(client, database_of(size)) for size in sizes}
    rows = []
    for what in pages[sizes[0]]:
        taken: dict[int, list[float]] = {size: [] for size in sizes}
        for _ in range(rounds + 1):
            for size in sizes:
                taken[size].append(await _took(pages[size][what]))
        medians = {size: statistics.median(taken[size][1:]) * 1000 for size in sizes}
        matched = {size: await _matched(uri, database_of(size), what) for size in sizes}
        rows.append(Row(what, medians, matched))
    return rows


async def _took(read: Read) -> float:
    """Seconds."""
    begun = time.perf_counter()
    await read()
    return time.perf_counter() - begun


async def _matched(uri: str, database: str, what: str) -> int:
    """How many documents match the queries of a page, all together."""
    listener = Listener()
    client: Client = AsyncIOMotorClient(uri, tz_aware=True, event_listeners=[listener])
    read = (await reads(client, database))[what]
    await read()  # an overview keeps counts that it has made
    listener.on = True
    await read()
    listener.on = False
    counts = [await _count(client[database], each) for each in listener.queries]
    client.close()
    return sum(counts)


async def _count(database: Database, query: Mapping[str, object]) -> int:
    return await database[str(query["find"])].count_documents(query["filter"])  # type: ignore[arg-type]


@dataclass(slots=True)
class Beside:
    """Seconds that looks at a page took with no tab open and beside seven, and what those got."""

    alone: float = 0.0
    beside: float = 0.0
    polls: list[float] = field(default_factory=list)
    too_late: int = 0


async def _beside_tabs(client: Client, size: int) -> Beside:
    """Look at a page while nobody else does, then while seven tabs poll others."""
    pages, found = await reads(client, database_of(size)), Beside()
    found.alone = await _looked(pages[BESIDE_TABS])
    async with _tabs(pages, found):
        found.beside = await _looked(pages[BESIDE_TABS])
    return found


async def _looked(read: Read) -> float:
    """The median of some looks, with a pause between two as a person makes it."""
    taken = []
    for _ in range(LOOKS):
        await asyncio.sleep(LOOKED_APART)  # so that they are spread over the polls
        taken.append(await _took(read))
    return statistics.median(taken)


@asynccontextmanager
async def _tabs(pages: Mapping[str, Read], found: Beside) -> AsyncIterator[None]:
    """Polls what tabs show, as the console does: each page is read at most once a second."""
    snapshots = Snapshots(time.monotonic)

    async def poll(what: str) -> None:
        while True:
            begun = time.perf_counter()
            try:
                await snapshots.get(what, pages[what])
            except Problem:
                found.too_late += 1  # the page says so, and asks again
            found.polls.append(time.perf_counter() - begun)
            await asyncio.sleep(POLLED_EVERY)  # as long as a snapshot is kept

    polling = [asyncio.create_task(poll(what)) for what in TABS]
    try:
        yield
    finally:
        for task in polling:
            task.cancel()


def _tabs_table(found: Mapping[int, Beside]) -> Table:
    title = f"console: {BESIDE_TABS}, while seven tabs poll"
    columns = ("alone, ms", "beside, ms", "ratio", "a poll, ms", "p95, ms", "too late")
    table = Table("jobs", *columns, title=title)
    for size, each in found.items():
        polls = statistics.quantiles(each.polls, n=20)
        looks = [each.alone, each.beside]
        figures = [f"{seconds * 1000:,.1f}" for seconds in (*looks, polls[9], polls[18])]
        figures.insert(2, f"{each.beside / each.alone:.2f}")
        table.add_row(f"{size:,}", *figures, f"{each.too_late} of {len(each.polls)}")
    return table


def _built_table(built: Mapping[int, Built]) -> Table:
    table = Table("jobs", "inserting, s", "indexing, s", title="console: building the databases")
    for size, took in built.items():
        figures = (f"{took.inserting:,.0f}", f"{took.indexing:,.0f}")
        table.add_row(f"{size:,}", *(figures if took.inserting else ("kept", "kept")))
    return table


def _table(rows: Sequence[Row], sizes: Sequence[int]) -> Table:
    columns = [f"{size:,}" for size in sizes]
    table = Table("ms among … jobs", *columns, "ratio", "matched", title="console: what pages cost")
    for row in rows:
        took = [row.took[size] for size in sizes]
        matched = [f"{row.matched[size]:,}" for size in sizes if size in row.matched]
        figures = [f"{each:,.1f}" for each in took]
        table.add_row(row.what, *figures, f"{took[-1] / took[0]:.2f}", " · ".join(matched))
    return table
