"""The test suite for steps. `deletion.testing` shows how to use it."""

import asyncio
import time
import warnings
from contextlib import aclosing
from typing import Final, NoReturn

import pytest

from deletion.plan import Previewed, is_by_answer_only
from deletion.testing.faults import Faults
from deletion.testing.rig import (
    MOST_BATCHES,
    PASSES,
    PASSING,
    StepRig,
    expect,
    moments,
    no_transient,
)

PAUSE: Final = 0.05
"""Seconds to wait for a step to delete more than it was asked for."""


class NotExercised(UserWarning):
    """A part of the suite that a test class does not exercise, with the reason."""


class StepConformance(StepRig):
    """What every step must do. A class that inherits from it is collected if named `Test…`.

    Supply `step`, `plant`, `count` and `faulty_step`. Name a test that cannot be exercised in
    `unexercised`, with a reason: it is then skipped with a warning.
    """

    pytestmark = pytest.mark.asyncio

    def __init_subclass__(cls) -> None:
        if unknown := [name for name in cls.unexercised if not hasattr(cls, name)]:
            raise TypeError(f"{cls.__name__}.unexercised: there is no test {unknown[0]}")

    @pytest.fixture(autouse=True)
    def _says_what_is_not_exercised(self, request: pytest.FixtureRequest) -> None:
        name = request.node.originalname
        if reason := self.unexercised.get(name):
            self._decline(name, reason)

    def _decline(self, name: str, reason: str) -> NoReturn:
        warnings.warn(f"{type(self).__name__}.{name}: {reason}", NotExercised, stacklevel=1)
        pytest.skip(f"not exercised: {reason}")

    def _needs_a_read_back(self) -> None:
        if is_by_answer_only(self.step()):
            self._decline("is_empty", "the step cannot read back, and is confirmed by answer only")

    async def test_everything_of_the_bot_is_deleted_and_counted(self) -> None:
        async with self._bot() as bot:
            batches = await self._walk(self.step(), bot)
            expect(await self.count(bot) == 0, "expected a complete run to leave nothing")
            deleted = sum(batch.deleted for batch in batches)
            expect(
                deleted == self.items,
                f"expected the batches to count the {self.items} items there were, found {deleted}",
            )
            early = [batch for batch in batches[:-1] if batch.last]
            expect(not early, "expected `last` to be set on the last batch only")

    async def test_a_batch_is_bounded_and_the_next_is_not_begun_before_it_is_asked_for(
        self,
    ) -> None:
        async with self._bot() as bot:
            left = self.items
            async with aclosing(self.step().delete(bot, None)) as walk:
                while batch := await self._within(anext(walk, None)):
                    now = await self.count(bot)
                    expect(
                        left - now <= self.batch_size,
                        f"expected at most {self.batch_size} items in one batch, "
                        f"{left - now} are gone",
                    )
                    expect(
                        batch.deleted == left - now,
                        f"expected a batch to count {left - now}, found {batch.deleted}",
                    )
                    left = now
                    await asyncio.sleep(PAUSE)
                    expect(await self.count(bot) == left, "deleted more than it was asked for")

    async def test_a_run_that_is_closed_deletes_nothing_more(self) -> None:
        async with self._bot() as bot:
            walk = self.step().delete(bot, None)
            await self._within(anext(walk, None))
            left = await self.count(bot)
            await self._within(walk.aclose())
            await asyncio.sleep(PAUSE)
            expect(await self.count(bot) == left, "deleted more after it was closed")

    async def test_a_run_is_resumed_from_every_cursor(self) -> None:
        """Another process resumes it, and knows only the cursor."""
        for done in range(await self._number_of_batches() + 1):
            async with self._bot() as bot:
                before = await self._walk(self.step(), bot, batches=done)
                later = await self._walk(self.step(), bot, before[-1].cursor if before else None)
                await self._check_gone(bot, f"resumed after batch {done}")
                deleted = sum(batch.deleted for batch in (*before, *later))
                expect(
                    deleted == self.items,
                    f"resumed after batch {done}: expected {self.items} counted, found {deleted}",
                )

    async def test_a_run_is_resumed_where_the_last_checkpoint_was_lost(self) -> None:
        """The process was killed between a batch and its checkpoint, so the batch is repeated."""
        for lost in range(1, await self._number_of_batches() + 1):
            async with self._bot() as bot:
                before = await self._walk(self.step(), bot, batches=lost)
                cursor = before[-2].cursor if len(before) > 1 else None
                await self._walk(self.step(), bot, cursor)
                await self._check_gone(bot, f"resumed before batch {lost}, which was done")

    async def test_a_deletion_may_be_repeated(self) -> None:
        async with self._bot() as bot:
            batches = await self._walk(self.step(), bot)
            for cursor in {None, *(batch.cursor for batch in batches)}:
                again = await self._walk(self.step(), bot, cursor)
                deleted = sum(batch.deleted for batch in again)
                expect(deleted == 0, f"repeated from {cursor}: nothing was left, counts {deleted}")
                await self._check_gone(bot, f"repeated from {cursor}")

    async def test_a_bot_without_data_is_no_error(self) -> None:
        async with self._bot(items=0) as bot:
            batches = await self._walk(self.step(), bot)
            deleted = sum(batch.deleted for batch in batches)
            expect(deleted == 0, f"the bot had no data, but the step counts {deleted}")
            await self._check_gone(bot, "nothing was there")

    async def test_two_runs_at_once_do_no_harm(self) -> None:
        """A paused process may wake up while another one runs its job."""
        async with self._bot() as bot:
            await asyncio.gather(self._walk(self.step(), bot), self._walk(self.step(), bot))
            await self._walk(self.step(), bot)
            await self._check_gone(bot, "deleted by two at once")

    async def test_what_is_written_during_a_run_is_found(self) -> None:
        self._needs_a_read_back()
        async with self._bot() as bot:
            step = self.step()
            async with aclosing(step.delete(bot, None)) as walk:
                await self._within(anext(walk, None))
                await self.plant(bot, 1)
                while await self._within(anext(walk, None)):
                    pass
            left = await self.count(bot)
            empty = await self._within(step.is_empty(bot))
            expect(empty == (left == 0), f"items left: {left}, but `is_empty` returns {empty}")
            await self._walk(step, bot)
            await self._check_gone(bot, "after another pass")

    async def test_no_other_bot_is_touched(self) -> None:
        """Neither when the bot has data, nor when it has none."""
        for items in (self.items, 0):
            async with self._bot(items) as bot:  # its neighbours are checked at the end
                for _ in range(PASSES):
                    await self._walk(self.step(), bot)

    async def test_the_read_back_is_honest_and_changes_nothing(self) -> None:
        """The step that deleted is asked, and a new one that knows nothing about that."""
        self._needs_a_read_back()
        async with self._bot() as bot:
            step = self.step()
            async with aclosing(step.delete(bot, None)) as walk:
                for _ in range(MOST_BATCHES):
                    await self._check_read_back(step, bot)
                    if await self._within(anext(walk, None)) is None:
                        break
            await self._check_gone(bot, "after a run to its end")
            await self.plant(bot, 1)
            await self._check_read_back(step, bot)

    async def test_a_preview_counts_what_is_deleted_and_changes_nothing(self) -> None:
        step = self.step()
        if not isinstance(step, Previewed):
            pytest.skip("not exercised: the step has no `count` and `faults`, which are optional")
        async with self._bot() as bot:
            for left in (self.items, self.items):  # did the first change anything?
                counted = await self._within(step.count(bot))
                expect(counted == left, f"expected a preview of {left} items, found {counted}")
            await self._within(step.faults())
            await self._walk(step, bot)
            counted = await self._within(step.count(bot))
            expect(counted == 0, f"nothing is left, but the preview counts {counted}")

    async def test_a_cancelled_deletion_ends_at_once_and_can_be_resumed(self) -> None:
        began = time.monotonic()
        async with self._bot() as bot:
            began = time.monotonic()
            await self._walk(self.step(), bot)
        for moment in moments(time.monotonic() - began):
            async with self._bot(between=False) as bot:
                cursors: list[str | None] = [None]
                await self._cancel(moment, self._run(self.step(), bot, cursors))
                left = await self.count(bot)
                await asyncio.sleep(PAUSE)
                gone = left - await self.count(bot)
                expect(gone <= self.batch_size, f"deleted {gone} more items after it was cancelled")
                await self._walk(self.step(), bot, cursors[-1])
                await self._check_gone(bot, "resumed after it was cancelled")

    async def test_a_cancelled_read_back_ends_at_once(self) -> None:
        self._needs_a_read_back()
        async with self._bot() as bot:
            began = time.monotonic()
            await self._within(self.step().is_empty(bot))
            for moment in moments(time.monotonic() - began):
                await self._cancel(moment, self.step().is_empty(bot))

    async def test_a_fault_at_any_call_of_a_deletion_is_survived(self) -> None:
        """A call is not made, or its answer is lost; the run goes on from its checkpoint."""
        async with self._bot() as bot:
            faults = Faults()
            await self._walk(self.faulty_step(faults), bot)
        for at, answer_lost in self._each_call(faults.calls):
            async with self._bot() as bot:
                faults = Faults(at, answer_lost=answer_lost, error=self.fault)
                where = f"call {at} {'was made, but its answer lost' if answer_lost else 'failed'}"
                await self._survive(self.faulty_step(faults), faults, bot, where)
                await self._check_gone(bot, where)

    async def test_a_fault_at_any_call_of_the_read_back_is_never_taken_for_empty(self) -> None:
        self._needs_a_read_back()
        async with self._bot() as full, self._bot(items=0) as empty:
            faults = Faults()
            await self._within(self.faulty_step(faults).is_empty(full))
            for at, answer_lost in self._each_call(faults.calls):
                for bot in (full, empty):
                    faults = Faults(at, answer_lost=answer_lost, error=self.fault)
                    try:
                        found = await self._within(self.faulty_step(faults).is_empty(bot))
                    except PASSING:
                        continue
                    except Exception as error:
                        if not faults.raised:
                            raise
                        pytest.fail(f"call {at} of the read-back: {no_transient(error)}")
                    right = found == (bot == empty)
                    where = f"call {at} of the read-back failed"
                    expect(right, f"{where}, but `is_empty` returns {found}")
