"""What the test of a step supplies, and how the suite drives the step."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping
from contextlib import aclosing, asynccontextmanager
from typing import ClassVar, Final, TypeVar

import pytest

from deletion.errors import Parked, TransientError
from deletion.plan import Batch, Step
from deletion.testing.bots import neighbours, new_bot
from deletion.testing.faults import Faults

T = TypeVar("T")
Moment = Callable[[], Awaitable[None]]
"""Returns at the moment when work is to be cancelled."""
CURSOR_CHARACTERS: Final = 4096
"""Longest cursor, in characters. Every checkpoint writes it, so it must say where to go on, not
list what is done."""
MOST_BATCHES: Final = 1000
MOST_CALLS: Final = 200
"""How many calls one deletion may make; with more, the suite would take too long."""
PASSING: Final = (TransientError, Parked)
"""Errors after which a run goes on from its checkpoint, at once or later."""
PASSES: Final = 3
"""As many as the runner makes: see `deletion.runner.PASSES`."""
TURNS: Final = (1, 2, 3, 5, 8)
"""Turns of the event loop after which work is cancelled, for steps that never really wait."""
SHARES: Final = (0.1, 0.3, 0.5, 0.7, 0.9)
"""When work is cancelled, as a share of the time that it takes, for steps that wait."""


def expect(kept: bool, rule: str) -> None:
    """Fail the test with `rule` unless it is `kept`."""
    __tracebackhide__ = True
    if not kept:
        pytest.fail(rule)


class StepRig:
    """A step to test, and the data around it."""

    items: ClassVar[int] = 7
    """Items that a bot has in most tests; 1 if a bot can have no more. Keep it small."""
    batch_size: ClassVar[int] = 2
    """Most items that one batch of `step()` deletes; fewer than `items`, unless that is 1."""
    call_seconds: ClassVar[float] = 30.0
    """Timeout of a batch and of a read-back, in seconds."""
    cancel_seconds: ClassVar[float] = 5.0
    """Timeout for work to end after it is cancelled, in seconds."""
    unexercised: ClassVar[Mapping[str, str]] = {}
    """The names of tests that do not fit the step, each with the reason."""

    # --- what the team supplies

    def step(self) -> Step:
        """A new instance of the step, as another process would make it, over the same data."""
        raise NotImplementedError(f"{type(self).__name__}.step: return the step to be tested")

    def faulty_step(self, faults: Faults) -> Step:
        """Like `step`, but each call of its client is inside `with faults.call():`."""
        raise NotImplementedError(
            f"{type(self).__name__}.faulty_step: return the step with each call of its client "
            "inside `with faults.call():`, or give a reason in `unexercised` for each test of it"
        )

    async def plant(self, bot_id: str, number: int) -> None:
        """Write `number` items of the bot, in addition to those it has, without the step."""
        raise NotImplementedError(f"{type(self).__name__}.plant: write items of a bot")

    async def count(self, bot_id: str) -> int:
        """How many items the bot has, found without the step."""
        raise NotImplementedError(f"{type(self).__name__}.count: count the items of a bot")

    def fault(self) -> Exception:
        """What the step's client raises when its connection is cut."""
        return ConnectionError("injected by the conformance suite")

    # --- how it is shown

    @asynccontextmanager
    async def _bot(self, items: int | None = None, *, between: bool = True) -> AsyncIterator[str]:
        """A bot with data, and neighbours whose data must still be there at the end."""
        bot, wanted = new_bot(), self.items if items is None else items
        near = neighbours(bot) if between else []
        for other in near:
            await self.plant(other, 1)
        if wanted:
            await self.plant(bot, wanted)
        found = await self.count(bot)
        expect(found == wanted, f"`plant` wrote {wanted} items, but `count` finds {found}")
        yield bot
        for other in near:
            left = await self.count(other)
            expect(left == 1, f"after deleting {bot}, {other} has {left} items, expected 1")

    async def _walk(
        self, step: Step, bot: str, cursor: str | None = None, *, batches: int = MOST_BATCHES
    ) -> list[Batch]:
        """Run from `cursor` to the end, or for that many `batches`, and close the generator."""
        taken: list[Batch] = []
        async with aclosing(step.delete(bot, cursor)) as walk:
            while len(taken) < batches and (batch := await self._within(anext(walk, None))):
                long = len(batch.cursor or "")
                expect(
                    long <= CURSOR_CHARACTERS,
                    f"expected a cursor of at most {CURSOR_CHARACTERS} characters, found {long}",
                )
                taken.append(batch)
        expect(len(taken) < MOST_BATCHES, f"expected an end before {MOST_BATCHES} batches")
        return taken

    async def _run(self, step: Step, bot: str, cursors: list[str | None]) -> None:
        """Run from the last of `cursors`, and append the cursor of each batch."""
        async with aclosing(step.delete(bot, cursors[-1])) as walk:
            async for batch in walk:
                cursors.append(batch.cursor)

    async def _number_of_batches(self) -> int:
        async with self._bot() as bot:
            return len(await self._walk(self.step(), bot))

    async def _within(self, work: Awaitable[T]) -> T:
        try:
            async with asyncio.timeout(self.call_seconds) as bound:
                return await work
        except TimeoutError:
            if bound.expired():
                pytest.fail(f"expected an answer within {self.call_seconds:g} s")
            raise

    async def _check_read_back(self, step: Step, bot: str) -> None:
        left = await self.count(bot)
        for asked in (step, self.step()):
            empty = await self._within(asked.is_empty(bot))
            expect(
                empty is (left == 0),
                f"items left: {left}, but `is_empty` returns {empty!r}",
            )
        expect(await self.count(bot) == left, "`is_empty` changed something")

    async def _check_gone(self, bot: str, when: str) -> None:
        left = await self.count(bot)
        expect(left == 0, f"{when}: {left} items are left")
        empty = await self._within(self.step().is_empty(bot))
        expect(empty is True, f"{when}: nothing is left, but `is_empty` returns {empty!r}")

    async def _cancel(self, moment: Moment, work: Coroutine[None, None, object]) -> None:
        """Cancel `work` at `moment`, and check that it ends so, unless it ended before."""
        task = asyncio.create_task(work)
        await moment()
        if not task.cancel():
            await task
            return
        await asyncio.wait({task}, timeout=self.cancel_seconds)
        expect(task.done(), f"still running {self.cancel_seconds:g} s after it was cancelled")
        if not task.cancelled():
            ended = task.exception() or "no error"
            pytest.fail(f"was cancelled but ended with {ended!r}: let CancelledError pass")

    async def _survive(self, step: Step, faults: Faults, bot: str, where: str) -> None:
        """Run as the runner does: after a transient error, go on from the latest checkpoint."""
        cursors: list[str | None] = [None]
        for _ in range(PASSES):
            try:
                await self._within(self._run(step, bot, cursors))
            except PASSING:
                continue
            except Exception as error:
                if not faults.raised:
                    raise
                pytest.fail(f"{where}: {no_transient(error)}")
            return

    def _each_call(self, calls: int) -> list[tuple[int, bool]]:
        """For each call: its number, and whether it is made and its answer lost."""
        expect(calls > 0, "no call went through `faults.call()`: see `StepRig.faulty_step`")
        expect(calls <= MOST_CALLS, f"{calls} calls: give a bot fewer `items`")
        return [(at, lost) for at in range(1, calls + 1) for lost in (False, True)]


def no_transient(error: Exception) -> str:
    return f"expected a TransientError, which is retried; found {type(error).__name__}: {error}"


def moments(seconds: float) -> list[Moment]:
    """When to cancel work that takes `seconds`."""

    def after_turns(turns: int) -> Moment:
        async def wait() -> None:
            for _ in range(turns):
                await asyncio.sleep(0)

        return wait

    def after(delay: float) -> Moment:
        return lambda: asyncio.sleep(delay)

    return [*map(after_turns, TURNS), *(after(seconds * share) for share in SHARES)]
