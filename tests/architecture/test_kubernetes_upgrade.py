"""The upgrade on Kubernetes, as its runbook has it: each part by itself, in the order of the page.

The commands are run by a shell, with a kubectl that only records what it is asked for.
"""

import os
import re
import stat
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import pytest

from tests.support.kubernetes import COMPONENT, Manifest, overlay
from tests.support.paths import DOCS, ROOT

PAGE: Final = (DOCS / "runbooks" / "upgrade.md").read_text(encoding="utf-8")
WITHIN: Final = 60.0
KUBECTL: Final = """#!/bin/sh
(IFS='\t'; printf '%s\\n' "$*") >> "$ASKED"
case "$*" in *' get '*) echo 'botdel-topology Complete';; esac
"""
APPLY: Final = ["apply", "-k", "deploy/kubernetes/overlays/production", "-l"]
PARTS: Final[list[set[str | None]]] = [
    {None},
    {"topology"},
    {"consumer"},
    {"recovery", "cron"},
    {"console"},
    {"gateway"},
]
"""The components of each step, None for what belongs to none, such as ConfigMaps."""


def blocks() -> list[str]:
    """The commands of the section: those to upgrade, and those to go back."""
    section = PAGE.partition("\n## On Kubernetes\n")[2].partition("\n## ")[0]
    return re.findall(r"^```sh\n(.*?)^```$", section, re.MULTILINE | re.DOTALL)


def asked(folder: Path, commands: str) -> list[list[str]]:
    """The arguments of each kubectl that the commands start."""
    kubectl = folder / "kubectl"
    kubectl.write_text(KUBECTL, encoding="utf-8")
    kubectl.chmod(stat.S_IRWXU)
    env = {"PATH": f"{folder}:{os.environ['PATH']}", "ASKED": str(folder / "asked")}
    script = ["sh", "-euc", commands]
    subprocess.run(script, cwd=ROOT, env=env, check=True, capture_output=True, timeout=WITHIN)
    lines = (folder / "asked").read_text(encoding="utf-8").splitlines()
    return [line.split("\t") for line in lines]


def chosen(selector: str) -> set[str | None]:
    """The components that a selector of the page chooses."""
    if selector == f"!{COMPONENT}":
        return {None}
    found = re.fullmatch(rf"{re.escape(COMPONENT)}(?:=(\w+)| in \((\w+(?:, \w+)*)\))", selector)
    assert found, selector
    return set((found[1] or found[2]).split(", "))


def component(manifest: Manifest) -> str | None:
    label: str | None = manifest["metadata"].get("labels", {}).get(COMPONENT)
    return label


def applied(calls: Sequence[Sequence[str]]) -> list[set[str | None]]:
    """What each `kubectl apply` chooses."""
    return [chosen(call[-1]) for call in calls if call[:-1] == APPLY]


@pytest.fixture
def upgrade(tmp_path: Path) -> list[list[str]]:
    return asked(tmp_path, blocks()[0])


def test_each_part_is_applied_in_the_order_of_the_page(upgrade: list[list[str]]) -> None:
    assert applied(upgrade) == PARTS
    steps = [step.lower() for step in re.findall(r"^## \d+\. (\w+)", PAGE, re.MULTILINE)]
    order = [next(n for n, part in enumerate(PARTS) if part & {s, s[:-1]}) for s in steps]
    assert order == sorted(order)


def test_everything_of_the_overlay_is_applied_once() -> None:
    found = {component(manifest) for manifest in overlay("production")}
    assert found == set[str | None]().union(*PARTS)
    assert sum(map(len, PARTS)) == len(found)


def test_what_a_part_needs_is_applied_before_it_and_none_begins_before_the_last_is_ready(
    upgrade: list[list[str]],
) -> None:
    """A Deployment is waited for by name of its part, the topology by its script."""
    waited = [call for call in upgrade if call[:-1] != APPLY]
    assert [call[2] for call in waited] == ["delete", "get", *["rollout"] * 4]
    for call in waited:
        if call[2] == "rollout":
            before = upgrade[upgrade.index(call) - 1]
            assert before[:-1] == APPLY
            assert chosen(call[call.index("-l") + 1]) <= chosen(before[-1])
            assert call[3:5] == ["status", "deployment"]


def test_to_go_back_leaves_out_what_the_last_release_does_not_have(tmp_path: Path) -> None:
    back = applied(asked(tmp_path, blocks()[1]))
    assert back == [{"gateway"}, {"recovery", "cron"}, {"consumer"}]
