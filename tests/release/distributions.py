"""Builds the source distribution and, from it alone, the wheel.

`python -m tests.release.distributions FOLDER` leaves both in `FOLDER`.
"""

import shutil
import subprocess
import sys
import tarfile
import zipfile
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from tests.support.paths import PACKAGES, ROOT

WITHIN: Final = 300.0
"""Seconds for one build; it takes a few."""
SOURCES: Final = (*PACKAGES, "proto", "pyproject.toml", "MANIFEST.in", "README.md", "CHANGELOG.md")
"""What the source distribution is made of."""


@dataclass(frozen=True, slots=True)
class Distributions:
    """The two archives."""

    source: Path
    wheel: Path

    def in_source(self) -> set[str]:
        """The files of the source distribution, without its folder."""
        with tarfile.open(self.source) as archive:
            return {
                member.name.partition("/")[2] for member in archive.getmembers() if member.isfile()
            }

    def in_wheel(self) -> set[str]:
        with zipfile.ZipFile(self.wheel) as archive:
            return set(archive.namelist())

    def read(self, name: str) -> str:
        """The text of a file in the wheel, whose folder of metadata is `METADATA/`."""
        with zipfile.ZipFile(self.wheel) as archive:
            (found,) = [each for each in archive.namelist() if each.endswith(name)]
            return archive.read(found).decode()


def tracked() -> set[str]:
    """The files of `SOURCES` that are in the repository, or are not ignored by it."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "--", *SOURCES],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return {name for name in listed.stdout.splitlines() if (ROOT / name).exists()}


def build(folder: Path) -> Distributions:
    """Build both in `folder`, from a copy, so that the checkout stays as it is."""
    checkout, unpacked, out = folder / "checkout", folder / "unpacked", folder / "dist"
    for name in tracked():
        to = checkout / name
        to.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, to)
    out.mkdir()
    source = out / _backend("build_sdist", checkout, out)
    with tarfile.open(source) as archive:
        unpack(archive, unpacked)
    (inside,) = unpacked.iterdir()
    return Distributions(source, out / _backend("build_wheel", inside, out))


def unpack(archive: tarfile.TarFile, folder: Path) -> None:
    """Unpack an archive that was made here, also with Debian 12's Python, which has no filters."""
    archive.extraction_filter = getattr(tarfile, "data_filter", lambda member, _: member)
    archive.extractall(folder)  # noqa: S202


def _backend(hook: str, project: Path, out: Path) -> str:
    """Call a hook of the build backend, as pip does; return the name of the archive."""
    program = f"from setuptools import build_meta; print(build_meta.{hook}({str(out)!r}))"
    built = subprocess.run(
        [sys.executable, "-P", "-c", program],
        cwd=project,
        capture_output=True,
        text=True,
        timeout=WITHIN,
        check=False,
    )
    if built.returncode:
        raise RuntimeError(f"{hook} failed:\n{built.stdout}{built.stderr}")
    return built.stdout.splitlines()[-1]


if __name__ == "__main__":
    target = Path(sys.argv[1])
    target.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory() as temporary:
        archives = build(Path(temporary))
        for archive in (archives.source, archives.wheel):
            print(shutil.copy(archive, target))
