"""docs/PROOFS.md names decisions that exist, and tests that exist, each in its tier."""

import re
from pathlib import Path

import pytest

from tests.architecture.documents import DOCS, ROOT, table

PROOFS = DOCS / "PROOFS.md"
TIERS = {
    "unit and conformance": ("unit", "conformance", "schema", "architecture"),
    "simulation": ("simulation", "model", "stateful"),
    "real parts": ("integration", "faults", "acceptance"),
}
ROWS = table(PROOFS, "guarantee", "decided in", *TIERS)


def existing(tier: str) -> set[str]:
    """The tests of a tier: of its folders, or of a file that is named so."""
    files = [path for path in (ROOT / "tests").rglob("test_*.py") if _tier(path) == tier]
    return {
        name for path in files for name in re.findall(r"(test_\w+)(?:\(| = )", path.read_text())
    }


def _tier(path: Path) -> str:
    if "stateful" in path.name:
        return "simulation"
    folder = path.relative_to(ROOT / "tests").parts[0]
    return next(tier for tier, folders in TIERS.items() if folder in folders)


@pytest.mark.parametrize("tier", TIERS)
def test_every_test_that_proves_a_guarantee_is_in_its_tier(tier: str) -> None:
    named = {name for row in ROWS for name in re.findall(r"test_\w+", row[tier])}
    assert named
    assert not named - existing(tier)


def test_every_guarantee_has_a_decision_and_a_proof() -> None:
    assert len(ROWS) > 30
    for row in ROWS:
        [link] = re.findall(r"\]\(([^)]+)\)", row["decided in"])
        assert (DOCS / link).is_file(), row["guarantee"]
        assert "test_" in "".join(row[tier] for tier in TIERS), row["guarantee"]
