"""The suite that steps pass: a sound step passes it, and one with any fault fails it."""

import asyncio
import json
import subprocess
import sys
from collections import defaultdict
from collections.abc import AsyncGenerator
from datetime import UTC, datetime
from functools import cached_property
from itertools import count, islice
from pathlib import Path
from typing import ClassVar

import pytest

from deletion.errors import Parked, TransientError
from deletion.plan import Batch, Step
from deletion.testing import Faults, StepConformance
from deletion.testing.bots import DIGITS, neighbours, new_bot

SIZE = 2


class Items:
    """A data store whose calls take a few turns of the event loop."""

    def __init__(self) -> None:
        self.of: dict[str, list[int]] = defaultdict(list)
        self.faults = Faults()
        self.numbers = count()

    async def page(self, bot: str, after: int) -> list[int]:
        with self.faults.call():
            await asyncio.sleep(0)
            return [number for number in self.of[bot] if number > after][:SIZE]

    async def drop(self, bot: str, numbers: list[int]) -> int:
        with self.faults.call():
            await asyncio.sleep(0)
            before = len(self.of[bot])
            self.of[bot] = [number for number in self.of[bot] if number not in numbers]
            return before - len(self.of[bot])

    async def number(self, bot: str) -> int:
        with self.faults.call():
            await asyncio.sleep(0)
            return len(self.of[bot])


class Sound:
    """As a step should be."""

    name = "items"

    def __init__(self, items: Items) -> None:
        self.items = items

    async def delete(self, bot_id: str, cursor: str | None) -> AsyncGenerator[Batch, None]:
        last = int(cursor or -1)
        try:
            while page := await self.items.page(bot_id, last):
                deleted, last = await self.items.drop(bot_id, page), page[-1]
                yield Batch(deleted, str(last), last=len(page) < SIZE)
                if len(page) < SIZE:
                    return
        except ConnectionError as error:
            raise TransientError(str(error)) from error

    async def is_empty(self, bot_id: str) -> bool:
        try:
            return await self.items.number(bot_id) == 0
        except ConnectionError as error:
            raise TransientError(str(error)) from error

    async def count(self, bot_id: str) -> int:
        return await self.items.number(bot_id)

    async def faults(self) -> None:
        return None


class SuiteOfItems(StepConformance):
    """Over one store for each test."""

    tested: ClassVar[type[Sound]] = Sound
    call_seconds = 0.5
    cancel_seconds = 0.2

    @cached_property
    def store(self) -> Items:
        return Items()

    def step(self) -> Step:
        return self.tested(self.store)

    def faulty_step(self, faults: Faults) -> Step:
        faulty = Items()
        faulty.of, faulty.faults = self.store.of, faults
        return self.tested(faulty)

    async def plant(self, bot_id: str, number: int) -> None:
        self.store.of[bot_id].extend(islice(self.store.numbers, number))

    async def count(self, bot_id: str) -> int:
        return len(self.store.of[bot_id])


class TestSound(SuiteOfItems):
    """Passes."""


# --- what may be wrong


class Unbounded(Sound):
    async def delete(self, bot_id: str, cursor: str | None) -> AsyncGenerator[Batch, None]:
        yield Batch(await self.items.drop(bot_id, list(self.items.of[bot_id])), None, last=True)


class Ahead(Sound):
    """Deletes the next batch while nobody has asked for it."""

    async def delete(self, bot_id: str, cursor: str | None) -> AsyncGenerator[Batch, None]:
        async for batch in super().delete(bot_id, cursor):
            page = await self.items.page(bot_id, -1)
            self.ahead = asyncio.create_task(self.items.drop(bot_id, page))
            yield batch


class ByPrefix(Sound):
    """Deletes what begins as the bot's id does."""

    async def delete(self, bot_id: str, cursor: str | None) -> AsyncGenerator[Batch, None]:
        for other in [other for other in self.items.of if other.startswith(bot_id[:-1])]:
            async for batch in super().delete(other, cursor):
                yield batch


