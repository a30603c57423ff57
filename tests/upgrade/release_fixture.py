"""Keeps the code of a release, so that later ones are tested beside it.

`python -m tests.upgrade.release_fixture COMMIT` builds the wheel of a commit or tag into
`tests/upgrade/released/`, adds its checksum to `SHA256SUMS`, and writes the goldens: the records
that the release leaves in each collection, as MongoDB's extended JSON. Commit all of it. Nothing is
written twice: a release does not change.
"""

import argparse
import asyncio
import hashlib
import io
import os
import subprocess
import sys
import tarfile
from pathlib import Path
from tempfile import TemporaryDirectory

from botdel.local.database import EmbeddedMongo
from tests.release.distributions import unpack
from tests.support.paths import ROOT
from tests.upgrade.goldens import documents_of, golden_folder, write_goldens
from tests.upgrade.releases import RELEASED, SUMS, Release, release_of

MINUTES = 5 * 60
"""Seconds that a build may take."""


class NotReleased(Exception):
    """The fixture cannot be made; the message says why."""


def git(*arguments: str) -> bytes:
    """The output of git in this repository."""
    done = subprocess.run(["git", *arguments], cwd=ROOT, check=True, capture_output=True)
    return done.stdout


def build(commit: str, folder: Path) -> Path:
    """Build the wheel of a commit in `folder`, with the time of the commit, and return its path."""
    with tarfile.open(fileobj=io.BytesIO(git("archive", commit))) as source:
        unpack(source, folder / "source")
    committed = git("log", "-1", "--format=%ct", commit).decode().strip()
    command = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation"]
    subprocess.run(
        [*command, "-w", str(folder), str(folder / "source")],
        env={**os.environ, "SOURCE_DATE_EPOCH": committed},
        check=True,
        timeout=MINUTES,
    )
    [wheel] = folder.glob("*.whl")
    return wheel


def keep(wheel: Path) -> Release:
    """Copy a wheel to the others, and record its checksum. Raises `NotReleased` for a repeat."""
    kept = RELEASED / wheel.name
    if kept.exists():
        raise NotReleased(f"{kept.name} is there already: a release does not change")
    content = wheel.read_bytes()
    kept.write_bytes(content)
    with SUMS.open("a", encoding="utf-8") as sums:
        sums.write(f"{hashlib.sha256(content).hexdigest()}  {kept.name}\n")
    return release_of(kept)


async def record(release: Release, folder: Path) -> None:
    """Write the goldens of a release."""
    async with EmbeddedMongo(folder / "mongodb") as mongo:
        code = release.unpack(folder / "code")
        write_goldens(golden_folder(release), await documents_of(code, mongo.uri, "goldens"))


def main() -> None:
    """Build, keep and record."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("commit", help="the commit or tag of the release")
    commit = parser.parse_args().commit
    with TemporaryDirectory() as folder:
        release = keep(build(commit, Path(folder)))
        asyncio.run(record(release, Path(folder)))
    print(f"{release.wheel.name} and its goldens are written: commit them")


if __name__ == "__main__":
    try:
        main()
    except NotReleased as refusal:
        raise SystemExit(str(refusal)) from refusal
