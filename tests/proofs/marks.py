"""Which tests prove what, read from their source: nothing is imported and no part is started."""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeGuard

from tests.support.paths import TESTS

MARK: Final = "pytest.mark.proves"
TIERS: Final = {
    "unit and conformance": ("unit", "conformance", "schema", "architecture", "release"),
    "simulation": ("simulation", "model"),
    "real parts": ("integration", "faults", "acceptance", "upgrade", "browser", "image"),
}
"""The folders of each. A file whose name ends in `_stateful` is a simulation, wherever it is."""


@dataclass(frozen=True, slots=True)
class Proof:
    """A test and the keys of the guarantees that it proves. `path` is relative to tests/."""

    name: str
    path: Path
    keys: tuple[str, ...]

    @property
    def tier(self) -> str:
        """Raises `StopIteration` for a folder of no tier."""
        folder = self.path.parts[0]
        if self.path.stem.endswith("_stateful"):
            return "simulation"
        return next(tier for tier, folders in TIERS.items() if folder in folders)


def proofs() -> list[Proof]:
    """Every test with a mark, in the order of the files. Raises `ValueError` for a wrong mark."""
    return [
        proof
        for path in sorted(TESTS.rglob("test_*.py"))
        for proof in _of(ast.parse(path.read_text(encoding="utf-8")), path.relative_to(TESTS))
    ]


def _of(tree: ast.Module, path: Path) -> Iterator[Proof]:
    marks = sum(_is_mark(node) for node in ast.walk(tree))
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            calls = [call for call in node.decorator_list if _is_mark(call)]
            marks -= len(calls)
            if calls:
                keys = [ast.literal_eval(key) for call in calls for key in call.args]
                yield Proof(node.name, path, tuple(keys))
    if marks:
        raise ValueError(f"{path}: a mark of guarantees belongs to a test, not to a class or file")


def _is_mark(node: ast.AST) -> TypeGuard[ast.Call]:
    return isinstance(node, ast.Call) and ast.unparse(node.func) == MARK
