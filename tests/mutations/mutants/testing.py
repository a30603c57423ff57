"""The suite for the steps of teams: deletion/testing/."""

from typing import Final

from tests.mutations.mutants.base import TEAMS, Mutant

SUITE: Final = "deletion/testing/conformance.py"
FAULTS: Final = "deletion/testing/faults.py"
RIG: Final = "deletion/testing/rig.py"

MUTANTS: Final = (
    Mutant(
        "a step may delete as much at once as it likes",
        SUITE,
        "left - now <= self.batch_size,",
        "True,",
        TEAMS,
    ),
    Mutant(
        "a batch may count what it likes",
        SUITE,
        "batch.deleted == left - now,",
        "True,",
        TEAMS,
    ),
    Mutant(
        "a run may count what it likes",
        SUITE,
        'deleted == self.items,\n                f"expected the batches',
        'True,\n                f"expected the batches',
        TEAMS,
    ),
    Mutant(
        "a step may delete ahead of what it is asked for",
        SUITE,
        'await self.count(bot) == left, "deleted more than',
        'True, "deleted more than',
        TEAMS,
    ),
    Mutant(
        "a step may go on after it was closed",
        SUITE,
        'await self.count(bot) == left, "deleted more after',
        'True, "deleted more after',
        TEAMS,
    ),
    Mutant(
        "`last` may come at any time",
        SUITE,
        "if batch.last]",
        "if False]",
        TEAMS,
    ),
    Mutant(
        "no run is resumed from its cursor",
        SUITE,
        "self._walk(self.step(), bot, before[-1].cursor if before else None)",
        "self._walk(self.step(), bot)",
        TEAMS,
    ),
    Mutant(
        "no checkpoint is lost",
        SUITE,
        "cursor = before[-2].cursor if len(before) > 1 else None",
        "cursor = before[-1].cursor",
        TEAMS,
    ),
    Mutant(
        "a repeated deletion may count again",
        SUITE,
        'expect(deleted == 0, f"repeated',
        'expect(True, f"repeated',
        TEAMS,
    ),
    Mutant(
        "a bot without data may be counted",
        SUITE,
        'expect(deleted == 0, f"the bot had no data',
        'expect(True, f"the bot had no data',
        TEAMS,
    ),
    Mutant(
        "what is written during a run need not be found",
        SUITE,
        'expect(empty == (left == 0), f"items left',
        'expect(True, f"items left',
        TEAMS,
    ),
    Mutant(
        "a preview may count what it likes",
        SUITE,
        'expect(counted == left, f"expected a preview',
        'expect(True, f"expected a preview',
        TEAMS,
    ),
    Mutant(
        "an error may be taken for an empty read-back",
        SUITE,
        "right = found == (bot == empty)",
        "right = True",
        TEAMS,
    ),
    Mutant(
        "what is not exercised is skipped silently",
        SUITE,
        'warnings.warn(f"{type(self).__name__}.{name}: {reason}", NotExercised, stacklevel=1)',
        "pass",
        TEAMS,
    ),
    Mutant(
        "a part that there is not may be declined",
        SUITE,
        "if unknown := [name for name in cls.unexercised if not hasattr(cls, name)]:",
        "if unknown := []:",
        TEAMS,
    ),
    Mutant(
        "another bot may be touched",
        RIG,
        'expect(left == 1, f"after deleting {bot}',
        'expect(True, f"after deleting {bot}',
        TEAMS,
    ),
    Mutant(
        "a step need never end",
        RIG,
        "expect(len(taken) < MOST_BATCHES,",
        "expect(True,",
        TEAMS,
    ),
    Mutant(
        "a cursor may be as long as it likes",
        RIG,
        "long <= CURSOR_CHARACTERS,",
        "True,",
        TEAMS,
    ),
    Mutant(
        "data may be left",
        RIG,
        'expect(left == 0, f"{when}',
        'expect(True, f"{when}',
        TEAMS,
    ),
    Mutant(
        "a read-back may say what it likes",
        RIG,
        "empty is (left == 0),",
        "True,",
        TEAMS,
    ),
    Mutant(
        "a read-back may delete",
        RIG,
        'expect(await self.count(bot) == left, "`is_empty`',
        'expect(True, "`is_empty`',
        TEAMS,
    ),
    Mutant(
        "cancellation may be swallowed",
        RIG,
        "if not task.cancelled():",
        "if False:",
        TEAMS,
    ),
    Mutant(
        "any error may be raised for one that may pass",
        RIG,
        '                pytest.fail(f"{where}: {no_transient(error)}")',
        "                continue",
        TEAMS,
    ),
    Mutant(
        "calls that no fault can reach pass",
        RIG,
        "expect(calls > 0,",
        "expect(True,",
        TEAMS,
    ),
    Mutant(
        "no fault is injected",
        FAULTS,
        "fails = self.calls == self._at",
        "fails = False",
        TEAMS,
    ),
    Mutant(
        "no answer is lost",
        FAULTS,
        "if fails and not self._answer_lost:",
        "if fails:",
        TEAMS,
    ),
)
