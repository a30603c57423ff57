"""`python -m tests.release.ready BASE`: refuses a release that nobody could build again, or whose
image cannot be tested on this machine.

Prints each reason on standard error, and exits with 1 if there is one.
"""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from deletion import __version__
from tests.image.namespaces import NEEDED, has_namespaces
from tests.support.paths import ROOT

PINNED: Final = re.compile(r"\S+@sha256:[0-9a-f]{64}")
DATED: Final = re.compile(rf"^## \[{re.escape(__version__)}\] \d{{4}}-\d\d-\d\d$", re.M)


def reasons(base: str, root: Path = ROOT) -> Iterator[str]:
    """Why the checkout at `root` must not be released on the base image `base`."""
    if not PINNED.fullmatch(base):
        yield (
            f"BASE is {base!r}: expected NAME@sha256:DIGEST, because a tag can be moved; "
            "`docker buildx imagetools inspect python:3.11-slim-bookworm` prints the digest"
        )
    if not DATED.search((root / "CHANGELOG.md").read_text(encoding="utf-8")):
        yield (
            f"CHANGELOG.md has no section `[{__version__}] YYYY-MM-DD`: date the unreleased one, "
            "or raise `deletion.__version__`"
        )
    if changed := git(root, "status", "--porcelain"):
        yield f"the checkout differs from its commit, so no revision names it:\n{changed}"
    tagged = git(root, "tag", "--list", f"v{__version__}")
    if tagged and f"v{__version__}" not in git(root, "tag", "--points-at", "HEAD").split():
        yield f"the tag v{__version__} exists at another commit: raise `deletion.__version__`"


def reasons_here() -> Iterator[str]:
    """Why no release can be made on this machine: a release must have been tested."""
    if not has_namespaces():
        yield f"the image cannot be tested here: {NEEDED}"


def git(root: Path, *arguments: str) -> str:
    run = subprocess.run(
        ["git", *arguments], cwd=root, capture_output=True, text=True, check=True, timeout=60
    )
    return run.stdout.rstrip()


if __name__ == "__main__":
    found = [*reasons(" ".join(sys.argv[1:])), *reasons_here()]
    for reason in found:
        print(f"no release: {reason}", file=sys.stderr)
    sys.exit(1 if found else 0)
