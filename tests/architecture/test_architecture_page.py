"""docs/architecture.md names files, folders and functions that exist, in the order of the data."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.architecture.documents import table
from tests.architecture.ways import WAYS, driven
from tests.support.paths import DOCS, ROOT

PAGE = DOCS / "architecture.md"
TEXT = PAGE.read_text(encoding="utf-8")
NAMED = re.findall(r"`([\w/]+\.py)` . `([\w.]+)`", TEXT)
SECTIONS = {part.partition("\n")[0]: part for part in TEXT.split("\n## ")[1:]}


def functions(file: Path) -> set[str]:
    """The functions and classes of a file: a method after its class, others by their own names."""
    return set(_names(ast.parse(file.read_text(encoding="utf-8")), ""))


def _names(tree: ast.AST, owner: str) -> Iterator[str]:
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            yield f"{owner}{node.name}"
        yield from _names(node, f"{node.name}." if isinstance(node, ast.ClassDef) else "")


@pytest.mark.parametrize(("file", "function"), sorted(set(NAMED)))
def test_every_function_is_where_the_page_says(file: str, function: str) -> None:
    assert function in functions(ROOT / file)


def test_every_folder_of_the_map_exists() -> None:
    for row in table(PAGE, "folder", "what is in it"):
        assert (ROOT / row["folder"]).is_dir()


def test_every_package_is_in_the_map() -> None:
    mapped = {row["folder"].rstrip("/") for row in table(PAGE, "folder", "what is in it")}
    packages = {path.parent.name for path in ROOT.glob("*/__init__.py")}
    assert packages <= mapped


def test_every_path_is_driven() -> None:
    assert {title for title in SECTIONS if title.startswith("The path of")} == set(WAYS)


@pytest.mark.virtual_time
@pytest.mark.parametrize("title", WAYS)
async def test_the_data_passes_the_functions_in_the_order_of_the_page(title: str) -> None:
    items = re.findall(r"^\d+\. (?:`([\w/]+\.py)` . `([\w.]+)`)?", SECTIONS[title], re.MULTILINE)
    assert all(file for file, _ in items), "each item names one file and one function"
    listed = [driven(file, function) for file, function in items]
    assert [name for name in await WAYS[title]() if name in listed] == listed
