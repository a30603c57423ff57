"""Writes the record of an action while it runs: what it is about to act on, then what came of it.

Each write is the run's heartbeat and its fence, so nothing is done that is not on record. A crash
leaves a record that says how far the action came, but not which of the records that were begun last
were done.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from itertools import islice
from typing import Final, NamedTuple, TypeVar

from deletion.clock import Clock
from deletion.errors import BotDeletionError, LeaseLost, StoreUnavailable, with_type
from deletion.operating.acting import R, Tally
from deletion.operating.ports import ActionStore
from deletion.operating.record import (
    MOST,
    Entries,
    Looks,
    OperatorAction,
    Order,
    Outcome,
    Run,
    Target,
    storable,
)
from deletion.retry import Retry

T = TypeVar("T")

TRIES: Final = 3
WRITE_SECONDS: Final = 20.0
"""How long a write of the record may take, including its repeats. A run acts for at most
`bulk.GROUP_SECONDS` after a write and then writes again, all within `record.SILENCE`."""
INTERRUPTED: Final = "interrupted: the process was asked to stop"


class _Write(NamedTuple):
    """A write of the record, and how many outcomes are on record after it."""

    before: OperatorAction
    after: OperatorAction
    entries: Entries
    written: tuple[int, int]


class Journal:
    """The record of an action that this process runs, whose outcomes are in `tally`.

    The writes raise `LeaseLost` once another run has taken the action over, and `StoreUnavailable`
    if none of `TRIES` tries succeeds within `WRITE_SECONDS`.
    """

    def __init__(
        self, store: ActionStore, action: OperatorAction, tally: Tally, clock: Clock
    ) -> None:
        self.action = action
        self.tally = tally
        self._store = store
        self._clock = clock
        self._written = (0, 0)
        """How many outcomes, done and refused, are on record."""
        self._unsure: _Write | None = None
        """The latest write, while nobody knows whether the database has taken it."""
        self._opening: OperatorAction | None = None
        """The action, while nobody knows whether the database has its record."""

    @classmethod
    async def opened(
        cls, store: ActionStore, order: Order, tally: Tally, clock: Clock
    ) -> "Journal":
        """Begin an action of a command, which chooses its records as it goes."""
        action = OperatorAction.started(store.new_id(), order, new_run(store, clock, order.by))
        await bounded(clock, lambda: store.insert(action))
        return cls(store, action, tally, clock)

    async def begin(self, begun: int) -> None:
        """Record that the targets up to the place `begun` are about to be acted on."""
        await self._write(begun=begun)

    async def add(self, targets: Sequence[Target]) -> None:
        """Record `targets` before they are acted on, in a further action if this one is full."""
        action = self.action
        if action.total + len(targets) > MOST or action.done + action.refused >= MOST:
            await self._continue()
        await self._write(targets, begun=self.action.total + len(targets))

    async def end(self, failure: str | None = None) -> None:
        """Record that the run has ended: complete, or failed with the reason."""
        await self._write(begun=self.action.begun, failure=failure, is_last=True)

    async def _continue(self) -> None:
        """End this action as complete, and go on in a further one."""
        await self.end()
        full = self.action
        run = new_run(self._store, self._clock, full.order.by)
        following = OperatorAction.started(
            self._store.new_id(), full.order, run, continues=full.continues or full.id
        )
        self.action = self._opening = following
        await self._make()

    async def _write(
        self,
        targets: Sequence[Target] = (),
        *,
        begun: int,
        failure: str | None = None,
        is_last: bool = False,
    ) -> None:
        """Write what is new in the tally, and `targets`, after a write that nobody is sure of."""
        await self._make()
        done, refused = self._written
        entries = Entries(
            targets,
            [
                *(Outcome(each) for each in self.tally.done[done:]),
                *(
                    Outcome(each, storable(why))
                    for each, why in islice(self.tally.refused.items(), refused, None)
                ),
            ],
        )
        written = len(self.tally.done), len(self.tally.refused)
        now = self._clock.now()
        after = self.action.added(entries, now, begun=begun)
        if is_last:
            after = after.ended(now, failure)
        self._unsure = _Write(self.action, after, entries, written)
        await self._make()

    async def _make(self) -> None:
        """Make the writes that nobody is sure of, if there are any: a repeat adds nothing twice."""
        if opening := self._opening:
            await bounded(self._clock, lambda: self._store.insert(opening))
            self._opening = None
        if self._unsure is None:
            return
        before, after, entries, written = self._unsure
        await bounded(self._clock, lambda: self._store.save(before, after, entries))
        self.action, self._written = after, written
        self._unsure = None


async def bounded(clock: Clock, write: Callable[[], Awaitable[T]]) -> T:
    """Return what `write` returns, after up to `TRIES` tries within `WRITE_SECONDS`.

    Raises what `write` raises, and `StoreUnavailable` when the time is up: whether the last try
    takes effect is then unknown.
    """
    try:
        async with asyncio.timeout(WRITE_SECONDS):
            return await Retry(clock, attempts=TRIES).call(write)
    except TimeoutError as error:
        what = f"the record of an action was not written within {WRITE_SECONDS:g} s"
        raise StoreUnavailable(what) from error


Before = Callable[[Sequence[R]], Awaitable[None]]


@asynccontextmanager
async def on_record(
    order: Order, tally: Tally, looks: Callable[[R], Looks], store: ActionStore, clock: Clock
) -> AsyncIterator[Before[R]]:
    """Record what is done in this block, by `order`. Yields what `act_on` awaits before it acts.

    What the block raises is recorded as the action's failure. Raises what `Journal` raises.
    """
    journal = await Journal.opened(store, order, tally, clock)

    async def before(records: Sequence[R]) -> None:
        await journal.add([Target(record.id, looks(record)) for record in records])

    try:
        yield before
    except BaseException as error:
        with suppress(LeaseLost, StoreUnavailable):  # the record then goes silent
            await journal.end(why_ended(error))
        raise
    await journal.end()


async def do_once(
    order: Order,
    target: Target | None,
    act: Callable[[], Awaitable[Outcome]],
    store: ActionStore,
    clock: Clock,
) -> Outcome:
    """Do one thing, recorded before it is done with its `target`, if that is known by then.

    Returns its outcome. Raises what `act` and `Journal` raise.
    """
    tally = Tally()
    journal = await Journal.opened(store, order, tally, clock)
    try:
        await journal.add([] if target is None else [target])
        outcome = await act()
    except BaseException as error:
        with suppress(LeaseLost, StoreUnavailable):
            await journal.end(why_ended(error))
        raise
    if outcome.refusal is None:
        tally.done.append(outcome.id)
    else:
        tally.refused[outcome.id] = outcome.refusal
    await journal.end()
    return outcome


def new_run(store: ActionStore, clock: Clock, by: str) -> Run:
    """Return a run that begins now."""
    return Run(by, clock.now(), claim=store.new_id())


def why_ended(error: BaseException) -> str:
    """Return why an action that raised `error` could not go on."""
    if isinstance(error, asyncio.CancelledError):
        return INTERRUPTED
    return str(error) if isinstance(error, BotDeletionError) else with_type(error)
