"""A job store in memory for hundreds of thousands of jobs: a query costs what it finds.

`MemoryJobStore` looks through all jobs. Here a table of SQLite, in memory too, holds the fields by
which MongoDB's indexes find jobs, under the same indexes. It passes the same conformance suite.
"""

import sqlite3
import weakref
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from datetime import UTC, datetime
from typing import Final

from deletion.job import Change, Job, Status
from deletion.ledger import Coverage
from deletion.ports import Read, Recorded, Unreadable
from tests.support.memory_requests import MemoryCoverageStore, coverage_of
from tests.support.memory_stores import MemoryJobStore

TABLE: Final = """
    CREATE TABLE jobs (id TEXT PRIMARY KEY, bot TEXT, service TEXT, status TEXT, modified INTEGER,
                       queue TEXT, due INTEGER) WITHOUT ROWID;
    CREATE TABLE unreported (id TEXT PRIMARY KEY, at INTEGER) WITHOUT ROWID;
    CREATE INDEX bot_service ON jobs (bot, service);
    CREATE INDEX status_modified ON jobs (status, modified);
    CREATE INDEX queue_due ON jobs (queue, due) WHERE due IS NOT NULL;
    CREATE INDEX unreported_at ON unreported (at);
"""
WRITE: Final = """
    INSERT INTO jobs VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
    ON CONFLICT (id) DO UPDATE SET status = ?4, modified = ?5, queue = ?6, due = ?7
"""
OF_BOT: Final = "SELECT id FROM jobs WHERE bot = ? AND service = ?"
DUE: Final = "FROM jobs WHERE queue = ? AND due BETWEEN ? AND ?"
SILENT: Final = "FROM jobs WHERE status = ? AND modified BETWEEN ? AND ?"
UNREPORTED: Final = "FROM unreported WHERE at BETWEEN ? AND ?"


class _Jobs(dict[str, Job]):
    """The jobs by id. Each that is set is entered into the table."""

    def __init__(self, table: sqlite3.Connection) -> None:
        super().__init__()
        self._table = table

    def __setitem__(self, job_id: str, job: Job) -> None:
        super().__setitem__(job_id, job)
        due = _milliseconds(job.due) if job.due and job.queue else None
        modified = _milliseconds(job.last_modified_at)
        of = (job_id, job.bot_id, job.service, job.status.value)
        self._table.execute(WRITE, (*of, modified, job.queue, due))


