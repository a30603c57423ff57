"""What is guaranteed: guarantees.txt, a line each under the heading of its section."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.support.paths import DOCS

SOURCE: Final = Path(__file__).with_name("guarantees.txt")


@dataclass(frozen=True, slots=True)
class Guarantee:
    """`key` is what a test marks, `decision` the page that decides it, relative to docs/."""

    key: str
    decision: str
    sentence: str


def guarantees() -> Mapping[str, list[Guarantee]]:
    """All of them, by the title of their section.

    Raises `ValueError` for a line that is not `key decision sentence`, a key that occurs twice,
    and a decision without a page.
    """
    sections: dict[str, list[Guarantee]] = {}
    seen: set[str] = set()
    for line in filter(None, SOURCE.read_text(encoding="utf-8").splitlines()):
        if line.startswith("# "):
            title = line.removeprefix("# ")
            sections[title] = []
            continue
        key, decision, sentence = line.split(maxsplit=2)
        if key in seen:
            raise ValueError(f"{SOURCE.name}: {key!r} occurs twice")
        seen.add(key)
        sections[title].append(Guarantee(key, _page(decision), sentence))
    return sections


def _page(decision: str) -> str:
    """Of a decision record its number is enough."""
    pattern = f"decisions/{decision}-*.md" if decision.isdigit() else f"{decision}.md"
    pages = [page.relative_to(DOCS).as_posix() for page in DOCS.glob(pattern)]
    if len(pages) != 1:
        raise ValueError(f"{SOURCE.name}: {decision!r} is {len(pages)} pages")
    return pages[0]