class ByOffset(Sound):
    """Its cursor counts, and what it counts moves up with each batch."""

    async def delete(self, bot_id: str, cursor: str | None) -> AsyncGenerator[Batch, None]:
        done = offset = int(cursor or 0)
        while page := self.items.of[bot_id][offset : offset + SIZE]:
            done += await self.items.drop(bot_id, page)
            yield Batch(len(page), str(done))


class CursorOfItsOwn(Sound):
    """Knows where to go on only itself."""

    def __init__(self, items: Items) -> None:
        super().__init__(items)
        self.pages: dict[str, list[int]] = {}

    async def delete(self, bot_id: str, cursor: str | None) -> AsyncGenerator[Batch, None]:
        if cursor is None:
            self.pages[bot_id] = list(self.items.of[bot_id])
        pages = self.pages[bot_id]
        while pages:
            yield Batch(await self.items.drop(bot_id, [pages.pop(0)]), "on")


class CheckpointFirst(Sound):
    """Its cursor is ahead of what was deleted."""

    async def delete(self, bot_id: str, cursor: str | None) -> AsyncGenerator[Batch, None]:
        last = int(cursor or -1)
        while page := await self.items.page(bot_id, last):
            last = page[-1]
            yield Batch(len(page), str(last))
            await self.items.drop(bot_id, page)


class CursorAhead(Sound):
    """A crash before its checkpoint repeats nothing, and skips a batch that is not done."""

    async def delete(self, bot_id: str, cursor: str | None) -> AsyncGenerator[Batch, None]:
        last = int(cursor or -1)
        while page := await self.items.page(bot_id, last):
            last = page[-1]
            yield Batch(await self.items.drop(bot_id, page), str(last + SIZE))


class OnceOnly(Sound):
    async def delete(self, bot_id: str, cursor: str | None) -> AsyncGenerator[Batch, None]:
        if not self.items.of[bot_id]:
            raise LookupError("there is no such bot")
        async for batch in super().delete(bot_id, cursor):
            yield batch


class Alone(Sound):
    """Takes it for an error that another was faster."""

    async def delete(self, bot_id: str, cursor: str | None) -> AsyncGenerator[Batch, None]:
        while page := await self.items.page(bot_id, -1):
            await asyncio.sleep(0)
            for number in page:
                self.items.of[bot_id].remove(number)
            yield Batch(len(page), None)


class Miscounting(Sound):
    async def delete(self, bot_id: str, cursor: str | None) -> AsyncGenerator[Batch, None]:
        async for batch in super().delete(bot_id, cursor):
            yield Batch(SIZE, batch.cursor)


class AddingUp(Sound):
    """Counts again what is gone already."""

    async def delete(self, bot_id: str, cursor: str | None) -> AsyncGenerator[Batch, None]:
        async for batch in super().delete(bot_id, cursor):
            yield batch
        yield Batch(1, cursor)


class LastTooEarly(Sound):
    async def delete(self, bot_id: str, cursor: str | None) -> AsyncGenerator[Batch, None]:
        async for batch in super().delete(bot_id, cursor):
            yield Batch(batch.deleted, batch.cursor, last=True)


class Endless(Sound):
    async def delete(self, bot_id: str, cursor: str | None) -> AsyncGenerator[Batch, None]:
        while True:
            yield Batch(0, cursor)


class Hanging(Sound):
    async def delete(self, bot_id: str, cursor: str | None) -> AsyncGenerator[Batch, None]:
        await asyncio.Event().wait()
        yield Batch(0, None)


class LongCursor(Sound):
    async def delete(self, bot_id: str, cursor: str | None) -> AsyncGenerator[Batch, None]:
        async for batch in super().delete(bot_id, None):
            yield Batch(batch.deleted, (batch.cursor or "") * 5000)


class AfterTheClose(Sound):
    async def delete(self, bot_id: str, cursor: str | None) -> AsyncGenerator[Batch, None]:
        try:
            async for batch in super().delete(bot_id, cursor):
                yield batch
        finally:
            self.items.of[bot_id] = self.items.of[bot_id][:1]


class AlwaysEmpty(Sound):
    async def is_empty(self, bot_id: str) -> bool:
        return True


class NeverEmpty(Sound):
    async def is_empty(self, bot_id: str) -> bool:
        return False


