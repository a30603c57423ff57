"""Keeps each step to its pace, over all runs of a process.

Read `Pacer.turn` first: come to the front → pause → run the batch → measure it. A *ticket* is the
place of a run in the queue of those that share the step. At the front, the run *pauses* until the
latest batch, of whichever run, has taken no more than the step's *busy share* of the time since it
began, and longer under pressure. Then the run has its *turn*, which is one batch. A *wait* is what
is reported of the queue and of the pause.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Final

from deletion.clock import Clock
from deletion.pace import UNPACED, Pace
from deletion.plan import Plan, Sized, Step
from deletion.pressure import SAMPLE_SECONDS, PressureReader
from deletion.retry import pause
from deletion.tickets import Ticket

BY_SHARE, BY_PRESSURE = "busy_share", "pressure"
LONGEST_PAUSE_UNDER_PRESSURE: Final = 60.0
"""Longest pause after a batch because of pressure, in seconds, so that every job ends."""
LONGEST_PAUSE_AFTER_FAILURE: Final = 60.0
"""Longest pause after a batch that failed, in seconds: runs that retry share the turns, and a
longer pause would leave them few tries."""
LONGEST_PAUSE: Final = 600.0
"""Longest pause after a batch, in seconds, however long the batch took."""
MICROSECOND: Final = 0.000_001
"""The shortest wait, in seconds, so that a rounding error cannot loop for ever."""
SLOWEST: Final = 10
"""Just below `wait_above`, a step's busy share is divided by `1 + SLOWEST`."""
SHRINK, GROW = 0.25, 2.0
"""Bounds of the factor by which the size of a batch may change."""


@dataclass(frozen=True, slots=True)
class Wait:
    """A wait before a batch: `kind` as metrics name it, `why` in words, e.g. `busy share 50 %`.

    `seconds` is how long it took, 0 when it begins.
    """

    kind: str
    why: str
    seconds: float = 0.0


OnWait = Callable[[Wait], Awaitable[None]]
"""Called when a wait begins, and again when it has ended."""


@dataclass(slots=True)
class Turn:
    """One batch: `size` is the number of items it may delete, `deleted` the number it did."""

    size: int
    deleted: int = 0


class Pacers:
    """The pacer of each step of a plan, shared by all runs of a process.

    `on_wait` is called with the step's name and each wait, `on_unread` with the step's name when
    its pressure could not be read.
    """

    def __init__(
        self,
        plan: Plan,
        clock: Clock,
        stopping: asyncio.Event,
        *,
        on_wait: Callable[[str, Wait], None] = lambda _step, _wait: None,
        on_unread: Callable[[str], None] = lambda _step: None,
    ) -> None:
        paced = [(step, plan.pace(step)) for step in plan.steps]
        paced += [(step, UNPACED) for step in plan.compensations.values()]  # they delete nothing
        self._pacers = {
            id(step): Pacer(step, pace, clock, stopping, on_wait=on_wait, on_unread=on_unread)
            for step, pace in paced
        }

    def of(self, step: Step) -> "Pacer":
        """The pacer of `step`, which is a step of the plan or a compensation."""
        return self._pacers[id(step)]


