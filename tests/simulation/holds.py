"""Who may delete: the rules of a run, looked at where the product asks for a batch."""

import asyncio
from typing import Any
from weakref import WeakSet

from deletion.job import Job

Run = tuple[str, str, str]
"""Process, service and bot."""


class Holds:
    """What each process has claimed, and when it last wrote to it. Times are the loop's.

    A run deletes in one task, which also writes the checkpoint of each batch.
    """

    def __init__(self, stale_after: float) -> None:
        self._stale_after = stale_after
        self._wrote: dict[Run, float] = {}
        self._unwritten: WeakSet[asyncio.Task[Any]] = WeakSet()
        self.broken: list[str] = []

    def wrote(self, job: Job) -> None:
        """A write to the job was accepted; its owner's name begins with that of the process."""
        process, _, _ = job.claimed_by.rpartition("/")
        self._wrote[process, job.service, job.bot_id] = asyncio.get_running_loop().time()
        if task := asyncio.current_task():
            self._unwritten.discard(task)

    def asks(self, run: Run) -> None:
        """A batch is asked for: of a job that was claimed, one at a time, after a sign of life."""
        if run not in self._wrote:
            self.broken.append(f"{run} deletes what it never claimed")
        elif asyncio.current_task() in self._unwritten:
            self.broken.append(f"{run} goes on without a checkpoint")
        elif asyncio.get_running_loop().time() - self._wrote[run] > self._stale_after:
            self.broken.append(f"{run} goes on after a silence without proving its hold")

    def got(self) -> None:
        """A batch is gone, and this task knows it."""
        if task := asyncio.current_task():
            self._unwritten.add(task)
