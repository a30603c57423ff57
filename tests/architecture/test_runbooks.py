"""What the runbooks quote of answers, of failures and of alerts is what the code says."""

import re
from pathlib import Path

import pytest

from deletion import errors
from tests.architecture.documents import table
from tests.support.monitoring import alert_rules
from tests.support.paths import DOCS, ROOT

RUNBOOKS = sorted((DOCS / "runbooks").glob("*.md"))
PACKAGES = ("consumers", "deletion", "recovery")
SOURCE = "\n".join(
    path.read_text(encoding="utf-8")
    for package in PACKAGES
    for path in (ROOT / package).rglob("*.py")
)
OTHERS = {
    "CancelledError",
    "ConnectError",
    "InvalidValue",
    "MalformedError",
    "OperationFailure",
}
"""Errors of Python and of libraries."""
ALERTS = {alert.name for alert in alert_rules()}
NAME = re.compile(r"`((?:[A-Z][a-z]+){2,})`")


@pytest.mark.parametrize("column", ["/readyz says", "error"])
def test_what_recovery_says_is_quoted_word_for_word(column: str) -> None:
    """An ellipsis stands for what differs from case to case."""
    for row in table(DOCS / "runbooks" / "recovery.md", column):
        for quoted in row[column].split("…"):
            assert quoted.strip(" :,") in SOURCE, row[column]


@pytest.mark.parametrize("page", RUNBOOKS, ids=lambda page: page.name)
def test_every_error_and_every_alert_that_is_named_exists(page: Path) -> None:
    named = set(NAME.findall(page.read_text(encoding="utf-8")))
    assert {name for name in named - OTHERS - ALERTS if not hasattr(errors, name)} == set()
