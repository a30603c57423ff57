"""docs/patterns.md has each pattern, and names files, tests and commands that exist."""

import re
from itertools import takewhile

import pytest

from tests.architecture.documents import REFERENCE, table
from tests.support.paths import DOCS, ROOT

DOCUMENT = (DOCS / "patterns.md").read_text(encoding="utf-8")
SECTIONS = {
    section.partition("\n")[0]: " ".join(section.split()) for section in DOCUMENT.split("\n## ")[1:]
}
PATTERNS = {
    "Circuit breaker",
    "Durable queue",
    "Event bus",
    "Fallback job",
    "Idempotency lock",
    "Job record before ack",
    "Poison message",
    "Queue that retries until done",
    "Saga",
    "Schema evolution",
    "Stale by last-modified",
}
TESTS = "\n".join(path.read_text() for path in (ROOT / "tests").rglob("test_*.py"))
COMMANDS = [row["command"] for row in table(REFERENCE / "commands.md", "command", "what it does")]
TARGETS = re.findall(r"^([a-z-]+):.*## ", (ROOT / "Makefile").read_text(), re.MULTILINE)


def test_every_pattern_has_its_section() -> None:
    assert set(SECTIONS) == PATTERNS


@pytest.mark.parametrize("pattern", sorted(SECTIONS))
def test_what_a_section_names_exists(pattern: str) -> None:
    section = SECTIONS[pattern]
    [file] = re.findall(r"Read \[[^]]+\]\(([^)]+)\)", section)
    assert (DOCS / file).is_file()
    [test] = re.findall(r"proved by `(test_\w+)`", section)
    assert re.search(rf"def {test}\(", TESTS)
    [command] = re.findall(r"seen in `([^`]+)`", section)
    made = command.removeprefix("make ") in TARGETS
    assert made or any(_is_of(command, row) for row in COMMANDS)


def _is_of(command: str, row: str) -> bool:
    """Whether `command` is what the row of the reference describes, with some of its options."""
    words = list(takewhile(re.compile(r"[a-z][a-z-]*").fullmatch, row.split()))
    options = set(re.findall(r"--\w+", command))
    return command.split()[: len(words)] == words and all(option in row for option in options)
