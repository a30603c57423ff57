"""The port of sweeps. Its docstrings are the specification; tests/conformance runs it."""

from datetime import datetime
from typing import Protocol

from recovery.sweep import Sweep


class SweepStore(Protocol):
    """Holds the sweeps, and decides which one runs: at most one at a time.

    The store enforces that when it inserts, never by a read before it. Every method raises
    `StoreUnavailable` when the database does not answer.
    """

    def new_id(self) -> str:
        """An unused sweep id, 24 hex digits."""

    async def start(self, sweep: Sweep, *, silent_since: datetime) -> Sweep:
        """Insert `sweep`, which runs, and answer with it; or with the one that runs already.

        A running one that was last modified before `silent_since` is given up first, at the
        time `sweep` started. Repeating a call whose answer was lost returns `sweep` as
        it is stored by then.
        """

    async def save(self, sweep: Sweep) -> None:
        """Write `sweep` in place of its stored form, if that still runs.

        Atomic. Raises `LeaseLost` otherwise: it was given up, so whoever runs it stops.
        Repeating a write that succeeded succeeds again.
        """

    async def get(self, sweep_id: str) -> Sweep | None:
        """The sweep of that id (24 hex digits)."""
