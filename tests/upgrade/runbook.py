"""The runbook of an upgrade, as a reader follows it."""

import re
import shlex
from dataclasses import dataclass
from typing import Final

from tests.support.paths import DOCS

PAGE: Final = DOCS / "runbooks" / "upgrade.md"
ON_KUBERNETES: Final = "On Kubernetes"
"""The section whose commands need a cluster; tests/architecture/test_kubernetes_upgrade.py."""
_HEADING: Final = re.compile(r"^## (.+)$", re.MULTILINE)
_SHELL: Final = re.compile(r"^```sh\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Section:
    """A section of the page, and the `botdel` commands that it shows, without `botdel`."""

    title: str
    commands: tuple[tuple[str, ...], ...]

    @property
    def step(self) -> str | None:
        """What the step is about, if the section is a step."""
        found = re.fullmatch(r"\d+\. (.+)", self.title)
        return found[1] if found else None


def sections() -> list[Section]:
    """Those of the page that are followed with processes, in its order."""
    _, *parts = _HEADING.split(PAGE.read_text(encoding="utf-8"))
    return [
        Section(title, tuple(_commands(text)))
        for title, text in zip(parts[::2], parts[1::2], strict=True)
        if title != ON_KUBERNETES
    ]


def _commands(text: str) -> list[tuple[str, ...]]:
    lines = [line for block in _SHELL.findall(text) for line in block.splitlines()]
    typed = [shlex.split(line) for line in lines]
    assert all(words[0] == "botdel" for words in typed), "only commands that a test can run"
    return [tuple(words[1:]) for words in typed]