class LargeJobStore(MemoryJobStore):
    """The same store with indexes.

    `calls` counts the calls of each method, `read` the jobs that queries returned, and `matched`
    those in the range of each query for due jobs: what a server reads that pushes no limit down.
    """

    def __init__(self, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        super().__init__(now)
        # It is closed by whichever thread collects the garbage.
        self.table = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
        weakref.finalize(self, self.table.close)
        self.table.executescript(TABLE)
        self.jobs = _Jobs(self.table)
        self.calls: Counter[str] = Counter()
        self.read = self.matched = 0

    async def record(self, jobs: Sequence[Job]) -> list[Recorded]:
        """See the port."""
        self.calls["record"] += 1
        return await super().record(jobs)

    async def due(self, queue: str, since: datetime, until: datetime, limit: int) -> Sequence[Read]:
        """See the port."""
        self.calls["due"] += 1
        between = (queue, _milliseconds(since), _milliseconds(until))
        self.matched += int(self.table.execute(f"SELECT count(*) {DUE}", between).fetchone()[0])
        return self._found(DUE, between, "due, id", limit)

    async def apply(self, change: Change) -> Job:
        """See the port."""
        self.calls["apply"] += 1
        return await super().apply(change)

    async def silent(
        self,
        status: Status,
        *,
        since: datetime,
        until: datetime,
        skip: Collection[str] = (),
        limit: int,
    ) -> Sequence[Read]:
        """See the port."""
        self.calls["silent"] += 1
        between = (status.value, _milliseconds(since), _milliseconds(until))
        found = self._found(SILENT, between, "modified, id", limit + len(skip))
        return [job for job in found if job.id not in skip][:limit]

    async def find(
        self,
        *,
        service: str | None = None,
        bot_id: str | None = None,
        status: Status | None = None,
        limit: int,
    ) -> Sequence[Read]:
        """See the port. Only a bot's jobs are found by an index."""
        self.calls["find"] += 1
        if bot_id is None:
            return await super().find(service=service, status=status, limit=limit)
        of_bot = sorted(self.of_bots([bot_id]), key=lambda job: (job.created_at, job.id))
        fitting = (job for job in reversed(of_bot) if service in (None, job.service))
        return [job for job in fitting if status in (None, job.status)][:limit]

    async def count(self, status: Status) -> int:
        """See the port."""
        self.calls["count"] += 1
        query = "SELECT count(*) FROM jobs WHERE status = ?"
        return int(self.table.execute(query, (status.value,)).fetchone()[0])

    async def count_waiting(self, status: Status, *, until: datetime, limit: int) -> int:
        """See the port."""
        self.calls["count_waiting"] += 1
        at = _milliseconds(until)
        waiting = f"SELECT 1 {SILENT} AND coalesce(due, 0) <= ? LIMIT ?"
        found = self.table.execute(waiting, (status.value, 0, at, at, limit))
        return len(found.fetchall())

    def marked(self, since: datetime, until: datetime, limit: int) -> list[Job]:
        """The unreported jobs completed in [since, until], the earliest first."""
        self.calls["unreported"] += 1
        between = (_milliseconds(since), _milliseconds(until))
        return self._found(UNREPORTED, between, "at, id", limit)

    def unmark(self, job_id: str) -> None:
        """The ledger has settled what this job covers."""
        self.unreported.pop(job_id, None)
        self.table.execute("DELETE FROM unreported WHERE id = ?", (job_id,))

    def of_bots(self, bots: Collection[str]) -> list[Job]:
        """The jobs of these bots, of any service."""
        query = "SELECT id FROM jobs WHERE bot = ?"
        ids = (row[0] for bot in sorted(set(bots)) for row in self.table.execute(query, (bot,)))
        return [self.jobs[job_id] for job_id in ids]

    def _found(
        self, query: str, between: tuple[str | int, ...], order: str, limit: int
    ) -> list[Job]:
        """The first `limit` jobs of a range."""
        rows = self.table.execute(
            f"SELECT id {query} ORDER BY {order} LIMIT ?",
            (*between, limit),
        ).fetchall()
        self.read += len(rows)
        return [self.jobs[job_id] for (job_id,) in rows]

    def _mark(self, job: Job) -> None:
        super()._mark(job)
        if at := self.unreported.get(job.id):
            entry = (job.id, _milliseconds(at))
            self.table.execute("INSERT OR REPLACE INTO unreported VALUES (?, ?)", entry)

    def _of_bot(self, job: Job) -> list[Job]:
        rows = self.table.execute(OF_BOT, (job.bot_id, job.service)).fetchall()
        return [self.jobs[job_id] for (job_id,) in rows]


class LargeCoverageStore(MemoryCoverageStore):
    """`deletion.ledger.CoverageStore` on the jobs of a `LargeJobStore`."""

    def __init__(self, store: LargeJobStore) -> None:
        super().__init__(store)
        self._large = store

    async def unreported(
        self, since: datetime, until: datetime, limit: int
    ) -> Sequence[Coverage | Unreadable]:
        """See the port."""
        return [coverage_of(job) for job in self._large.marked(since, until, limit)]

    async def mark_reported(self, job_ids: Collection[str]) -> None:
        """See the port."""
        self._large.calls["mark_reported"] += 1
        for job_id in job_ids:
            self._large.unmark(job_id)

    async def covering(self, requests: Collection[tuple[str, str]]) -> Sequence[Coverage]:
        """See the port."""
        self._large.calls["covering"] += 1
        return [
            coverage_of(job)
            for job in self._large.of_bots([bot_id for bot_id, _ in requests])
            if any((job.bot_id, event) in requests for event in job.event_ids)
        ]


def _milliseconds(at: datetime) -> int:
    return round(at.timestamp() * 1000)
