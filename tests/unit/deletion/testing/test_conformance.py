"""The suite that steps pass: a sound step passes it, and one with any fault fails it."""

import asyncio
import subprocess
import sys
from pathlib import Path

import pytest

from deletion.plan import Step
from deletion.testing import Faults
from deletion.testing.bots import DIGITS, neighbours, new_bot
from tests.unit.deletion.testing.items import Sound, SuiteOfItems
from tests.unit.deletion.testing.wrong_steps import (
    AddingUp,
    AfterTheClose,
    Ahead,
    Alone,
    AlwaysEmpty,
    ByOffset,
    ByPrefix,
    CheckpointFirst,
    CursorAhead,
    CursorOfItsOwn,
    DeletingPreview,
    EmptyOnError,
    Endless,
    GivesUpForNow,
    Hanging,
    LastTooEarly,
    LongCursor,
    Miscounting,
    NeverEmpty,
    NextPage,
    OnceOnly,
    Remembering,
    SkipsWhatFailed,
    Snapshot,
    SwallowsCancellation,
    SwallowsErrors,
    Tidying,
    TurnsCancellation,
    Unbounded,
    UnknownErrorOnReadBack,
    UnknownErrors,
    WillNotEnd,
    WithoutTheLast,
    WrongPreview,
)


class TestSound(SuiteOfItems):
    """Passes."""


# --- what may be wrong


WRONG = [
    (Unbounded, "a_batch_is_bounded", "at most 2 items in one batch, 7 are gone"),
    (Ahead, "a_batch_is_bounded", "more than it was asked for"),
    (ByPrefix, "no_other_bot_is_touched", "has 0 items, expected 1"),
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
    (AddingUp, "may_be_repeated", "nothing was left, counts 1"),
    (AddingUp, "without_data_is_no_error", "had no data, but the step counts 1"),
    (LastTooEarly, "everything_of_the_bot", "`last` to be set on the last batch only"),
    (Endless, "everything_of_the_bot", "an end before 1000 batches"),
    (Hanging, "everything_of_the_bot", "an answer within 0.5 s"),
    (LongCursor, "everything_of_the_bot", "at most 4096 characters"),
    (AfterTheClose, "closed_deletes_nothing_more", "after it was closed"),
    (AlwaysEmpty, "read_back_is_honest", "items left: 7, but `is_empty` returns True"),
    (NeverEmpty, "read_back_is_honest", "items left: 0, but `is_empty` returns False"),
    (Remembering, "read_back_is_honest", "items left: 1, but `is_empty` returns True"),
    (Tidying, "read_back_is_honest", "`is_empty` changed something"),
    (WithoutTheLast, "read_back_is_honest", "items left: 1, but `is_empty` returns True"),
    (Snapshot, "during_a_run_is_found", "items left: 1, but `is_empty` returns True"),
    (WrongPreview, "a_preview_counts", "a preview of 7 items, found 2"),
    (DeletingPreview, "a_preview_counts", "a preview of 7 items, found 0"),
    (SwallowsCancellation, "a_cancelled_deletion", "let CancelledError pass"),
    (TurnsCancellation, "a_cancelled_read_back", "let CancelledError pass"),
    (WillNotEnd, "a_cancelled_read_back", "still running 0.2 s after it was cancelled"),
    (SwallowsErrors, "a_fault_at_any_call_of_a_deletion", "call 1 failed: 7 items are left"),
    (SkipsWhatFailed, "a_fault_at_any_call_of_a_deletion", "call 2 failed: 2 items are left"),
    (NextPage, "where_the_last_checkpoint_was_lost", "gone already"),
    (NextPage, "a_fault_at_any_call_of_a_deletion", "made, but its answer lost: .*gone already"),
    (UnknownErrors, "a_fault_at_any_call_of_a_deletion", "expected a TransientError"),
    (EmptyOnError, "a_fault_at_any_call_of_the_read_back", "`is_empty` returns True"),
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
from tests.unit.deletion.testing.items import SuiteOfItems

class TestDeclined(SuiteOfItems):
    unexercised = {"test_two_runs_at_once_do_no_harm": "the shop closes at night"}
"""
ANSWERED = """\
from tests.unit.deletion.testing.items import Sound, SuiteOfItems

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
    with pytest.raises(TypeError, match="there is no test test_of_nothing"):
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
