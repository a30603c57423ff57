"""The list of mutations fits the code it breaks; `make mutations` runs it."""

import re
import sys

import pytest

from tests.mutations.__main__ import SUITES, main, mutated, near
from tests.mutations.mutants import MUTANTS, Mutant
from tests.support.paths import ROOT

PLACE = re.compile(r"\{\{\w+\}\}")
"""In a template, where the name of the service goes."""


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_a_mutation_breaks_one_place_and_leaves_python_behind(mutant: Mutant) -> None:
    source = (ROOT / mutant.file).read_text()
    broken = mutated(mutant, source)
    assert broken != source
    if mutant.file.removesuffix(".template").endswith(".py"):
        compile(PLACE.sub("x", broken), mutant.file, "exec")
    assert set(mutant.suites) <= set(SUITES)


def test_the_tests_named_after_a_file_or_its_folder_are_near_it() -> None:
    tests = ["unit/test_job.py", "unit/test_runner.py", "unit/test_runner_pace.py"]
    assert near(tests, "deletion/runner/steps.py") == tests[1:]
    assert near(tests, "deletion/job/rules.py") == tests[:1]
    assert near(tests, "deletion/lease.py") == []
    assert near(tests, "") == []


def test_no_two_mutations_have_one_name() -> None:
    assert len({mutant.name for mutant in MUTANTS}) == len(MUTANTS)


async def test_a_choice_of_none_is_misuse_and_no_success(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["mutations", "--only", "nope"])
    assert await main() == 2
    assert "'nope'" in capsys.readouterr().err
