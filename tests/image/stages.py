"""Reads deploy/Dockerfile and .dockerignore."""

import json
import re
import shlex
import string
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from dockerfile_parse import DockerfileParser
from pathspec import PathSpec

from tests.support.paths import ROOT

DOCKERFILE: Final = ROOT / "deploy" / "Dockerfile"
_PATTERN: Final = re.compile(r"^(!?)(?!\*\*)(?=[^#\s])", re.M)
IGNORED: Final = PathSpec.from_lines(
    "gitignore", _PATTERN.sub(r"\1/", (ROOT / ".dockerignore").read_text()).splitlines()
)
"""The files that Docker does not get. Only patterns with `**` in front match below the root."""
NEVER_WALKED: Final = {".git", ".venv"}


@dataclass(frozen=True, slots=True)
class Stage:
    """One stage: its name, its base, and its instructions in their order."""

    name: str
    base: str
    steps: tuple[tuple[str, str], ...]

    def values(self, instruction: str) -> list[str]:
        """The values of every such instruction."""
        return [value for found, value in self.steps if found == instruction]

    def command(self) -> list[str]:
        """The entry point. Raises `ValueError` unless there is exactly one, in exec form."""
        (value,) = self.values("ENTRYPOINT")
        command: list[str] = json.loads(value)
        return command

    def user(self) -> tuple[int, int]:
        """The ids of user and group, by number. Raises `ValueError` if they are names."""
        (value,) = self.values("USER")
        user, group = value.split(":")
        return int(user), int(group)


def stages() -> list[Stage]:
    """The stages in their order. The last one is the image."""
    found: list[tuple[str, list[tuple[str, str]]]] = []
    with DOCKERFILE.open("rb+") as file:
        for step in DockerfileParser(fileobj=file).structure:
            instruction, value = step["instruction"], " ".join(step["value"].split())
            if instruction == "FROM":
                found.append((value, []))
            elif found and instruction != "COMMENT":
                found[-1][1].append((instruction, value))
    return [_stage(line, steps) for line, steps in found]


def _stage(line: str, steps: list[tuple[str, str]]) -> Stage:
    base, _, name = line.partition(" AS ")
    return Stage(name or "image", base, tuple(steps))


def argument(name: str) -> str:
    """The default of an `ARG`. Raises `ValueError` unless there is exactly one."""
    (value,) = re.findall(rf"^ARG {name}=(\S+)$", DOCKERFILE.read_text(), re.M)
    return str(value)


def variables(value: str, before: Mapping[str, str]) -> dict[str, str]:
    """What `ENV` with this value sets, where `before` is set already."""
    pairs = (pair.partition("=") for pair in shlex.split(value))
    return {name: string.Template(text).substitute(before) for name, _, text in pairs}


def context() -> Iterator[Path]:
    """The files that `docker build .` would send, relative to the root of the repository."""
    for path in ROOT.iterdir():
        if path.name not in NEVER_WALKED:
            files = path.rglob("*") if path.is_dir() else (path,)
            relative = (file.relative_to(ROOT) for file in files if file.is_file())
            yield from (file for file in relative if not IGNORED.match_file(file))
