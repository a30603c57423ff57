"""Builds the image from its Dockerfile into a folder, and starts programs in it, without Docker.

`RUN` runs what the Dockerfile says. Without downloads, the lines that install the files with hashes
are replaced: the packages that these name are copied from this environment, which has the same
versions, because the files and the environment both come from constraints.txt.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import distribution
from pathlib import Path
from typing import Final

from botdel.local.processes import ChildProcess
from tests.image import inside
from tests.image.stages import Stage, context, stages, variables
from tests.support.paths import ROOT

PATH: Final = "/base:/usr/local/bin:/usr/bin:/bin"
"""`/base` has `python`, as the base image has it in /usr/local/bin."""
RUN_WITHIN: Final = 600.0
"""Seconds for one `RUN`; the longest downloads all packages."""
INSTALLS: Final = re.compile(
    r"(?P<venv>/\S+)/bin/pip (?:--python (?P<target>\S+) )?install "
    r"--require-hashes --only-binary :all: -r (?P<file>\S+)"
)
PASSED_ON: Final = ("PIP_", "SSL_", "HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy")
"""How this machine reaches packages: a container gets that from Docker."""
NOT_CARRIED_OUT: Final = {"ARG", "LABEL", "HEALTHCHECK", "CMD", "ENTRYPOINT", "USER"}
"""Instructions that do not change the file system."""


@dataclass
class Image:
    """A stage, with the results of its instructions so far."""

    root: Path
    env: dict[str, str] = field(default_factory=lambda: {"PATH": PATH})
    folder: str = "/"
    stage: Stage | None = None

    def argv(self, program: Sequence[str], env: Mapping[str, str], *, built: bool) -> list[str]:
        """How to start `program` in it: once it is built, as its user and on a read-only root."""
        user = self.stage.user() if self.stage and built else None
        given = {
            "root": str(self.root),
            "python": sys.base_prefix,
            "env": {**self.env, "HOME": "/" if user else "/root", **env},
            "cwd": self.folder,
            "user": user,
        }
        python = [sys.executable, "-I", "-S", inside.__file__]
        return ["unshare", "--mount", *python, json.dumps(given), *program]

    def process(self, name: str, *arguments: str, env: Mapping[str, str]) -> ChildProcess:
        """The entry point with `arguments`, as an orchestrator would start it."""
        assert self.stage is not None
        program = [*self.stage.command(), *arguments]
        return ChildProcess(name, self.argv(program, env, built=True))

    def output(self, *program: str, env: Mapping[str, str] | None = None) -> str:
        """What `program` prints, as the image's user. Raises `CalledProcessError` if it fails."""
        run = subprocess.run(
            self.argv(program, env or {}, built=True),
            capture_output=True,
            text=True,
            check=True,
            timeout=RUN_WITHIN,
        )
        return run.stdout


def build(folder: Path, *, downloads: bool) -> Image:
    """Carry out the Dockerfile in `folder`, and return its last stage."""
    built: dict[str, Image] = {}
    for stage in stages():
        image = Image(folder / stage.name, stage=stage)
        (image.root / "base").mkdir(parents=True)
        (image.root / "base" / "python").symlink_to(Path(sys.base_prefix, "bin", "python3"))
        (image.root / "tmp").mkdir()
        for instruction, value in stage.steps:
            _carry_out(instruction, value, image, built, downloads=downloads)
        built[stage.name] = image
    return image


def _carry_out(
    instruction: str, value: str, image: Image, built: Mapping[str, Image], *, downloads: bool
) -> None:
    match instruction:
        case "ENV":
            image.env |= variables(value, image.env)
        case "WORKDIR":
            image.folder = value
            _in(image, value).mkdir(parents=True)
        case "COPY":
            _copy(value, image, built)
        case "RUN" if INSTALLS.search(value) and not downloads:
            _install_from_here(value, image)
        case "RUN":
            _run(value, image)
        case _:
            assert instruction in NOT_CARRIED_OUT, f"{instruction} {value}"


def _in(image: Image, path: str) -> Path:
    return image.root / Path(image.folder, path).relative_to("/")


def _copy(value: str, image: Image, built: Mapping[str, Image]) -> None:
    *sources, target = value.split()
    if sources[0].startswith("--from="):
        earlier = built[sources.pop(0).removeprefix("--from=")]
        _in(image, target).parent.mkdir(parents=True)
        _in(earlier, sources[0]).rename(_in(image, target))
        return
    for file in context():
        if sources == ["."] or file.as_posix() in sources:
            to = _in(image, target) / (file if sources == ["."] else file.name)
            to.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / file, to)


def _run(value: str, image: Image) -> None:
    env = {name: text for name, text in os.environ.items() if name.startswith(PASSED_ON)}
    run = subprocess.run(
        image.argv(["/bin/sh", "-c", value], env, built=False),
        capture_output=True,
        text=True,
        check=False,
        timeout=RUN_WITHIN,
    )
    assert run.returncode == 0, f"RUN {value}\n{run.stdout}{run.stderr}"


def _install_from_here(value: str, image: Image) -> None:
    """Copy what each command of `value` would install."""
    for command in value.split(" && "):
        found = INSTALLS.fullmatch(command)
        assert found, f"an installation that cannot be replaced: {command}"
        venv = _in(image, found["target"] or found["venv"])
        (packages,) = venv.glob("lib/python3*/site-packages")
        for name in required(_in(image, found["file"])):
            _copy_distribution(name, packages)


def required(file: Path) -> dict[str, str]:
    """The packages that a file with hashes names, with their versions."""
    return dict(re.findall(r"^([\w.-]+)==(\S+)", file.read_text(), re.M))


def _copy_distribution(name: str, packages: Path) -> None:
    """Copy an installed package with its compiled files, but without scripts. Where that is
    possible its files are linked: nothing changes an installed file in its place.
    """
    found = distribution(name)
    for file in found.files or ():
        if ".." not in file.parts:
            to = packages / file
            to.parent.mkdir(parents=True, exist_ok=True)
            try:
                to.hardlink_to(str(found.locate_file(file)))
            except OSError:  # on another file system
                shutil.copy2(str(found.locate_file(file)), to)
