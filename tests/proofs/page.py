"""The page: a table for each section, with a test of each tier and the number of the others."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final

from tests.proofs.guarantees import Guarantee, guarantees
from tests.proofs.marks import TIERS, Proof, proofs
from tests.support.paths import DOCS

PAGE: Final = DOCS / "PROOFS.md"
BEGIN: Final = "<!-- made by `make proofs` from here on -->\n"
END: Final = "<!-- to here -->\n"


def written() -> str:
    """The page with its tables as the marks say. Raises `ValueError` when they cannot be made."""
    head, begin, after = PAGE.read_text(encoding="utf-8").partition(BEGIN)
    _, end, tail = after.partition(END)
    if not (begin and end):
        raise ValueError(f"{PAGE.name}: the lines are gone between which the tables stand")
    return f"{head}{BEGIN}\n{tables(guarantees(), proofs())}\n{END}{tail}"


def tables(sections: Mapping[str, Sequence[Guarantee]], marked: Iterable[Proof]) -> str:
    """Raises `ValueError` for a guarantee without a test and for a mark that names none."""
    by_key: dict[str, list[Proof]] = defaultdict(list)
    for proof in marked:
        for key in proof.keys:
            by_key[key].append(proof)
    known = {guarantee.key for each in sections.values() for guarantee in each}
    if unknown := by_key.keys() - known:
        raise ValueError(f"marks name no guarantee: {', '.join(sorted(unknown))}")
    if unproved := known - by_key.keys():
        raise ValueError(f"guarantees without a test: {', '.join(sorted(unproved))}")
    return "\n".join(_section(title, each, by_key) for title, each in sections.items())


def _section(
    title: str, of_section: Iterable[Guarantee], by_key: Mapping[str, Sequence[Proof]]
) -> str:
    rows = [("guarantee", *TIERS), ("---",) * (len(TIERS) + 1)]
    rows += [tuple(_row(guarantee, by_key[guarantee.key])) for guarantee in of_section]
    return f"### {title}\n\n" + "".join(f"| {' | '.join(row)} |\n" for row in rows)


def _row(guarantee: Guarantee, tests: Sequence[Proof]) -> Iterator[str]:
    name = guarantee.decision.rpartition("/")[2].removesuffix(".md")
    label = name[:4] if name[:4].isdigit() else name.replace("_", " ")
    yield f"{guarantee.sentence} ([{label}]({guarantee.decision}))"
    for tier in TIERS:
        yield _cell([test for test in tests if test.tier == tier])


def _cell(tests: Sequence[Proof]) -> str:
    """A link to the file of the test whose mark has the fewest keys, and the number of others."""
    if not tests:
        return ""
    nearest = min(tests, key=lambda test: len(test.keys))
    words = nearest.name.removeprefix("test_").replace("_", " ")
    more = f" +{len(tests) - 1}" if len(tests) > 1 else ""
    return f"[{words}](../tests/{nearest.path.as_posix()}){more}"
