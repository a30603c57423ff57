"""tests/README.md says what is there, unit tests mirror the source, and no test is imported."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.schedule import Kind
from tests.model.moves import FAULTS
from tests.simulation.schedule import Action
from tests.support.paths import ROOT, TESTS

README = TESTS / "README.md"
UNIT = TESTS / "unit"


def below_tests(path: Path) -> str:
    return path.relative_to(TESTS).as_posix()


def imported(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            yield f"{node.module}"
        elif isinstance(node, ast.Import):
            yield from (name.name for name in node.names)


@pytest.mark.parametrize("path", sorted(TESTS.rglob("*.py")), ids=below_tests)
def test_nothing_is_imported_from_a_test_module(path: Path) -> None:
    assert not [name for name in imported(path) if name.startswith("tests.") and ".test_" in name]


@pytest.mark.parametrize("path", sorted(UNIT.rglob("test_*.py")), ids=below_tests)
def test_a_unit_test_stands_where_a_package_of_the_source_stands(path: Path) -> None:
    package = ROOT / path.parent.relative_to(UNIT)
    assert package != ROOT
    assert (package / "__init__.py").is_file()
    assert (path.parent / "__init__.py").is_file(), "without one the names of two files may clash"


def test_every_folder_and_every_shared_module_is_in_the_readme() -> None:
    text = README.read_text()
    folders = {path.parent.name for path in TESTS.glob("*/__init__.py")} - {"support", "proofs"}
    assert folders == {name for name in folders if f"| `{name}/`" in text}
    shared = {path.stem for path in (TESTS / "support").glob("*.py")} - {"__init__"}
    assert shared == {name for name in shared if f"`{name}`" in text}


def test_the_words_for_faults_are_those_of_the_suites() -> None:
    said = {
        word
        for row in re.findall(r"^\| (`.*?`) \|", README.read_text().partition("## Words")[2], re.M)
        for word in re.findall("`(.+?)`", row)
    }
    assert said == {*map(str, Action), *map(str, Kind), *FAULTS}
