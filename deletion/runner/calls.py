"""When a run may call a step, and what an error of the call means for the job."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from deletion.errors import Busy, Interrupted, Parked
from deletion.retry import Patience


class Calls:
    """The calls that one run makes to its steps."""

    def __init__(self, stopping: asyncio.Event, patience: Patience) -> None:
        self._stopping = stopping
        self._patience = patience
        self.has_tried = False
        """Whether the run has called a step, and has not waited because of its pace since."""

    def check_stopping(self) -> None:
        """Raise `Interrupted` once the process was asked to stop."""
        if self._stopping.is_set():
            raise Interrupted("the process was asked to stop")

    @contextmanager
    def one_try(self) -> Iterator[None]:
        """Call a step inside the block.

        A step that parks after an error, without progress in between, has spent its attempt. If it
        parks only because no permit is free, the earlier error is raised instead, and its retries
        go on.
        """
        try:
            yield
        except Busy as busy:
            if before := self._patience.latest:
                raise before.with_traceback(None) from busy
            raise
        except Parked as parked:
            parked.has_called = parked.has_called or self._patience.latest is not None
            raise
