"""Fixtures of the unit tests."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from structlog.testing import capture_logs
from structlog.typing import EventDict


@pytest.fixture
def logs() -> Iterator[list[EventDict]]:
    """What is logged, kept from being rendered."""
    with capture_logs() as logs:
        yield logs


@pytest.fixture
def no_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No setting is in the environment, and no `.env` is found."""
    for name in [name for name in os.environ if name.upper().startswith("BOTDEL_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
