"""The version is in one place, `deletion.__version__`; what names it reads it from there."""

import hashlib
import re
import tomllib
from typing import Any, Final

import pytest
from fastapi import FastAPI

from deletion import __version__
from tests.architecture.answering import Parts, a_gateway, a_recovery
from tests.support.paths import ROOT
from tests.support.visiting import Console

PYPROJECT: Final[dict[str, Any]] = tomllib.loads((ROOT / "pyproject.toml").read_text())

RELEASED: Final = {
    "0.1.0": "34e139fa120712e2c6b64a08cfc5539cc15810efedf3cb68fe4d8b2cb22923ad",
}
"""The SHA-256 of the section of each earlier version. New lines belong in the first section, but a
merge may put them into another one.
"""


def test_the_package_takes_its_version_from_the_code() -> None:
    assert PYPROJECT["project"]["dynamic"] == ["version"]
    assert PYPROJECT["tool"]["setuptools"]["dynamic"]["version"] == {"attr": "deletion.__version__"}
    assert re.fullmatch(r"\d+\.\d+\.\d+", __version__), "Semantic Versioning"


def test_the_changelog_begins_with_this_version() -> None:
    headings = re.findall(r"^## (.*)$", (ROOT / "CHANGELOG.md").read_text(), re.M)
    released = rf"\[{re.escape(__version__)}\] \d{{4}}-\d\d-\d\d"
    assert headings[0] == f"[Unreleased] {__version__}" or re.fullmatch(released, headings[0])


@pytest.mark.parametrize("version", RELEASED)
def test_what_was_in_an_earlier_version_never_changes(version: str) -> None:
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    (section,) = (part for part in text.split("\n## ") if part.startswith(f"[{version}]"))
    assert hashlib.sha256(f"## {section}".strip().encode()).hexdigest() == RELEASED[version]


@pytest.mark.parametrize(
    "app",
    [a_gateway(Parts()), a_recovery(Parts()), Console().app()],
    ids=lambda app: app.title,
)
def test_the_openapi_document_of_each_process_names_it(app: FastAPI) -> None:
    assert app.openapi()["info"]["version"] == __version__
