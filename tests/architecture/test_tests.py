"""tests/README.md says what is there, unit tests mirror the source, and no test is imported."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

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


def test_nothing_is_imported_from_a_test_module() -> None:
    for path in TESTS.rglob("*.py"):
        names = [name for name in imported(path) if name.startswith("tests.")]
        assert [name for name in names if ".test_" in name] == [], below_tests(path)


def test_a_unit_test_stands_where_a_package_of_the_source_stands() -> None:
    for folder in {path.parent for path in UNIT.rglob("test_*.py")}:
        package = ROOT / folder.relative_to(UNIT)
        assert package != ROOT, below_tests(folder)
        assert (package / "__init__.py").is_file(), below_tests(folder)
        # without one the names of two files may clash
        assert (folder / "__init__.py").is_file(), below_tests(folder)


def fixed_sleeps(node: ast.AST) -> Iterator[int]:
    """The lines that sleep for longer than 0 s, other than in a `while` loop, which polls."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Call) and ast.unparse(child.func) in {
            "asyncio.sleep",
            "time.sleep",
        }:
            if ast.unparse(child.args[0]) != "0":
                yield child.lineno
        elif not isinstance(child, ast.While):
            yield from fixed_sleeps(child)


def unexplained_sleeps(source: str) -> list[int]:
    lines = source.splitlines()
    return [line for line in fixed_sleeps(ast.parse(source)) if "#" not in lines[line - 1]]


def test_a_fixed_sleep_says_why() -> None:
    for path in TESTS.rglob("test_*.py"):
        source = path.read_text()
        is_virtual = path.parent.name == "simulation" or "mark.virtual_time" in source
        assert is_virtual or unexplained_sleeps(source) == [], below_tests(path)


def test_a_fixed_sleep_that_does_not_say_why_is_found() -> None:
    source = """
async def test_it():
    await asyncio.sleep(0.5)
    time.sleep(SOON)
    await asyncio.sleep(0.5)  # nothing happens meanwhile
    await asyncio.sleep(0)
    while not done:
        await asyncio.sleep(0.01)
    await clock.sleep(5)
"""
    assert unexplained_sleeps(source) == [3, 4]


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
