"""The version is in one place, `deletion.__version__`; what names it reads it from there."""

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


def test_the_package_takes_its_version_from_the_code() -> None:
    assert PYPROJECT["project"]["dynamic"] == ["version"]
    assert PYPROJECT["tool"]["setuptools"]["dynamic"]["version"] == {"attr": "deletion.__version__"}
    assert re.fullmatch(r"\d+\.\d+\.\d+", __version__), "Semantic Versioning"


def test_the_changelog_begins_with_this_version() -> None:
    headings = re.findall(r"^## (.*)$", (ROOT / "CHANGELOG.md").read_text(), re.M)
    released = rf"\[{re.escape(__version__)}\] \d{{4}}-\d\d-\d\d"
    assert headings[0] == f"[Unreleased] {__version__}" or re.fullmatch(released, headings[0])


@pytest.mark.parametrize(
    "app",
    [a_gateway(Parts()), a_recovery(Parts()), Console().app()],
    ids=lambda app: app.title,
)
def test_the_openapi_document_of_each_process_names_it(app: FastAPI) -> None:
    assert app.openapi()["info"]["version"] == __version__