class Pacer:
    """The pace of one step in one process."""

    def __init__(
        self,
        step: Step,
        pace: Pace,
        clock: Clock,
        stopping: asyncio.Event,
        *,
        on_wait: Callable[[str, Wait], None],
        on_unread: Callable[[str], None],
    ) -> None:
        self._step = step
        self._pace = pace
        self._clock = clock
        self._stopping = stopping
        self._on_wait = on_wait
        pressure = pace.pressure
        self._reader = (
            PressureReader(step.name, pressure.gauge, clock, on_unread) if pressure else None
        )
        self._queue: deque[Ticket] = deque()
        self._latest_took = 0.0  # seconds of the latest batch
        self._latest_ended = clock.monotonic()
        self._longest_pause = LONGEST_PAUSE  # after it
        own = step.batch_size if isinstance(step, Sized) else 1
        self._most = pace.max_batch or own
        self._least = min(pace.min_batch, self._most)
        if pace.target_ms is not None:
            self._resize(self._least)

    @asynccontextmanager
    async def turn(self, on_wait: OnWait) -> AsyncIterator[Turn]:
        """Wait until the step's next batch may begin, then measure the block as that batch.

        When the process is asked to stop, the wait ends at once, so check for a stop first inside
        the block. A run that is cancelled leaves the queue.
        """
        if not self._pace.may_wait:
            async with self._measured() as turn:
                yield turn
            return
        ticket = Ticket(self._queue)
        try:
            await self._come_to_front(ticket, on_wait)
            await self._pause(on_wait)
            async with ticket.passed_on(self._clock), self._measured() as turn:
                yield turn
        finally:
            ticket.leave()

    async def _come_to_front(self, ticket: Ticket, on_wait: OnWait) -> None:
        if ticket.join():
            return
        async with self._waiting(Wait(BY_SHARE, self._share_in_words), on_wait):
            await ticket.wait(self._stopping)

    async def _pause(self, on_wait: OnWait) -> None:
        """Pause until the next batch may begin, reading the pressure again every few seconds."""
        while not self._stopping.is_set():
            wait, seconds = self._next_wait(await self._reader.value() if self._reader else None)
            if seconds < MICROSECOND:
                return
            async with self._waiting(wait, on_wait):
                await pause(self._clock, min(seconds, SAMPLE_SECONDS), self._stopping)

    def _next_wait(self, value: float | None) -> tuple[Wait, float]:
        """Why, and for how many more seconds, the next batch has to wait; `value` is the pressure.
        From `wait_above` on, that batch is also made as small as may be.
        """
        since = self._clock.monotonic() - self._latest_ended
        wait, seconds = Wait(BY_SHARE, self._share_in_words), self._pause_for(self._pace.busy_share)
        pressure = self._pace.pressure
        if pressure and value is not None and value > pressure.slow_above:
            level = pressure.level(value)
            slowed = self._slowed_pause(level)
            if slowed > seconds:
                wait, seconds = Wait(BY_PRESSURE, pressure.described(value)), slowed
            if level == 1:
                self._resize(self._least)
        return wait, seconds - since

    def _pause_for(self, busy_share: float) -> float:
        """Seconds of pause after the latest batch that make it `busy_share` of the time of both."""
        return min(self._longest_pause, self._latest_took * (1 / busy_share - 1))

    def _slowed_pause(self, level: float) -> float:
        """Seconds of pause after the latest batch at a `level` of pressure from 0 to 1."""
        if level == 1:
            return LONGEST_PAUSE_UNDER_PRESSURE
        busy_share = self._pace.busy_share / (1 + level * SLOWEST)
        return min(LONGEST_PAUSE_UNDER_PRESSURE, self._pause_for(busy_share))

    @asynccontextmanager
    async def _waiting(self, wait: Wait, on_wait: OnWait) -> AsyncIterator[None]:
        """Report that a wait begins, and how long it was."""
        self._on_wait(self._step.name, wait)
        await on_wait(wait)
        began = self._clock.monotonic()
        yield
        wait = replace(wait, seconds=self._clock.monotonic() - began)
        self._on_wait(self._step.name, wait)
        await on_wait(wait)

    @asynccontextmanager
    async def _measured(self) -> AsyncIterator[Turn]:
        """Measure the block as a batch: the pause after it and the size of the next follow."""
        turn, began = Turn(self._size), self._clock.monotonic()
        longest = LONGEST_PAUSE_AFTER_FAILURE
        try:
            yield turn
            longest = LONGEST_PAUSE
        finally:  # after an error too: a batch that was cut off was too large
            self._longest_pause = longest
            self._latest_ended = self._clock.monotonic()
            self._latest_took = self._latest_ended - began
            self._adapt_size(turn)

    def _adapt_size(self, turn: Turn) -> None:
        """Set the size of the next batch from the time that this one took.

        A batch that was not full, such as the last one of a bot, does not show how long a larger
        one takes.
        """
        if self._pace.target_ms is None:
            return
        factor = self._pace.target_ms / max(self._latest_took * 1000, 0.001)
        wanted = round(turn.size * min(GROW, max(SHRINK, factor)))
        if wanted < turn.size or turn.deleted >= turn.size:
            self._resize(wanted)

    @property
    def _size(self) -> int:
        return self._step.batch_size if isinstance(self._step, Sized) else 1

    def _resize(self, size: int) -> None:
        if isinstance(self._step, Sized):
            self._step.batch_size = min(self._most, max(self._least, size))

    @property
    def _share_in_words(self) -> str:
        return f"busy share {self._pace.busy_share * 100:g} %"
