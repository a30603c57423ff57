"""The proof of the demo: its checks, how long each part took, and the end of its bars."""

import time
from collections.abc import Coroutine, Mapping
from dataclasses import dataclass
from typing import TypeVar

from rich.progress import TaskID
from rich.table import Table
from rich.text import Text

from botdel.terminal import Bars

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that the demo must show, and what it saw."""

    claim: str
    seen: str
    holds: bool


class Proof:
    """The checks of one run of the demo, in order, and the seconds that its parts took."""

    def __init__(self) -> None:
        self._checks: list[Check] = []
        self._times: dict[str, float] = {}

    @property
    def holds(self) -> bool:
        """Whether every check holds."""
        return all(check.holds for check in self._checks)

    def equal(self, claim: str, seen: int, expected: int) -> None:
        """Check that `expected` were `seen`."""
        self.between(claim, seen, expected, expected)

    def between(self, claim: str, seen: int, least: int = 1, most: float = float("inf")) -> None:
        """Check that at least `least` and at most `most` were `seen`."""
        self._checks.append(Check(claim, f"{seen:,}", least <= seen <= most))

    async def timed(self, what: str, work: Coroutine[None, None, T]) -> T:
        """Await `work`, and record how long it took."""
        began = time.monotonic()
        try:
            return await work
        finally:
            self._times[what] = time.monotonic() - began

    def table(self) -> Table:
        """Return each check with what was seen, and how long each part took."""
        table = Table("what", "seen", "", title="The proof")
        for check in self._checks:
            mark = Text("✓", "green") if check.holds else Text("✗", "red")
            table.add_row(check.claim, check.seen, mark)
        table.add_section()
        for what, seconds in self._times.items():
            table.add_row(what, f"{seconds:.1f} s", "")
        return table


def end_bars(
    progress: Bars,
    tasks: Mapping[str, TaskID],
    gone: Mapping[str, int],
    counted: Mapping[str, int],
) -> None:
    """Set each service's bar to what is gone, and print how much of that was not counted.

    What a killed run deleted after its last checkpoint is never counted.
    """
    for service, task in tasks.items():
        progress.update(task, completed=gone[service])
        if (uncounted := gone[service] - counted[service]) > 0:
            progress.console.print(
                f"{service}: {uncounted:,} items were deleted by the killed run and not counted"
            )
