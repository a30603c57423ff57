"""docs/PROOFS.md is what the marks of the tests say, and each guarantee has a test."""

from pathlib import Path

import pytest

from tests.proofs.guarantees import Guarantee, guarantees
from tests.proofs.marks import TIERS, Proof, proofs
from tests.proofs.page import PAGE, tables, written

ONE = {"Jobs": [Guarantee("one-holder", "decisions/0002-a.md", "At most one run owns a job")]}


def of_unit(name: str, *keys: str) -> Proof:
    return Proof(name, Path("unit/deletion/test_lease.py"), keys)


def test_the_page_is_what_the_marks_say() -> None:
    assert PAGE.read_text() == written(), "run 'make proofs'"


def test_every_tier_proves_guarantees() -> None:
    assert sum(map(len, guarantees().values())) > 100
    assert {proof.tier for proof in proofs()} == set(TIERS)


def test_the_nearest_test_is_named_and_the_others_are_counted() -> None:
    one, other = of_unit("test_a_lease", "one-holder"), of_unit("test_all", "one-holder", "two")
    two = Guarantee("two", "state_machine.md", "Two")
    text = tables({"Jobs": [*ONE["Jobs"], two]}, [other, one])
    lease = "[a lease](../tests/unit/deletion/test_lease.py) +1"
    assert f"| At most one run owns a job ([0002](decisions/0002-a.md)) | {lease} |  |  |" in text
    assert "| Two ([state machine](state_machine.md)) | [all](" in text


@pytest.mark.parametrize(
    ("keys", "said"),
    [(("nothing",), "no guarantee: nothing"), ((), "without a test: one-holder")],
)
def test_a_guarantee_without_a_test_and_a_mark_without_a_guarantee_are_refused(
    keys: tuple[str, ...], said: str
) -> None:
    with pytest.raises(ValueError, match=said):
        tables(ONE, [of_unit("test_a", *keys)])
