"""A release is refused unless it can be repeated: base, changelog, checkout and tag."""

import subprocess
from pathlib import Path

import pytest

from deletion import __version__
from tests.release.ready import reasons, reasons_here

PINNED = f"python:3.11-slim-bookworm@sha256:{'0' * 64}"


def git(root: Path, *arguments: str) -> None:
    who = ["-c", "user.name=a", "-c", "user.email=a@example.org"]
    subprocess.run(["git", *who, *arguments], cwd=root, check=True, capture_output=True)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A checkout that may be released."""
    (tmp_path / "CHANGELOG.md").write_text(f"# Changelog\n\n## [{__version__}] 2026-12-01\n")
    git(tmp_path, "init", "--quiet")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "--quiet", "--message", "any")
    return tmp_path


def test_a_clean_checkout_with_a_dated_changelog_on_a_pinned_base(root: Path) -> None:
    assert list(reasons(PINNED, root)) == []
    git(root, "tag", f"v{__version__}")
    assert list(reasons(PINNED, root)) == []


@pytest.mark.proves("release-repeatable")
@pytest.mark.parametrize("base", ["", "python:3.11-slim-bookworm", f"{PINNED}0", "x@sha256:1f"])
def test_a_base_that_can_be_moved_is_refused(root: Path, base: str) -> None:
    (reason,) = reasons(base, root)
    assert "expected NAME@sha256:DIGEST" in reason


@pytest.mark.parametrize("heading", [f"[Unreleased] {__version__}", "[9.9.9] 2026-12-01"])
def test_a_version_without_a_dated_section_is_refused(root: Path, heading: str) -> None:
    (root / "CHANGELOG.md").write_text(f"## {heading}\n")
    git(root, "commit", "--quiet", "--all", "--message", "any")
    (reason,) = reasons(PINNED, root)
    assert f"[{__version__}] YYYY-MM-DD" in reason


@pytest.mark.proves("release-repeatable")
@pytest.mark.parametrize("name", ["CHANGELOG.md", "new.py"])
def test_what_is_not_committed_is_refused(root: Path, name: str) -> None:
    with (root / name).open("a") as file:
        file.write("x\n")
    (reason,) = reasons(PINNED, root)
    assert name in reason


@pytest.mark.parametrize("uid", [0, 1000])
def test_a_machine_that_cannot_test_the_image_is_refused(
    uid: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.geteuid", lambda: uid)
    monkeypatch.setenv("PATH", "/nowhere")
    (reason,) = reasons_here()
    assert reason == (
        "the image cannot be tested here: "
        "it needs root and Linux's mount namespaces (unshare --mount)"
    )


def test_a_tag_of_another_commit_is_refused(root: Path) -> None:
    git(root, "tag", f"v{__version__}")
    git(root, "commit", "--quiet", "--allow-empty", "--message", "another")
    (reason,) = reasons(PINNED, root)
    assert "exists at another commit" in reason
