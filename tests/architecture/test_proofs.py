"""docs/PROOFS.md names tests that exist, and decisions that exist."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PROOFS = (ROOT / "docs" / "PROOFS.md").read_text()


def existing() -> set[str]:
    sources = (path.read_text() for path in (ROOT / "tests").rglob("test_*.py"))
    return {name for source in sources for name in re.findall(r"def (test_\w+)\(", source)}


def test_every_test_that_proves_a_guarantee_exists() -> None:
    named = set(re.findall(r"`(test_\w+)`", PROOFS))
    assert len(named) > 50
    assert not named - existing()


def test_every_guarantee_has_a_decision_and_a_proof() -> None:
    rows = [line.split(" | ") for line in PROOFS.splitlines() if line.startswith("| ")][1:]
    for guarantee, decision, proof in rows:
        [link] = re.findall(r"\]\(([^)]+)\)", decision)
        assert (ROOT / "docs" / link).is_file(), guarantee
        assert "`test_" in proof, guarantee
