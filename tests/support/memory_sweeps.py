"""A sweep store in memory, for tests: it passes the conformance suite of the real one."""

from datetime import datetime
from itertools import count

from deletion.errors import LeaseLost
from recovery.sweep import Sweep, SweepStatus


class MemorySweepStore:
    """`recovery.ports.SweepStore` over a dict. No await inside a method: each is atomic."""

    def __init__(self) -> None:
        self.sweeps: dict[str, Sweep] = {}
        self._ids = count(1)

    def new_id(self) -> str:
        """See the port."""
        return f"{next(self._ids):024x}"

    async def start(self, sweep: Sweep, *, silent_since: datetime) -> Sweep:
        """See the port."""
        if sweep.id in self.sweeps:
            return self.sweeps[sweep.id]
        running = next((s for s in self.sweeps.values() if s.status is SweepStatus.RUNNING), None)
        if running and running.last_modified_at >= silent_since:
            return running
        if running:
            self.sweeps[running.id] = running.given_up(sweep.started_at)
        self.sweeps[sweep.id] = sweep
        return sweep

    async def save(self, sweep: Sweep) -> None:
        """See the port."""
        stored = self.sweeps.get(sweep.id)
        if stored is None or (stored != sweep and stored.status is not SweepStatus.RUNNING):
            raise LeaseLost(f"sweep {sweep.id} does not run any more")
        self.sweeps[sweep.id] = sweep

    async def get(self, sweep_id: str) -> Sweep | None:
        """See the port."""
        return self.sweeps.get(sweep_id)
