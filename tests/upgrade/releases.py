"""The code of earlier releases: kept as wheels, unpacked for a test, and run as real processes.

They run with the dependencies that are installed here, which are those of today.
"""

import compileall
import hashlib
import sys
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from botdel.local.processes import ChildProcess
from tests.support.forked import ForkedProcess
from tests.support.paths import ROOT

HOME: Final = Path(__file__).parent
RELEASED: Final = HOME / "released"
SUMS: Final = RELEASED / "SHA256SUMS"

Env = Mapping[str, str]
Program = str | Path
"""A module by its name, or a script."""


@dataclass(frozen=True)
class Code:
    """A version of the product that processes can run: the folder of its packages."""

    version: str
    folder: Path

    def python(self, name: str, *arguments: str, env: Env, cwd: Path | None = None) -> ChildProcess:
        """A Python process that imports this version, not yet started."""
        command = [sys.executable, "-P", *arguments]
        found = {**env, **self.paths}
        return ChildProcess(f"{name} {self.version}", command, env=found, cwd=cwd)

    @property
    def paths(self) -> Env:
        """The environment in which Python imports this version."""
        return {"PYTHONPATH": str(self.folder), "PYTHONSAFEPATH": "1"}

    def program(
        self, name: str, program: Program, *arguments: str, env: Env, cwd: Path | None = None
    ) -> ChildProcess:
        """A module, or a script of this folder, that imports this version, not yet started."""
        return self._process(name, program, arguments, env, cwd)

    def _process(
        self, name: str, program: Program, arguments: Sequence[str], env: Env, cwd: Path | None
    ) -> ChildProcess:
        option = (str(program),) if isinstance(program, Path) else ("-m", program)
        return self.python(name, *option, *arguments, env=env, cwd=cwd)


class _Today(Code):
    """The code of this repository, whose programs are forked."""

    def _process(
        self, name: str, program: Program, arguments: Sequence[str], env: Env, cwd: Path | None
    ) -> ChildProcess:
        module = f"tests.upgrade.{program.stem}" if isinstance(program, Path) else program
        return ForkedProcess(name, (module, *arguments), env=env, cwd=cwd)


TODAY: Final[Code] = _Today("today", ROOT)


@dataclass(frozen=True)
class Release:
    """An earlier release."""

    version: str
    wheel: Path

    @property
    def checksum(self) -> str:
        """The SHA-256 of the wheel, as it was recorded. Raises KeyError without one."""
        lines = (line.split() for line in SUMS.read_text(encoding="utf-8").splitlines())
        return {name: checksum for checksum, name in lines}[self.wheel.name]

    @property
    def is_genuine(self) -> bool:
        """Whether the wheel is the one that was recorded."""
        return hashlib.sha256(self.wheel.read_bytes()).hexdigest() == self.checksum

    def unpack(self, folder: Path) -> Code:
        """Unpack the wheel, which holds Python only, and compile it once for all processes."""
        with zipfile.ZipFile(self.wheel) as archive:
            archive.extractall(folder)
        compileall.compile_dir(folder, quiet=2)
        return Code(self.version, folder)


def release_of(wheel: Path) -> Release:
    """The release that a wheel belongs to."""
    return Release(wheel.name.split("-")[1], wheel)


def releases() -> list[Release]:
    """All earlier releases, the oldest first."""
    found = [release_of(wheel) for wheel in RELEASED.glob("*.whl")]
    return sorted(found, key=lambda each: [int(part) for part in each.version.split(".")])
