"""Fixtures of the tests of the doctor."""

import os
from pathlib import Path

import pytest

from tests.unit.botdel.doctor.installation import NEEDED


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Only what is needed is set, and no `.env` is found."""
    for name in list(os.environ):
        if name.startswith("BOTDEL_") or name == "PUBSUB_EMULATOR_HOST":
            monkeypatch.delenv(name)
    for name, value in NEEDED.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)
