"""When a run may call a step, and what an error of the call means for the job."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from deletion.errors import Busy, Interrupted, Parked, TransientError
from deletion.plan import Step


class Calls:
    """The calls that one run makes to its steps."""

    def __init__(self, stopping: asyncio.Event) -> None:
        self._stopping = stopping
        self._errors: dict[str, TransientError] = {}  # the latest one of each step

    def check_stopping(self) -> None:
        """Raise `Interrupted` once the process was asked to stop."""
        if self._stopping.is_set():
            raise Interrupted("the process was asked to stop")

    @contextmanager
    def to(self, step: Step) -> Iterator[None]:
        """Call `step` inside the block.

        A step that parks after an error in this run has spent its attempt. If it parks only because
        no permit is free, the earlier error is raised instead, and its retries go on.
        """
        try:
            yield
        except TransientError as error:
            self._errors[step.name] = error
            raise
        except Busy as busy:
            if before := self._errors.get(step.name):
                raise before.with_traceback(None) from busy
            raise
        except Parked as parked:
            parked.spent = parked.spent or step.name in self._errors
            raise