class Remembering(Sound):
    """Says what it found once."""

    def __init__(self, items: Items) -> None:
        super().__init__(items)
        self.found: dict[str, bool] = {}

    async def is_empty(self, bot_id: str) -> bool:
        if not self.found.get(bot_id):
            self.found[bot_id] = await super().is_empty(bot_id)
        return self.found[bot_id]


class Tidying(Sound):
    """Reads back, and takes away what it finds."""

    async def is_empty(self, bot_id: str) -> bool:
        found = await super().is_empty(bot_id)
        self.items.of[bot_id] = self.items.of[bot_id][1:]
        return found


class WithoutTheLast(Sound):
    """Looks no further than it has deleted."""

    async def is_empty(self, bot_id: str) -> bool:
        return len(self.items.of[bot_id]) <= 1


class Snapshot(Sound):
    """Deletes, and looks for, what there was when it began."""

    def __init__(self, items: Items) -> None:
        super().__init__(items)
        self.seen: dict[str, list[int]] = {}

    async def delete(self, bot_id: str, cursor: str | None) -> AsyncGenerator[Batch, None]:
        self.seen[bot_id] = list(self.items.of[bot_id])
        for number in self.seen[bot_id]:
            yield Batch(await self.items.drop(bot_id, [number]), None)

    async def is_empty(self, bot_id: str) -> bool:
        return not set(self.seen.get(bot_id, self.items.of[bot_id])) & set(self.items.of[bot_id])


class WrongPreview(Sound):
    async def count(self, bot_id: str) -> int:
        return min(SIZE, len(self.items.of[bot_id]))


class DeletingPreview(Sound):
    async def count(self, bot_id: str) -> int:
        return await self.items.drop(bot_id, list(self.items.of[bot_id]))


class SwallowsCancellation(Sound):
    async def delete(self, bot_id: str, cursor: str | None) -> AsyncGenerator[Batch, None]:
        while page := await self.items.page(bot_id, -1):
            try:
                await asyncio.sleep(0)
                await self.items.drop(bot_id, page)
            except asyncio.CancelledError:
                continue
            yield Batch(len(page), None)


class TurnsCancellation(Sound):
    async def is_empty(self, bot_id: str) -> bool:
        try:
            return await super().is_empty(bot_id)
        except asyncio.CancelledError:
            return False


class WillNotEnd(Sound):
    async def is_empty(self, bot_id: str) -> bool:
        try:
            return await super().is_empty(bot_id)
        except asyncio.CancelledError:
            await asyncio.sleep(0.5)
            raise


class SwallowsErrors(Sound):
    """Ends as if it were done."""

    async def delete(self, bot_id: str, cursor: str | None) -> AsyncGenerator[Batch, None]:
        try:
            async for batch in super().delete(bot_id, cursor):
                yield batch
        except TransientError:
            return


class SkipsWhatFailed(Sound):
    """Goes on behind the page that it could not delete."""

    async def delete(self, bot_id: str, cursor: str | None) -> AsyncGenerator[Batch, None]:
        last = int(cursor or -1)
        try:
            while page := await self.items.page(bot_id, last):
                last = page[-1]
                try:
                    deleted = await self.items.drop(bot_id, page)
                except ConnectionError:
                    deleted = 0
                yield Batch(deleted, str(last))
        except ConnectionError as error:
            raise TransientError(str(error)) from error


class NextPage(Sound):
    """Its cursor is what comes next, which a call whose answer was lost has deleted already."""

    async def delete(self, bot_id: str, cursor: str | None) -> AsyncGenerator[Batch, None]:
        try:
            page = json.loads(cursor) if cursor else await self.items.page(bot_id, -1)
            while page:
                if not set(page) <= set(self.items.of[bot_id]):
                    raise LookupError("gone already")
                deleted = await self.items.drop(bot_id, page)
                page = await self.items.page(bot_id, -1)
                yield Batch(deleted, json.dumps(page))
        except ConnectionError as error:
            raise TransientError(str(error)) from error


