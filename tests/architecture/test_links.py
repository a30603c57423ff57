"""Links of a page lead to a file, their anchors to a heading; every file that is named exists."""

import re

from tests.architecture.documents import anchors
from tests.support.paths import DOCS, PACKAGES, ROOT, sources

PAGES = [*ROOT.glob("*.md"), *DOCS.rglob("*.md"), *(ROOT / "tests").rglob("*.md")]
CODE = re.compile(r"^ *```.*?^ *```|`[^`\n]*`", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\((?![a-z+]+:)([^)#\s]*)(?:#([^)\s]*))?\)")
FOLDERS = "|".join((*PACKAGES, "deploy", "docs", "proto", "tests"))
FILE = re.compile(rf"(?<![\w./-])(?:{FOLDERS})/[\w/.-]+\.[a-z]+\b")
ANCHOR = re.compile(r"(docs/[\w/-]+\.md)#([\w-]+)")


def test_every_link_leads_somewhere() -> None:
    for page in PAGES:
        text = CODE.sub("", page.read_text(encoding="utf-8"))
        for path, anchor in LINK.findall(text):
            target = page.parent / path if path else page
            assert target.exists(), f"{page}: {path}"
            assert not anchor or anchor in anchors(target), f"{page}: {path}#{anchor}"


def test_every_file_that_is_named_exists() -> None:
    for page in PAGES:
        for path in FILE.findall(page.read_text(encoding="utf-8")):
            assert (ROOT / path).is_file(), f"{page}: {path}"


def test_every_anchor_that_a_message_names_exists() -> None:
    code = "".join(file.read_text() for file in sources())
    named = ANCHOR.findall(code)
    assert named
    for page, anchor in named:
        assert anchor in anchors(ROOT / page), f"{page}#{anchor}"
