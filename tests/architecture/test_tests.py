"""The tests keep their own house: shared things are no tests, and unit tests mirror the source."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.paths import ROOT, TESTS

UNIT = TESTS / "unit"
STILL_SHARED = ["tests.unit.botdel.local.broker.test_state"]
"""Its world of topics in moved time has no module of its own yet."""


def imported(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            yield f"{node.module}"
        elif isinstance(node, ast.Import):
            yield from (name.name for name in node.names)


@pytest.mark.parametrize("path", TESTS.rglob("*.py"), ids=str)
def test_nothing_is_imported_from_a_test_module(path: Path) -> None:
    tests = [name for name in imported(path) if name.startswith("tests.") and ".test_" in name]
    assert not [name for name in tests if name not in STILL_SHARED]


@pytest.mark.parametrize("path", UNIT.rglob("test_*.py"), ids=str)
def test_a_unit_test_stands_where_a_package_of_the_source_stands(path: Path) -> None:
    package = ROOT / path.parent.relative_to(UNIT)
    assert package != ROOT
    assert (package / "__init__.py").is_file()
    assert (path.parent / "__init__.py").is_file(), "without one the names of two files may clash"