class GivesUpForNow(Sound):
    """Parks its job when its client fails: it goes on later, from the same checkpoint."""

    async def delete(self, bot_id: str, cursor: str | None) -> AsyncGenerator[Batch, None]:
        try:
            async for batch in super().delete(bot_id, cursor):
                yield batch
        except TransientError as error:
            raise Parked(datetime.now(UTC), str(error)) from error


class UnknownErrors(Sound):
    async def delete(self, bot_id: str, cursor: str | None) -> AsyncGenerator[Batch, None]:
        while page := await self.items.page(bot_id, -1):
            yield Batch(await self.items.drop(bot_id, page), None)


class EmptyOnError(Sound):
    async def is_empty(self, bot_id: str) -> bool:
        try:
            return await super().is_empty(bot_id)
        except TransientError:
            return True


class UnknownErrorOnReadBack(Sound):
    async def is_empty(self, bot_id: str) -> bool:
        return await self.items.number(bot_id) == 0


WRONG = [
    (Unbounded, "a_batch_is_bounded", "at most 2 in one batch, found 7"),
    (Ahead, "a_batch_is_bounded", "more than it was asked for"),
    (ByPrefix, "no_other_bot_is_touched", "has 0 of 1 item left"),
    (ByOffset, "resumed_from_every_cursor", "items are left"),
    (CursorOfItsOwn, "resumed_from_every_cursor", "'7"),
    (CheckpointFirst, "a_batch_is_bounded", "to count 0, found 2"),
    (CheckpointFirst, "resumed_from_every_cursor", "items are left"),
    (CursorAhead, "resumed_from_every_cursor", "items are left"),
    (OnceOnly, "may_be_repeated", "no such bot"),
    (OnceOnly, "without_data_is_no_error", "no such bot"),
    (Alone, "two_runs_at_once", "not in list"),
    (Miscounting, "everything_of_the_bot", "the 7 items there were, found 8"),
    (Miscounting, "a_batch_is_bounded", "to count 1, found 2"),
    (AddingUp, "may_be_repeated", "nothing is left, counts 1"),
    (AddingUp, "without_data_is_no_error", "expected nothing to be counted"),
    (LastTooEarly, "everything_of_the_bot", "`last` of the last batch only"),
    (Endless, "everything_of_the_bot", "an end before 1000 batches"),
    (Hanging, "everything_of_the_bot", "an answer within 0.5 s"),
    (LongCursor, "everything_of_the_bot", "at most 4096 characters"),
    (AfterTheClose, "closed_deletes_nothing_more", "after it was closed"),
    (AlwaysEmpty, "read_back_is_honest", "7 left, and the read-back returns True"),
    (NeverEmpty, "read_back_is_honest", "0 left, and the read-back returns False"),
    (Remembering, "read_back_is_honest", "1 left, and the read-back returns True"),
    (Tidying, "read_back_is_honest", "the read-back changes something"),
    (WithoutTheLast, "read_back_is_honest", "1 left, and the read-back returns True"),
    (Snapshot, "during_a_run_is_found", "1 left, and the read-back says empty: True"),
    (WrongPreview, "a_preview_counts", "a preview of 7, found 2"),
    (DeletingPreview, "a_preview_counts", "a preview of 7, found 0"),
    (SwallowsCancellation, "a_cancelled_deletion", "let CancelledError pass"),
    (TurnsCancellation, "a_cancelled_read_back", "let CancelledError pass"),
    (WillNotEnd, "a_cancelled_read_back", "still runs 0.2 s after it was cancelled"),
    (SwallowsErrors, "a_fault_at_any_call_of_a_deletion", "call 1 failed: 7 items are left"),
    (SkipsWhatFailed, "a_fault_at_any_call_of_a_deletion", "call 2 failed: 2 items are left"),
    (NextPage, "where_the_last_checkpoint_was_lost", "gone already"),
    (NextPage, "a_fault_at_any_call_of_a_deletion", "was made, its answer lost: .*gone already"),
    (UnknownErrors, "a_fault_at_any_call_of_a_deletion", "expected a TransientError"),
    (EmptyOnError, "a_fault_at_any_call_of_the_read_back", "says empty: True"),
    (UnknownErrorOnReadBack, "a_fault_at_any_call_of_the_read_back", "expected a TransientError"),
]


