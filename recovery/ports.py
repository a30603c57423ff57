"""The port of sweeps. Its docstrings are the specification, which tests/conformance checks."""

from datetime import datetime
from typing import Protocol

from deletion.sweep import Sweep


class SweepStore(Protocol):
    """Holds the sweeps, and decides which one runs: at most one at a time.

    The store enforces that in the insert itself, never by reading first. Every method raises
    `StoreUnavailable` when the database does not answer.
    """

    def new_id(self) -> str:
        """An unused sweep id, 24 hex digits."""

    async def start(self, sweep: Sweep, *, silent_since: datetime) -> Sweep:
        """Insert `sweep`, which is running, and return it; or return the one that runs already.

        A running one that was last modified before `silent_since` is ended as failed first, at the
        time `sweep` started. Repeating a call whose answer was lost returns `sweep` as it is stored
        by then.
        """

    async def save(self, sweep: Sweep) -> None:
        """Write `sweep` over its stored form, if that is still running; atomic.

        Raises `LeaseLost` if another process has ended it: this process then stops the sweep.
        Repeating a write that succeeded succeeds again.
        """

    async def get(self, sweep_id: str) -> Sweep | None:
        """The sweep with this id (24 hex digits), or None."""
