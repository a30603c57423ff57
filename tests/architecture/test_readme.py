"""The README is short, says what is needed before anything else, and names what exists."""

import re

import typer.main

from botdel.cli import app
from tests.architecture.documents import README, table
from tests.reference import commands
from tests.support.paths import DOCS, ROOT

TEXT = README.read_text(encoding="utf-8")
MOST_LINES = 140
FIRST_PAGE = 40


def test_it_is_read_in_one_sitting() -> None:
    assert len(TEXT.splitlines()) <= MOST_LINES


def test_what_is_needed_stands_on_the_first_page() -> None:
    first = "\n".join(TEXT.splitlines()[:FIRST_PAGE])
    [row] = table(README, "needed")
    assert row["needed"] in first.replace("`", "")
    versions = re.findall(r"3\.\d+", row["needed"])
    assert f">={versions[0]}" in (ROOT / "pyproject.toml").read_text()


def test_every_command_that_it_shows_exists() -> None:
    makefile = (ROOT / "Makefile").read_text()
    targets = set(re.findall(r"^([a-z-]+):.*## ", makefile, re.MULTILINE))
    known = {path for path, _ in commands(typer.main.get_command(app), "botdel")}
    assert set(re.findall(r"(?:^|`)make ([a-z-]+)", TEXT, re.MULTILINE)) <= targets
    shown = re.findall(r"(?:^|`)(botdel(?: [a-z-]+)+)", TEXT, re.MULTILINE)
    assert shown
    for command in shown:
        assert any(f"{command} ".startswith(f"{path} ") for path in known), command


def test_what_the_demo_shows_is_what_it_checks() -> None:
    sources = [(ROOT / "botdel/local" / name).read_text() for name in ("demo.py", "faults.py")]
    claims = re.findall(r'proof\.(?:equal|between)\(\s*f?"([^"]+)"', "".join(sources))
    patterns = [re.sub(r"\\{.*?\\}", ".+", re.escape(claim)) for claim in claims]
    shown = re.findall(r"^│ (.*?) +│", TEXT, re.MULTILINE)
    assert shown
    for check in shown:
        assert any(re.fullmatch(pattern, check) for pattern in patterns), check


def test_every_page_of_the_documentation_is_on_its_map() -> None:
    linked = set(re.findall(r"\]\((docs/[^)#]+\.md)", TEXT))
    folders = ("", "reference", "runbooks")
    pages = [page for folder in folders for page in (DOCS / folder).glob("*.md")]
    assert linked >= {str(page.relative_to(ROOT)) for page in pages}