@pytest.mark.proves("step-suite")
@pytest.mark.parametrize(
    ("step", "part", "said"), WRONG, ids=[f"{step.__name__}-{part}" for step, part, _ in WRONG]
)
async def test_the_suite_notices(step: type[Sound], part: str, said: str) -> None:
    suite = SuiteOfItems()
    suite.tested = step  # type: ignore[misc]
    [name] = [name for name in dir(suite) if name.startswith("test_") and part in name]
    with pytest.raises(BaseException, match=said) as noticed:
        await getattr(suite, name)()
    assert not isinstance(noticed.value, asyncio.CancelledError | KeyboardInterrupt)


async def test_a_step_may_park_its_job_after_an_error() -> None:
    suite = SuiteOfItems()
    suite.tested = GivesUpForNow  # type: ignore[misc]
    await suite.test_a_fault_at_any_call_of_a_deletion_is_survived()


@pytest.mark.proves("step-suite")
async def test_a_step_without_faults_at_its_calls_is_not_exercised() -> None:
    class Unwired(SuiteOfItems):
        def faulty_step(self, faults: Faults) -> Step:
            return self.step()

    for part in ("deletion_is_survived", "read_back_is_never_taken_for_empty"):
        [name] = [name for name in dir(Unwired) if part in name]
        with pytest.raises(BaseException, match="no call went through"):
            await getattr(Unwired(), name)()


DECLINED = """\
from tests.unit.deletion.testing.test_conformance import SuiteOfItems

class TestDeclined(SuiteOfItems):
    unexercised = {"test_two_runs_at_once_do_no_harm": "the shop closes at night"}
"""
ANSWERED = """\
from tests.unit.deletion.testing.test_conformance import Sound, SuiteOfItems

class Answered(Sound):
    by_answer_only = True

    async def is_empty(self, bot_id):
        return True

class TestAnswered(SuiteOfItems):
    tested = Answered
"""
UNFINISHED = """\
from deletion.testing import StepConformance

class TestUnfinished(StepConformance):
    pass
"""


def pytest_says(folder: Path, code: str) -> str:
    """What pytest says of a team's test in a folder of its own, without this project's settings."""
    (folder / "test_step.py").write_text(code)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", ".", "."],
        cwd=folder,
        env={"PYTHONPATH": ":".join(path for path in sys.path if path)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return f"{done.stdout}exit {done.returncode}"


@pytest.mark.proves("step-suite")
def test_what_is_not_exercised_is_said_and_never_skipped_silently(tmp_path: Path) -> None:
    said = pytest_says(tmp_path, DECLINED)
    assert "1 skipped, 1 warning" in said
    assert "test_two_runs_at_once_do_no_harm: the shop closes at night" in said
    assert "exit 0" in said


def test_a_step_that_cannot_read_back_says_so_and_is_tested_all_the_same(tmp_path: Path) -> None:
    said = pytest_says(tmp_path, ANSWERED)
    assert "4 skipped, 4 warnings" in said
    assert "the step cannot read back, and is confirmed by answer only" in said
    assert "exit 0" in said


@pytest.mark.proves("step-suite")
def test_what_a_team_has_not_supplied_is_named(tmp_path: Path) -> None:
    said = pytest_says(tmp_path, UNFINISHED)
    assert "passed" not in said
    assert "TestUnfinished.plant: write items of a bot" in said
    assert "exit 1" in said


def test_declining_a_test_that_does_not_exist_is_an_error() -> None:
    with pytest.raises(TypeError, match="there is no test_of_nothing"):
        type("Misspelt", (SuiteOfItems,), {"unexercised": {"test_of_nothing": "no"}})


def test_neighbours_are_other_bots_as_near_as_ids_can_be() -> None:
    for bot in (new_bot() for _ in range(1000)):
        near = neighbours(bot)
        assert len({bot, *near}) == 6
        for other in (bot, *near):
            assert len(other) == DIGITS
            assert other == f"{int(other, 16):024x}"
        assert any(other < bot for other in near)
        assert any(other > bot for other in near)
