"""The list of mutations fits the code it breaks; `make mutations` runs it."""

import re
import sys
from pathlib import Path
from typing import Final

import pytest

from tests.mutations import __main__ as mutations
from tests.mutations.__main__ import SUITES, Verdict, judged, main, mutated, near
from tests.mutations.mutants import MUTANTS
from tests.support.paths import ROOT, TESTS

PLACE = re.compile(r"\{\{\w+\}\}")
"""In a template, where the name of the service goes."""


def test_a_mutation_breaks_one_place_and_leaves_python_behind() -> None:
    sources = {file: (ROOT / file).read_text() for file in {mutant.file for mutant in MUTANTS}}
    for mutant in MUTANTS:
        source = sources[mutant.file]
        broken = mutated(mutant, source)
        assert broken != source, mutant.name
        if mutant.file.removesuffix(".template").endswith(".py"):
            compile(PLACE.sub("x", broken), f"{mutant.file} with {mutant.name}", "exec")
        assert set(mutant.suites) <= set(SUITES), mutant.name


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


@pytest.mark.parametrize("name", re.findall("ONLY='(.+)'", (TESTS / "README.md").read_text()))
def test_the_choice_that_the_readme_shows_is_not_empty(name: str) -> None:
    assert [mutant for mutant in MUTANTS if name in mutant.name]


FAILS_IN_SETUP = """
import pytest
@pytest.fixture
def server(): raise OSError("address already in use")
def test_it(server): pass
"""
FAILS_IN_TEARDOWN = """
import pytest
@pytest.fixture
def server():
    yield
    raise OSError("no space left")
def test_it(server):
    print("FAILED")
"""


BARE: Final = (
    *("-p", "no:schemathesis", "-p", "no:hypothesispytest", "-p", "no:xdist"),
    *("-p", "no:asyncio", "-p", "no:anyio"),
)
"""Plugins that take a second to load; here each sample would load them again."""


@pytest.mark.parametrize(
    ("test", "failed", "unclear"),
    [
        ("def test_it(): pass", "", ""),
        ("def test_it(): assert not 1", "test_it", ""),
        ("import time\ndef test_it(): time.sleep(60)", "test_it", ""),
        (FAILS_IN_SETUP, "", "pytest exits with 1: test_it"),
        (FAILS_IN_TEARDOWN, "", "pytest exits with 1: test_it"),
        (f"{FAILS_IN_TEARDOWN}\n    assert not 1", "test_it", ""),
        (
            'def test_it(): print("FAILED it")\ndef teardown_module(): 1 / 0',
            "",
            "pytest exits with 1",
        ),
        ("import no_such_module", "", "pytest exits with 2"),
        ("", "", "pytest exits with 5"),
        ("import time\ntime.sleep(60)", "", "not done within"),
    ],
    ids=[
        "passes",
        "fails",
        "hangs",
        "not set up",
        "not torn down",
        "fails and is not torn down",
        "prints what looks like a failure",
        "not collected",
        "no test",
        "no end",
    ],
)
async def test_nothing_but_a_test_that_fails_notices_a_mutation(
    test: str, failed: str, unclear: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mutations, "PYTEST", (*mutations.PYTEST, "--timeout=0.5", *BARE))
    monkeypatch.setattr(mutations, "WITHIN", 5.0 if unclear.startswith("not done") else 60.0)
    (tmp_path / "test_sample.py").write_text(test)
    verdict = await judged("sample", ["test_sample.py"], tmp_path)
    assert verdict.failed == failed
    assert verdict.unclear.startswith(unclear)
    assert bool(verdict.unclear) == bool(unclear)
    assert verdict.suite == "sample"


async def test_a_mutation_whose_suites_are_unclear_is_not_noticed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nor is one chosen when the code fails unchanged, in a copy as the mutations are."""
    mutant = MUTANTS[0]
    roots: list[Path] = []
    said = {"": Verdict("unit"), mutant.file: Verdict("unit", unclear="not done within 600 s")}

    async def run(suite: str, root: Path, file: str = "") -> Verdict:
        roots.append(root)
        return said[file]

    monkeypatch.setattr(sys, "argv", ["mutations", "--only", mutant.name, "--workers", "1"])
    monkeypatch.setattr(mutations, "_run", run)
    assert await main() == 1
    assert "UNCLEAR" in capsys.readouterr().out
    assert ROOT not in roots
    said[""] = said[mutant.file]
    assert await main() == 2
