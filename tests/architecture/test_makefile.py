"""What the Makefile's own checks say when they cannot check."""

import re
import subprocess
from pathlib import Path
from typing import Final

import pytest

from tests.support.paths import ROOT

MAKEFILE: Final = (ROOT / "Makefile").read_text(encoding="utf-8")
FROZEN: Final = "a==1.0\nb==2.0"


def pinned(folder: Path, pip: str, constraints: str | None) -> subprocess.CompletedProcess[str]:
    """Run the check of `make lint` with another pip, and another constraints.txt."""
    found = re.search(r"^\tpinned\(\) \{ .*?; \}; \\$", MAKEFILE, re.M | re.S)
    assert found
    (folder / "pip").write_text(f"#!/bin/sh\n{pip}\n")
    (folder / "pip").chmod(0o700)
    if constraints is not None:
        (folder / "constraints.txt").write_text(constraints)
    check = found[0].replace("\\\n", "").rstrip("\\ ").replace("$(BIN)", ".").replace("$$", "$")
    script = f"{check} pinned"
    return subprocess.run(
        ["sh", "-c", script], cwd=folder, capture_output=True, text=True, check=False
    )


def test_what_is_pinned_passes(tmp_path: Path) -> None:
    assert pinned(tmp_path, f"echo '{FROZEN}'", f"{FROZEN}\nc==3.0\n").returncode == 0


@pytest.mark.parametrize(
    ("pip", "constraints"),
    [
        (f"echo '{FROZEN}'", "a==1.0\n"),
        (f"echo '{FROZEN}'", "a==1.0\nb==2.0.1\n"),
        (f"echo '{FROZEN}'", ""),
        (f"echo '{FROZEN}'", None),
        ("exit 1", FROZEN),
    ],
    ids=["not pinned", "another version", "empty", "no constraints", "pip fails"],
)
def test_what_is_not_pinned_or_not_known_fails(
    pip: str, constraints: str | None, tmp_path: Path
) -> None:
    failed = pinned(tmp_path, pip, constraints)
    assert failed.returncode == 1
    assert "run 'make constraints'" in failed.stdout


def test_without_docker_make_image_says_what_works_without() -> None:
    [recipe] = re.findall(r"^image: .*\n((?:\t.*\n)+)", MAKEFILE, re.M)
    guard = recipe.partition("\t@docker build")[0].replace("\\\n", "").replace("\t@", "")
    env = {"PATH": "/nowhere"}
    said = subprocess.run(
        ["/bin/sh", "-c", guard], capture_output=True, text=True, env=env, check=False
    )
    assert said.returncode == 1
    assert "docker is not installed" in said.stderr
    assert "make image-test" in said.stderr
