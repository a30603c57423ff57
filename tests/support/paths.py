"""Folders and source files of this repository."""

from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]
DOCS: Final = ROOT / "docs"
TESTS: Final = ROOT / "tests"
PACKAGES: Final = ("botdel", "console", "consumers", "deletion", "gateway", "recovery")
"""The packages of the product."""


def sources() -> list[Path]:
    """Every Python file of the product."""
    return sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
