"""Links of a page lead to a file, their anchors to a heading; every file that is named exists."""

import re
from pathlib import Path

import pytest

from tests.architecture.documents import anchors
from tests.support.paths import DOCS, PACKAGES, ROOT, sources

PAGES = [*ROOT.glob("*.md"), *DOCS.rglob("*.md"), *(ROOT / "tests").rglob("*.md")]
CODE = re.compile(r"^ *```.*?^ *```|`[^`\n]*`", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\((?![a-z+]+:)([^)#\s]*)(?:#([^)\s]*))?\)")
FOLDERS = "|".join((*PACKAGES, "deploy", "docs", "proto", "tests"))
FILE = re.compile(rf"(?<![\w./-])(?:{FOLDERS})/[\w/.-]+\.[a-z]+\b")
ANCHOR = re.compile(r"(docs/[\w/-]+\.md)#([\w-]+)")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_somewhere(page: Path) -> None:
    text = CODE.sub("", page.read_text(encoding="utf-8"))
    for path, anchor in LINK.findall(text):
        target = page.parent / path if path else page
        assert target.exists(), path
        assert not anchor or anchor in anchors(target), f"{path}#{anchor}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_file_that_is_named_exists(page: Path) -> None:
    for path in FILE.findall(page.read_text(encoding="utf-8")):
        assert (ROOT / path).is_file(), path


def test_every_anchor_that_a_message_names_exists() -> None:
    code = "".join(file.read_text() for file in sources())
    named = ANCHOR.findall(code)
    assert named
    for page, anchor in named:
        assert anchor in anchors(ROOT / page), f"{page}#{anchor}"
