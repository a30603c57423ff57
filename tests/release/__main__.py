"""`make release-check`: installs the wheel into an empty environment and uses it there.

Downloads what the wheel needs, in the versions of constraints.txt. Prints each step, and exits with
1 at the first that fails.
"""

import os
import subprocess
import sys
import time
import venv
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from deletion import __version__
from tests.release.distributions import build
from tests.support.paths import ROOT

WITHIN: Final = 900.0
"""Seconds for one step; the longest downloads everything that the demo needs."""
UNSET: Final = {"PYTHONPATH", "PYTHONHOME", "GOOGLE_CLOUD_PROJECT"}
"""Variables that would let the environment find more than is installed in it."""
SHOWN: Final = 2_000
"""Characters of output that a failure shows."""


class Environment:
    """An empty virtual environment."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        venv.create(folder / "venv", with_pip=True)

    def expect(self, code: int, text: str, command: Sequence[str | Path]) -> None:
        """Run a program of the environment. Exit with 1 unless it ends with `code` and `text`."""
        program = self._folder / "venv" / "bin" / command[0]
        begun = time.monotonic()
        run = subprocess.run(
            [program, *command[1:]],
            cwd=self._folder,
            env={name: text for name, text in os.environ.items() if name not in UNSET},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=WITHIN,
            check=False,
        )
        took = f"{time.monotonic() - begun:.0f} s"
        shown = " ".join(Path(part).name for part in map(str, command))
        if run.returncode != code or text not in run.stdout:
            print(f"✗ {shown}: exit code {run.returncode}, {took}; expected {code} and {text!r}")
            print(run.stdout[-SHOWN:])
            sys.exit(1)
        print(f"✓ {shown}: exit code {code}, {took}")

    def install(self, *what: str | Path) -> None:
        self.expect(0, "", ["pip", "install", "-c", ROOT / "constraints.txt", *what])


def main() -> None:
    """Install without extras and use the command; then with the extra of the demo, and run that."""
    with TemporaryDirectory() as folder:
        built = build(Path(folder))
        print(f"built {built.source.name} and, from it, {built.wheel.name}")
        environment = Environment(Path(folder))
        environment.install(built.wheel)
        environment.expect(0, f"botdel {__version__}", ["botdel", "--version"])
        environment.expect(0, "healthcheck", ["botdel", "--help"])
        environment.expect(2, "GOOGLE_CLOUD_PROJECT: not set", ["botdel", "gateway"])
        environment.expect(2, "bot-deletion-pipeline[local]", ["botdel", "demo"])
        environment.install(f"{built.wheel}[local]")
        environment.expect(0, "items of other bots lost or changed", ["botdel", "demo"])


if __name__ == "__main__":
    main()
